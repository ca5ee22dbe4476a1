"""What a study makes of its runs: pictures, tables and comparisons, as its file asks for them.

What each key says of itself is also the help of the option of that name of ``landscape plot`` and ``landscape compare``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from landscape.checking import Option, Settings
from landscape.errors import unknown_choice
from landscape.registry import picture_kinds

_GROUPS = Option("Names of tables of [[runs]]: of these alone.", default="all runs", study=True)


def _kinds() -> str:
    """What is known only when it is asked for: other packages add kinds."""
    *kinds, last = picture_kinds()
    return (
        f"{', '.join(kinds)} or {last}. Of a run's folder, flow, steps and stability draw what was watched; "
        "run-range joins the steps of several runs; topology takes planes too. A study says interactive for a page, and no auto."
    )


class PictureSettings(Settings):
    """One picture of runs side by side: what was watched in training, one kind of drawing of a probe, or a comparison.

    ``runs`` names groups of runs, none of them all; ``probe`` and ``comparison`` are names of those of the study. All else is
    as for :func:`landscape.probes.plot.plot`.
    """

    kind: Annotated[str, Option(_kinds)]
    runs: Annotated[tuple[str, ...], _GROUPS] = ()
    probe: Annotated[
        str | None,
        Option("The name of a probe of this study, where a probe is drawn.", default="the first", study=True),
    ] = None
    quantity: Annotated[
        str | None,
        Option(
            "Planes, paths and curves: loss or accuracy; curves: loss_alone too. flow: mean_abs_gradient or gradient_norm. "
            "steps: all, loss, predictiveness, beta, lipschitz or normalized. topology: all, tree or barcode. "
            "spectrum: density, eigenvalues, trace or frobenius_norm. Of what has several measures, such as sharpness or "
            "comparison: one of them.",
            default="the first",
        ),
    ] = None
    along: Annotated[
        Literal["gradient", "update", "relative"] | None,
        Option("steps: gradient, update or relative.", default="gradient"),
    ] = None
    scale: Annotated[Literal["auto", "linear", "log"], Option("auto, linear or log.")] = "auto"
    loss_max: Annotated[float | None, Option("Clip the loss above this value, and say so.")] = None
    formats: Annotated[
        tuple[Literal["png", "svg", "pdf", "html"], ...], Option("A list of png, svg, pdf and html.", study=True)
    ] = ("png",)
    name: Annotated[
        str | None,
        Option("What its files are called.", default="its kind, numbered where there are several", study=True),
    ] = None
    seed: Annotated[
        int | Literal["mean"] | None, Option("One direction seed, or mean.", default="the mean over seeds")
    ] = None
    points: Annotated[bool, Option("Mark which points of a plane were measured.")] = False
    width: Annotated[
        Literal["column", "page"] | float | None,
        Option("column (3.5 inches), page (7 inches), or inches.", default="by the panels"),
    ] = None
    height: Annotated[float | None, Option("In inches.", default="what panels and words need")] = None
    title: Annotated[str | None, Option("Over all panels.", default="what the files have in common")] = None
    caption: Annotated[
        Literal["none", "short", "full"],
        Option(
            "What of the caption stands on the figure: none, short (a line) or full; all of it goes beside it as .txt and .tex."
        ),
    ] = "short"
    view: Annotated[
        tuple[float, float] | None,
        Option("Where a surface is seen from, in degrees: azimuth and elevation.", default="-58,28"),
    ] = None
    cmap: Annotated[str | None, Option("A colour map of matplotlib.", default="ours")] = None
    style: Annotated[str | None, Option("A style sheet of matplotlib, a file or a name.", default="ours")] = None
    dpi: Annotated[float | None, Option("Dots an inch of a PNG.", default="200")] = None
    comparison: Annotated[
        str | None,
        Option("The name of a comparison of this study, where one is drawn.", default="the first", study=True),
    ] = None

    @field_validator("kind")
    @classmethod
    def _kind(cls, value: str) -> str:
        known = [kind for kind in (*picture_kinds(), "interactive") if kind != "auto"]
        if value not in known:
            raise unknown_choice("kind", value, known)
        return value


class TableSettings(Settings):
    """A table of means over the final epochs, a row for each value of the setting ``over``, with published numbers beside."""

    name: Annotated[str, Option("What its file is called.", study=True)]
    title: Annotated[str, Option("Its heading.", default="its name", study=True)] = ""
    runs: Annotated[tuple[str, ...], _GROUPS] = ()
    over: Annotated[str, Option("The setting that its rows differ in: batch_size, norm, learning_rate, …", study=True)]
    quantities: Annotated[
        tuple[str, ...],
        Option(
            "Its columns, as training curves call them: train_loss, validation_loss, train_accuracy, validation_accuracy, …",
            study=True,
        ),
    ]
    published: Annotated[
        dict[str, tuple[str, ...]],
        Option("Numbers to stand beside: for a value of over, a text for each quantity.", study=True),
    ] = Field(default_factory=dict)


class ComparisonSettings(Settings):
    """A comparison of runs, and of what was probed of them, by one setting; see ``landscape compare``."""

    name: Annotated[str, Option("What its files are called.", study=True)]
    by: Annotated[str, Option("The setting to compare: batch_size, norm, learning_rate, …")]
    runs: Annotated[tuple[str, ...], _GROUPS] = ()
    measures: Annotated[
        tuple[str, ...],
        Option(
            "Only this measure or family (training, steps, plane, sharpness, curvature, curvature_map); * fits any.",
            default="all",
        ),
    ] = ()
    reference: Annotated[
        str | int | float | None, Option("Compare all against this value.", default="all pairs of up to 6 values")
    ] = None
    equivalence: Annotated[
        dict[str, float],
        Option(
            "For a measure an X: test that no difference is larger than X, in the measure's unit, or no ratio larger, where it "
            "is compared by ratios."
        ),
    ] = Field(default_factory=dict)


PARTS: dict[str, type[Settings]] = {
    "pictures": PictureSettings,
    "tables": TableSettings,
    "comparisons": ComparisonSettings,
}
"""The tables of a study file whose entries are written as they are, without lists to expand."""
