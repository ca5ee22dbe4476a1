"""Small networks and data that several test files share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape.numerics.seeds import generator


def images(
    n: int = 24, *, classes: int = 4, dtype: torch.dtype = torch.float64, size: int = 6
) -> tuple[Tensor, Tensor]:
    draws = generator(0, "test images")
    inputs = torch.randn(n, 2, size, size, generator=draws, dtype=torch.float64).to(dtype)
    return inputs, torch.randint(classes, (n,), generator=draws)


def conv_net(
    *, classes: int = 4, dtype: torch.dtype = torch.float64, seed: int = 0, norm: bool = True, width: int = 5
) -> nn.Module:
    """Convolutions with BatchNorm whose running statistics and affine parameters are not the initial ones.

    419 parameters; 116 at a width of 2."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for channels in (2, width):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.01))
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes)).to(dtype)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
        net.train()
        for _ in range(3):
            net(torch.randn(16, 2, 6, 6, dtype=dtype))
    return net.eval()


def tiny_transformer(dtype: torch.dtype = torch.float64) -> nn.Module:
    """A transformer encoder layer over 2×6×6 inputs seen as 6 tokens of 12 features, pooled into 4 classes."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return _Transformer().to(dtype).eval()


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(12, 2, 16, dropout=0.3, batch_first=True, activation="gelu")
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 1, 3).reshape(len(x), 6, 12)
        return self.head(self.encoder(tokens).mean(1))


class TiedAutoencoder(nn.Module):
    """One weight used twice; returns a reconstruction of its flattened input."""

    def __init__(self, features: int = 6, hidden: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.linspace(-1, 1, features * hidden, dtype=torch.float64).reshape(hidden, features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.T) @ self.weight


def state_of(module: nn.Module) -> dict[str, object]:
    """Everything about a module that an evaluation must leave as it was."""
    return {
        "tensors": {k: v.clone() for k, v in module.state_dict().items()},
        "addresses": {k: v.data_ptr() for k, v in module.state_dict().items()},
        "modes": {k: m.training for k, m in module.named_modules()},
        "requires_grad": {k: p.requires_grad for k, p in module.named_parameters()},
        "grads": {k: p.grad for k, p in module.named_parameters()},
        "momenta": {k: getattr(m, "momentum", None) for k, m in module.named_modules()},
    }


def same_state(a: dict[str, object], b: dict[str, object]) -> bool:
    tensors_a, tensors_b = a.pop("tensors"), b.pop("tensors")
    assert isinstance(tensors_a, dict)
    assert isinstance(tensors_b, dict)
    return a == b and all(torch.equal(t, tensors_b[k]) for k, t in tensors_a.items())
