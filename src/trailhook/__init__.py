"""Trailhook: AWS CloudTrail to a webhook, every event once, signed, never silently lost."""

from importlib.metadata import version

__version__ = version("trailhook")
