"""The tooling: builds, wheelhouse, bundles, devices, output."""
