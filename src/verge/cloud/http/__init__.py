"""HTTP as the parts of the local cloud offer it."""
