"""The main job on embedded parts: nothing of AWS needed, the crowd simulated and said to be so."""

from gandt.demo.me import Me
from gandt.demo.run import DemoResult, Stage, run_demo

__all__ = ["DemoResult", "Me", "Stage", "run_demo"]
