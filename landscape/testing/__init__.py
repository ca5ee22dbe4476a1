"""The kit: is this objective what its user means, and does this file hold what its picture will claim?

Names are loaded when first used, so that checking a result does not import torch.

Example:
    >>> report = ls.testing.check_objective(net, "cross_entropy", data)
    >>> report.ok
    True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
