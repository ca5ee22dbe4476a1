"""How much random noise on the weights raises the loss."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.weight_noise"

WEIGHT_NOISE = Probe(
    "weight_noise",
    f"{_HERE}.result:SCHEMA",
    question="How much does random noise on the weights raise the loss?",
    cost="an evaluation for each draw of each noise at each σ",
    spreads=True,
    settings=f"{_HERE}.config:WeightNoiseSettings",
    prepare=f"{_HERE}.probe:prepare_weight_noise",
    steps=f"{_HERE}.probe:training_steps",
    title="weight noise",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a weight noise",
            {"weight-noise": f"{_HERE}.picture:weight_noise_figure"},
            f"{_HERE}.page:weight_noise_content",
        ),
    ),
    compared=f"{_HERE}.result:WEIGHT_NOISE",
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --noise relative --sigma 0.05,0.1 --draws 30"),
)
