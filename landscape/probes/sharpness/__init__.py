"""How sharp a checkpoint is, by the measures of the literature."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.sharpness"

SHARPNESS = Probe(
    "sharpness",
    f"{_HERE}.result:SCHEMA",
    question="How much can a perturbation of the weights of size ρ raise the loss?",
    cost="some training steps over all images, for each measure at each ρ",
    spreads=True,
    settings=f"{_HERE}.config:SharpnessSettings",
    prepare=f"{_HERE}.probe:prepare_sharpness",
    steps=f"{_HERE}.probe:training_steps",
    title="sharpness",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a sharpness",
            {"sharpness": f"{_HERE}.picture:sharpness_figure"},
            f"{_HERE}.page:sharpness_content",
        ),
    ),
    compared=f"{_HERE}.result:SHARPNESS",
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --measures sam,adaptive --rho 0.05,0.1"),
)
