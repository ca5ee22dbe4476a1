"""The loss along paths between two checkpoints, and its barrier."""

from landscape.registry import Drawn, Probe

_HERE = "landscape.probes.path"

PATH = Probe(
    "path",
    f"{_HERE}.result:SCHEMA",
    question="Is there a barrier between two trainings, and does a curve go around it?",
    cost="an evaluation a point, twice with re-estimated statistics; a curve is trained first",
    leads=True,
    spreads=True,
    settings=f"{_HERE}.config:PathSettings",
    prepare=f"{_HERE}.probe:prepare_path",
    steps=f"{_HERE}.probe:training_steps",
    title="paths between two checkpoints",
    words=f"{_HERE}.result:words",
    drawn=(
        Drawn(
            "a path",
            {"path": f"{_HERE}.picture:path_figure"},
            f"{_HERE}.page:path_content",
            uses=frozenset({"loss_max", "share"}),
        ),
    ),
    examples=("--checkpoint A.pt --to B.pt", "--checkpoint A.pt --to B.pt --paths linear,aligned,bezier"),
)
