"""What a user asks of the sharpness of a checkpoint."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from landscape.errors import InputError
from landscape.probes.settings import Configured, settings_of
from landscape.probes.sharpness.config import SharpnessConfig


class _Perturbed(Configured):
    @model_validator(mode="after")
    def _in_place(self) -> Self:
        if self.batch_norm == "interpolated":
            raise InputError(
                "batch_norm: 'interpolated' moves the running statistics between checkpoints, and a perturbation leads to "
                "none. Choose frozen, batch or reestimated."
            )
        return self


SharpnessSettings = settings_of(SharpnessConfig, "sharpness", _Perturbed)
