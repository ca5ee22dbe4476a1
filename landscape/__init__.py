"""landscape: train networks, measure the shape of their loss, store it with its uncertainty, show it.

The public names, grouped, are in the stub beside this file. Each is imported when it is first used, so that importing the package
costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
