"""Images that live once in memory as bytes; crop, flip and normalisation happen on their device, a batch at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from landscape.data.tensors import checked_labels, update_hash
from landscape.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images as one uint8 tensor.

    A batch is ``(pixel / 255 − mean) / std`` in float32, shape ``(B, C, H, W)``, with int64 labels ``(B,)``. A training batch is
    first cropped and flipped: the image, padded by ``crop_padding`` black pixels on each side, is cut back to its size at
    one of the (2·padding + 1)² offsets, each equally likely, and mirrored left to right with probability 1/2 if ``flip``. This
    is torchvision's ``RandomCrop(size, padding)``, ``RandomHorizontalFlip()``, ``ToTensor()``, ``Normalize(mean, std)``.

    Args:
        images: uint8, shape ``(N, C, H, W)``.
        labels: integers in 0 … classes − 1, shape ``(N,)``.
        mean, std: per channel, on the scale where 255 is 1; one value serves all channels.
        classes: the number of classes.
        name: what results call this split.
        crop_padding: pixels; 0 for no crop.
        flip: whether training images are mirrored at random.

    Raises:
        InputError: naming the argument, what was expected and what arrived; for labels, the label and the range.

    Example:
        >>> pixels, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1, 0])
        >>> images = ls.ImageData(pixels, labels, mean=(0.5,), std=(0.5,), classes=2)
        >>> images.batch(torch.arange(2))[0].unique()
        tensor([-1.])
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    name: str = "images"
    crop_padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        images = self.images
        if images.dtype != torch.uint8 or images.ndim != 4 or len(images) == 0:
            raise InputError(
                f"images: expected a uint8 tensor of shape (N, C, H, W) with N at least 1, "
                f"got {images.dtype} of shape {tuple(images.shape)}."
            )
        labels = checked_labels(self.labels, self.classes, samples=len(images)).to(images.device)
        if self.crop_padding < 0:
            raise InputError(f"crop_padding: expected a number of pixels, 0 or more, got {self.crop_padding!r}.")
        object.__setattr__(self, "labels", labels)
        for argument in ("mean", "std"):
            object.__setattr__(self, argument, self._per_channel(argument))
        if min(self.std) <= 0:
            raise InputError(f"std: expected values above 0, got {self.std!r}.")

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.images.device)
        return self._normalised(self.images[indices]), self.labels[indices]

    def training_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.images.device)
        images = self.images[indices]
        if self.crop_padding:
            # Drawn on the CPU and moved, so that every device sees the same images.
            offsets = torch.randint(2 * self.crop_padding + 1, (2, len(indices)), generator=generator)
            images = self._cropped(images, offsets.to(images.device))
        if self.flip:
            mirrored = (torch.rand(len(indices), generator=generator) < 0.5).to(images.device)
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        return self._normalised(images), self.labels[indices]

    def fingerprint(self) -> str:
        return self._fingerprint

    def to(self, device: torch.device | str) -> ImageData:
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    @cached_property
    def _fingerprint(self) -> str:
        hasher = hashlib.sha256(repr((self.mean, self.std, self.classes)).encode())
        update_hash(hasher, (self.images, self.labels))
        return hasher.hexdigest()[:16]

    @cached_property
    def _mean_std(self) -> tuple[Tensor, Tensor]:
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float32, device=self.images.device)
        return mean[:, None, None], std[:, None, None]

    def _normalised(self, images: Tensor) -> Tensor:
        mean, std = self._mean_std
        # By a tensor: a GPU multiplies by a number's rounded reciprocal, and a batch's bits would depend on the device.
        return images.to(torch.float32).div_(torch.full_like(std, 255)).sub_(mean).div_(std)

    def _cropped(self, images: Tensor, offsets: Tensor) -> Tensor:
        """Image b of ``(B, C, H, W)``, padded, from row ``offsets[0, b]`` and column ``offsets[1, b]`` on."""
        height, width = images.shape[-2:]
        # A view (B, C, rows, columns, H, W) of every window; indexing it copies one window an image.
        windows = pad(images, (self.crop_padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(len(images), device=images.device), :, offsets[0], offsets[1]]

    def _per_channel(self, argument: str) -> tuple[float, ...]:
        values = tuple(float(value) for value in getattr(self, argument))
        channels = self.images.shape[1]
        if len(values) not in (1, channels):
            raise InputError(f"{argument}: expected one value or {channels}, one a channel, got {values!r}.")
        return values * channels if len(values) == 1 else values
