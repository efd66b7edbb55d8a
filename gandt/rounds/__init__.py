"""Rounds: choose what to ask, ask it, learn from the answers, and know when to stop."""
