"""A private virtual environment from the offline wheelhouse, with the standard library alone."""
