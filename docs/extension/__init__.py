"""What the site is built with besides Sphinx: the reference, made of the code, and numbers, read from what the gallery's scripts wrote."""
