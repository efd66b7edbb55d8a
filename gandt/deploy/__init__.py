"""gandt's backend on AWS: put there, changed and taken away; and the steps of the rounds that run in it."""

from gandt.deploy.stack import Plan, Stack

__all__ = ["Plan", "Stack"]
