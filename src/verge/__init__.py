"""Verge: an AWS IoT Greengrass fleet in a repository."""

__version__ = "0.1.0"
