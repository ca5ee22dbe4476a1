"""Training loops that are a user's own: watched by the observers that :func:`landscape.fit` tells, and what plugs into trainers.

:func:`landscape.loops.watch.watch` stands in a loop; :mod:`landscape.loops.lightning` and :mod:`landscape.loops.transformers` hold
the callbacks of Lightning's Trainer and of that of transformers, imported when they are asked for.
"""
