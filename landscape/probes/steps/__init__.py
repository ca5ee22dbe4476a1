"""The loss and its gradient along the steps of a training (Santurkar et al. 2018), and the range of both over runs."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.steps"

STEPS = Probe(
    "steps",
    f"{_HERE}.result:SCHEMA",
    question="How far along a training step do loss and gradient stay what they were?",
    cost="training for so many steps, and a training step for each look at each η",
    settings=f"{_HERE}.config:StepsSettings",
    prepare=f"{_HERE}.probe:prepare_steps",
    steps=f"{_HERE}.probe:training_steps",
    title="probed training steps",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "probed training steps",
            {"steps": f"{_HERE}.picture:steps_figure"},
            f"{_HERE}.page:steps_content",
            uses=frozenset({"loss_max", "share", "along"}),
        ),
    ),
    compared=f"{_HERE}.result:ALONG_STEPS",
    observer=f"{_HERE}.observer:StepProbe",
    run_file="steps.h5",
    run_hint="Train with --probe-every, such as --probe-every 10.",
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --steps 200 --probe-every 5"),
)

RUN_RANGE = Probe(
    "run_range",
    f"{_HERE}.result:RUN_RANGE",
    title="range over training runs",
    words=f"{_HERE}.result:run_range_words",
    drawn=(
        Drawn(
            "a range over training runs",
            {"run-range": f"{_HERE}.picture:run_range_figure"},
            f"{_HERE}.page:run_range_content",
            uses=frozenset({"loss_max", "share"}),
        ),
    ),
)
