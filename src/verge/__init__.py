"""Verge: an AWS IoT Greengrass fleet in a repository."""
