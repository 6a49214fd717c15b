"""Tell other components about files that are complete, and keep telling until one answers."""
