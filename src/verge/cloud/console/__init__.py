"""What the local cloud knows, as a page for people: core devices and deployments, read-only."""

from verge.cloud.console.console import PATH, Console

__all__ = ["PATH", "Console"]
