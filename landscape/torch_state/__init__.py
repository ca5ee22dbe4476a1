"""What PyTorch keeps for a whole process: devices, precision and random state, memory."""

from __future__ import annotations

import ctypes
import os
import sys

M_ARENA_MAX = -8  # of glibc's malloc.h


def share_free_memory() -> None:
    """Let the threads of this process take memory from one place, for its whole life; to call before there are any (glibc).

    By default each has a place of its own, and what is free there is of no use to the others: a plane of VGG38 in two threads
    took 1.5 times the memory. Nothing is changed where the environment has ``MALLOC_ARENA_MAX``, or elsewhere than on Linux.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        change = getattr(ctypes.CDLL(None), "mallopt", None)
        if change is not None:
            change(M_ARENA_MAX, 1)
