"""Floor 3: one file a probe; an objective in, a labelled ``xarray.Dataset`` out."""
