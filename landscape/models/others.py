"""Models of other libraries, by name or from a folder: transformers, timm, torchvision. Each is imported when it is used."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from landscape.checking import check_counts
from landscape.errors import InputError, first_line, unknown_choice

TORCHVISION, TIMM, TRANSFORMERS = "torchvision:", "timm:", "hf:"
PREFIXES = (TORCHVISION, TIMM, TRANSFORMERS)
_TWICE = ("eager", "sdpa")  # ways of attention that have second derivatives


def from_pretrained(path: str | Path, *, download: bool = False) -> nn.Module:
    """A trained model of transformers, timm or torchvision, in evaluation mode and single precision, ready to be measured.

    Args:
        path: a folder that ``save_pretrained`` of transformers or peft wrote, also as ``hf:FOLDER``; ``hf:NAME``, ``timm:NAME`` or
            ``torchvision:NAME`` for a model of these libraries by its name.
        download: whether files that this machine has not may be fetched. By default nothing goes over the network.

    The class is that which the configuration names, one of transformers' own; code beside the weights is never run. Attention runs
    in a way that has second derivatives.

    Raises:
        InputError: for a folder without a configuration, a name that does not exist, a package that is not installed, and weights
            that are not on this machine without ``download``.

    Example:
        >>> try:
        ...     ls.from_pretrained("no/such/folder")
        ... except ls.LandscapeError as error:
        ...     print(str(error)[:37])
        from_pretrained: no folder 'no/such/f
    """
    named = str(path)
    if named.startswith(TIMM):
        return _loaded(named, lambda: _timm().create_model(named.removeprefix(TIMM), pretrained=True), download).eval()
    if named.startswith(TORCHVISION):
        from torchvision import models

        chosen = _known_of_torchvision(named)
        return _loaded(named, lambda: models.get_model(chosen, weights="DEFAULT"), download).eval()
    place = named.removeprefix(TRANSFORMERS)
    folder = Path(place).expanduser()
    if not folder.is_dir() and (not named.startswith(TRANSFORMERS) or folder.is_absolute()):
        raise InputError(
            f"from_pretrained: no folder {place!r}. Expected one that save_pretrained wrote, or hf:NAME, timm:NAME, "
            "torchvision:NAME."
        )
    if (folder / "adapter_config.json").is_file():
        return _with_adapters(folder, download=download)
    config, kind = _configured(place, download=download)
    options = {"local_files_only": not download, "config": config, "dtype": torch.float32}
    try:
        module: nn.Module = kind.from_pretrained(place, **options)
    except Exception as error:
        raise InputError(
            f"from_pretrained: {place!r} cannot be loaded as {kind.__name__}: {first_line(error):.300}{_allowed(download)}"
        ) from error
    return module.eval()


def transformers_spec(path: str | Path) -> dict[str, Any] | None:
    """The name and options of the model that a checkpoint's folder is of, where it has a configuration of transformers."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    try:
        said = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    named = isinstance(said, dict) and "architectures" in said
    return {"name": f"{TRANSFORMERS}{folder}", "options": {}} if named else None


def transformers_model(name: str) -> nn.Module:
    """The model that a folder's configuration names, freshly initialised; its weights are loaded as a checkpoint."""
    config, kind = _configured(name.removeprefix(TRANSFORMERS), download=False)
    try:
        module: nn.Module = kind(config)
    except Exception as error:
        raise InputError(f"model {name!r}: {kind.__name__} cannot be built: {first_line(error):.300}") from error
    return module.float()


def timm_model(name: str, classes: int | None = None, **options: Any) -> nn.Module:
    """A model of timm without trained weights."""
    chosen, timm = name.removeprefix(TIMM), _timm()
    if not timm.is_model(chosen):
        raise unknown_choice("timm model", chosen, timm.list_models())
    if "pretrained" in options:
        raise InputError(
            f"model {name!r}, option 'pretrained': it is built untrained; load trained weights as a checkpoint."
        )
    if classes is not None:
        check_counts(classes=classes)
        options["num_classes"] = classes
    try:
        module: nn.Module = timm.create_model(chosen, pretrained=False, **options)
    except Exception as error:
        raise InputError(f"model {name!r}: timm refused the options {options!r}: {first_line(error):.300}") from error
    return module


