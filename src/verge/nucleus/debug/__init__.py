"""Looking at a device on the device: passwords that expire, and a page that they open."""
