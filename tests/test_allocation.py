"""Where threads take memory from."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from landscape.torch_state import share_free_memory

if sys.argv[1] == "shared":
    share_free_memory()
library, all_there = ctypes.CDLL(None), threading.Barrier(3)
library.fdopen.restype = ctypes.c_void_p

def take():
    library.malloc(ctypes.c_size_t(5000))
    all_there.wait()

threads = [threading.Thread(target=take) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library.malloc_info(0, ctypes.c_void_p(library.fdopen(1, b"w")))
library.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc")
def test_threads_take_memory_from_one_place() -> None:
    places = []
    for way, setting in (("own", {}), ("shared", {}), ("shared", {"MALLOC_ARENA_MAX": "8"})):
        environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | setting
        command = [sys.executable, "-c", PROGRAM, way]
        told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        places.append(told.count("<heap nr="))
    assert places[0] > 1 and places[1] == 1 and places[2] > 1
