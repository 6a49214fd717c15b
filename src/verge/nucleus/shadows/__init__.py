"""Shadows of things, kept on the device (Greengrass contract 4.8)."""
