"""AWS credentials for components over loopback HTTP (Greengrass contract 2.9)."""
