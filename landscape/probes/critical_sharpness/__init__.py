"""How far the loss falls along a step before it rises again, and the curvature that this stands for."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.critical_sharpness"

CRITICAL_SHARPNESS = Probe(
    "critical_sharpness",
    f"{_HERE}.result:SCHEMA",
    question="How large a step along the gradient, or another direction, until the loss rises?",
    cost="about ten evaluations a direction",
    settings=f"{_HERE}.config:CriticalSharpnessSettings",
    prepare=f"{_HERE}.probe:prepare_critical_sharpness",
    steps=f"{_HERE}.probe:training_steps",
    title="critical sharpness",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a critical sharpness",
            {"critical-sharpness": f"{_HERE}.picture:critical_sharpness_figure"},
            f"{_HERE}.page:critical_sharpness_content",
        ),
    ),
    compared=f"{_HERE}.result:COMPARED",
    leads=True,
    examples=("--checkpoint RUN/last.pt", "--checkpoint RUN/last.pt --along gradient,update --tolerance 0.01"),
)

CRITICAL_STEPS = Probe(
    "critical_steps",
    f"{_HERE}.result:STEPS",
    title="critical sharpness along a training",
    words=f"{_HERE}.result:steps_words",
    drawn=(
        Drawn(
            "a critical sharpness along a training",
            {"critical-steps": f"{_HERE}.steps_picture:critical_steps_figure"},
            f"{_HERE}.steps_picture:critical_steps_content",
            uses=frozenset({"loss_max", "share", "along"}),
        ),
    ),
    observer=f"{_HERE}.observer:CriticalSharpnessProbe",
    run_file="critical_steps.h5",
    run_hint="Watch a loop of your own with ls.watch(…, probes=['critical_sharpness']).",
)
