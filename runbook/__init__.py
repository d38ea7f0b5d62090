"""Connects AWS accounts to bucketAV with notebooks that look before they act, prove the result and take it back."""

__version__ = "0.1.0"
