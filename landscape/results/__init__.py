"""Files only. Checkpoints, results, and the original tool's files; every write replaces its file at once.

Names are loaded when first used, so that reading a result does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
