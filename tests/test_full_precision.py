"""Measuring in full fp32 on a GPU leaves PyTorch's own settings as they were, old and new ones, read or unreadable."""

from __future__ import annotations

import os
import traceback

import pytest
import torch

REPORT = """
import torch
from landscape.torch_state.isolation import full_precision

def state():
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    reads = [torch.backends.mha.get_fastpath_enabled, lambda: cudnn.allow_tf32, lambda: products.allow_tf32]
    reads += [torch.get_float32_matmul_precision]
    if hasattr(cudnn, "conv"):
        reads += [lambda: cudnn.conv.fp32_precision, lambda: cudnn.rnn.fp32_precision, lambda: products.fp32_precision]
        reads += [lambda: cudnn.fp32_precision, lambda: torch.backends.fp32_precision]
        reads += [lambda: torch.backends.mkldnn.matmul.fp32_precision]
    found = []
    for read in reads:
        try:
            found.append(read())
        except RuntimeError:
            found.append("unreadable")
    return found

{setting}
before = state()
for _ in range(2):
    with full_precision(torch.device("cuda")):
        with full_precision(torch.device("cuda")):
            inside = state()
        readable = [i for i, value in enumerate(before) if value != "unreadable"]
        assert "unreadable" not in [inside[i] for i in readable], inside
assert state() == before, (before, state())
assert True not in inside[:3] and "tf32" not in inside[4:7], inside
try:
    with full_precision(torch.device("cuda")):
        raise KeyError
except KeyError:
    assert state() == before
with full_precision(torch.device("cpu")):
    assert state() == before
"""


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "torch.backends.cudnn.allow_tf32 = False",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.cudnn.fp32_precision = 'tf32'",
        "torch.backends.fp32_precision = 'ieee'; torch.backends.cudnn.conv.fp32_precision = 'tf32'",
    ],
)
def test_the_settings_are_as_before_and_tf32_is_off_while_open(setting: str) -> None:
    if "fp32_precision" in setting and not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("these settings came with PyTorch 2.9")
    child = os.fork()  # which has torch already, and whose settings are its own
    if child == 0:
        status = 1
        try:
            exec(REPORT.format(setting=setting), {})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
