"""What the site is built with besides Sphinx: the reference, made of the code, and the gallery's numbers."""
