"""What a user asks of the noise of a gradient."""

from landscape.probes.noise_scale.measure import NoiseScaleConfig
from landscape.probes.settings import settings_of

NoiseScaleSettings = settings_of(NoiseScaleConfig, "noise_scale")
