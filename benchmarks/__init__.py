"""What things cost, measured in one run and told as ratios: see :mod:`benchmarks.run` and :mod:`benchmarks.adaptive`."""
