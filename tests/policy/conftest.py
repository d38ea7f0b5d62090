"""Hypothesis without a time limit for a single example: a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("policy", deadline=None)
settings.load_profile("policy")
