"""What a component says to the nucleus, and how it reads its configuration."""
