"""What things cost, measured in one run and told as ratios: :mod:`.run`, :mod:`.adaptive` and :mod:`.curvature`."""
