"""Tensors and arrays only. Parameter vectors, directions, grids, statistics."""
