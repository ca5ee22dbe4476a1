"""Convolutions by minimal filtering, and the machine's own compiler for them."""
