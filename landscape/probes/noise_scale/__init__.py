"""The noise scale of the gradient (McCandlish et al. 2018)."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.noise_scale"

NOISE_SCALE = Probe(
    "noise_scale",
    f"{_HERE}.result:SCHEMA",
    question="From which batch size on is a gradient hardly noise?",
    cost="one gradient over all images",
    spreads=True,
    settings=f"{_HERE}.config:NoiseScaleSettings",
    prepare=f"{_HERE}.probe:prepare_noise_scale",
    steps=f"{_HERE}.probe:training_steps",
    title="gradient noise scale",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a gradient noise scale",
            {"noise-scale": f"{_HERE}.picture:noise_figure"},
            f"{_HERE}.page:noise_content",
            "noise_scale",
        ),
    ),
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --images 5000"),
)
