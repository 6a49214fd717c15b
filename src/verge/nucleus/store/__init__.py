"""What the nucleus remembers: configuration, component store, deployments."""
