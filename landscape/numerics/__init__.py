"""Floor 0: tensors and arrays only. Parameter vectors, directions, grids, statistics."""
