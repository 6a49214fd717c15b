"""The operations, one module for each group of them."""
