"""Scripts that run on a device: read as text, sent over SSH, standard library only."""
