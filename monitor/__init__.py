"""Vigil: a live view of recovery bays, with no picture stored."""

__version__ = "0.1.0"
