"""Files and folders that hold weights in a way that is not read here, known by their look: a sentence on what to do with each."""

from __future__ import annotations

import zipfile
from pathlib import Path

_PAGE = "is a web page, which is what a failed download leaves. Download the file again."
_PACKED = "is compressed. Unpack it, and give what is inside."
_JSON = "is a text in JSON. Give the file of weights that lies beside it."
_TENSORS = (
    "Save the weights as PyTorch tensors under the names of the module: torch.save(model.state_dict(), 'weights.pt')."
)
_PART = "is a part of a distributed checkpoint. Give its folder."

_STARTS = (
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file: a result, or weights of Keras. {_TENSORS}"),
    (b"\x93NUMPY", f"is one numpy array. {_TENSORS}"),
    (b"GGUF", "is a quantised model in GGUF. Give the weights that it was made of."),
    (b"version https://git-lfs", "is not the weights but a pointer of Git LFS to them. Fetch them with git lfs pull."),
    *((begin, _PAGE) for begin in (b"<!DOCTYPE", b"<!doctype", b"<html")),
    *((begin, _PACKED) for begin in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")),
    *((begin, _JSON) for begin in (b"{\n", b"{\r\n", b'{"')),
)
_SUFFIXES = {
    ".onnx": "is a graph in ONNX. Give the PyTorch weights that it was exported from.",
    ".tflite": "is a model for TensorFlow Lite. Give the weights that it was converted from.",
    ".msgpack": f"looks like weights of Flax. {_TENSORS}",
    ".distcp": _PART,
    ".metadata": _PART,
}
_RECORDS = (
    (
        "/constants.pkl",
        "is a TorchScript archive (torch.jit.save): a program with its weights inside. Take them out where you trust it, with "
        "torch.save(torch.jit.load(PATH).state_dict(), 'weights.pt'), and give that file.",
    ),
    (
        "/archive_format",
        "is an exported program (torch.export.save) with its weights inside. Take them out where you trust it, with "
        "torch.save(torch.export.load(PATH).state_dict, 'weights.pt'), and give that file.",
    ),
    (
        ".npy",
        "is an archive of numpy arrays. Make tensors of them, under the names of the module: "
        "torch.save({k: torch.from_numpy(v) for k, v in numpy.load(PATH).items()}, 'weights.pt').",
    ),
    ("model.weights.h5", f"is a model of Keras. {_TENSORS}"),
)
_FOLDERS = (
    (
        ".metadata",
        "is a distributed checkpoint (torch.distributed.checkpoint). Make one file of it, and give that: "
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pt.",
    ),
    *(
        (
            pattern,
            "is a checkpoint of DeepSpeed, in parts. Make one file of it with the script zero_to_fp32.py that DeepSpeed puts "
            "beside it, and give that.",
        )
        for pattern in ("zero_to_fp32.py", "*optim_states.pt", "global_step*", "mp_rank_*_model_states.pt")
    ),
    (
        "adapter_model.*",
        "holds an adapter (LoRA), not a whole network. Merge it into its model, and save that: merge_and_unload().",
    ),
    ("blobs", "is a model's folder in the cache of Hugging Face. Give one of the folders in its snapshots."),
    ("saved_model.pb", f"is a model of TensorFlow. {_TENSORS}"),
    ("*.ckpt.index", f"is a checkpoint of TensorFlow. {_TENSORS}"),
    ("events.out.tfevents*", "is a log of TensorBoard, without weights. Give the checkpoint of that run."),
)


def said_of_archive(file: Path) -> str | None:
    """What an archive is that ``torch.save`` did not write, and what to do; None where it may be one of those."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [f"/{name}" for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    return next((said for end, said in _RECORDS if any(name.endswith(end) for name in names)), None)


def said_of_file(file: Path) -> str | None:
    """What a file is that could not be read, and what to do; None where its look does not say."""
    with file.open("rb") as stream:
        start = stream.read(64)
    if "tfevents" in file.name:
        return _FOLDERS[-1][1]
    if start[:1] == b"\x08" and b"pytorch" in start:  # as exporters begin a graph: its version, then who made it
        return _SUFFIXES[".onnx"]
    by_start = next((said for begin, said in _STARTS if start.startswith(begin)), None)
    return by_start or _SUFFIXES.get(file.suffix or file.name)


def said_of_folder(folder: Path) -> str | None:
    """What a folder of weights is that is not read, and what to do; None where its files do not say."""
    return next((said for pattern, said in _FOLDERS if any(folder.glob(pattern))), None)
