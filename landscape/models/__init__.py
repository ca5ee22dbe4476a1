"""Networks. The coursework's VGG, a multi-layer perceptron, those of other libraries, and a user's own by reference."""

from __future__ import annotations

from landscape.models.mlp import mlp
from landscape.models.others import TRANSFORMERS, from_pretrained, transformers_spec
from landscape.models.registry import FACTS, MODELS, build_model, fitting_options, is_own_code
from landscape.models.vgg import NORMS, vgg

__all__ = [
    "FACTS",
    "MODELS",
    "NORMS",
    "TRANSFORMERS",
    "build_model",
    "fitting_options",
    "from_pretrained",
    "is_own_code",
    "mlp",
    "transformers_spec",
    "vgg",
]
