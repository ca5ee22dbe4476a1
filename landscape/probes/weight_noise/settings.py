"""What a user asks of weight noise."""

from landscape.probes.settings import settings_of
from landscape.probes.weight_noise.config import WeightNoiseConfig

WeightNoiseSettings = settings_of(WeightNoiseConfig, "weight_noise")