def torchvision_model(name: str, classes: int = 1000, **options: Any) -> nn.Module:
    """A classification model of torchvision without trained weights."""
    from torchvision import models

    chosen = _known_of_torchvision(name)
    if "weights" in options:
        raise InputError(
            f"model {name!r}, option 'weights': it is built untrained; load trained weights as a checkpoint."
        )
    check_counts(classes=classes)
    try:
        model: nn.Module = models.get_model(chosen, weights=None, num_classes=classes, **options)
    except Exception as error:
        raise InputError(
            f"model {name!r}: torchvision refused the options {options!r} with {classes} classes "
            f"({type(error).__name__}: {error})."
        ) from error
    return model


def _known_of_torchvision(name: str) -> str:
    from torchvision import models

    chosen = name.removeprefix(TORCHVISION)
    # Only the classification models: the others (detection, segmentation) take no plain batch of images and labels.
    names = models.list_models(module=models)
    if chosen not in names:
        raise unknown_choice("torchvision model", chosen, names)
    return chosen


def _configured(place: str, *, download: bool) -> tuple[Any, Any]:
    """The configuration, and the class of transformers that it names."""
    transformers = _imported("transformers", "hf")
    try:
        config = transformers.AutoConfig.from_pretrained(place, local_files_only=not download, trust_remote_code=False)
    except Exception as error:
        raise InputError(
            f"hf:{place}: no configuration of transformers is there ({first_line(error):.200}). Expected a folder with "
            "config.json, as "
            f"save_pretrained writes it.{_allowed(download)}"
        ) from error
    named = list(getattr(config, "architectures", None) or [])
    kind = getattr(transformers, named[0], None) if named else None
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise InputError(
            f"hf:{place}: its configuration names {named or 'no architecture'}, which is no class of transformers "
            f"{transformers.__version__}. Build the module and give it itself: ls.Objective(module, …)."
        )
    if getattr(config, "_attn_implementation", None) not in (None, *_TWICE):
        config._attn_implementation = "eager"
    return config, kind


def _with_adapters(folder: Path, *, download: bool) -> nn.Module:
    peft = _imported("peft", "hf")
    said = json.loads((folder / "adapter_config.json").read_text())
    below = said.get("base_model_name_or_path")
    if not below:
        raise InputError(
            f"from_pretrained: {folder} has adapters alone, and its adapter_config.json does not say of which model "
            "(base_model_name_or_path). Write its folder there, or load it yourself: peft.PeftModel.from_pretrained(model, folder)."
        )
    base = from_pretrained(f"{TRANSFORMERS}{below}", download=download)
    module: nn.Module = peft.PeftModel.from_pretrained(base, folder, local_files_only=not download)
    return module.eval()


def _loaded(name: str, load: Any, download: bool) -> nn.Module:
    """Weights of timm or torchvision, which these libraries fetch where they are not in their caches."""
    if not download:
        raise InputError(
            f"from_pretrained: the trained weights of {name} are fetched by its library, and nothing is downloaded unless it is "
            "said: "
            f"from_pretrained({name!r}, download=True). Untrained it is built by build_model({name!r})."
        )
    try:
        module: nn.Module = load()
    except Exception as error:
        raise InputError(f"from_pretrained: {name}: {first_line(error):.300}") from error
    return module


def _allowed(download: bool) -> str:
    return "" if download else " Nothing is downloaded unless it is said: download=True."


def _timm() -> ModuleType:
    return _imported("timm", "hf")


def _imported(package: str, extra: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"model: {package} is not installed. Install it: pip install {package}, or landscape-lab[{extra}]."
        ) from error
