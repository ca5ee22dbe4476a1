"""The files that an interactive page is made of."""
