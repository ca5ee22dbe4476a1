"""What a picture's file holds, and what stands beside it: the caption, fonts and text, the user's own style."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import render_samples as samples
import render_step_samples as steps
from figure_checks import faults
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from landscape.errors import InputError
from landscape.pictures.beside import tex
from landscape.probes.plot import plot
from landscape.results import save_result
from landscape.studies.pictures import Drawing, draw, draw_files, turn


def saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def test_the_figure_has_a_line_of_caption_and_all_of_it_stands_beside_and_inside_its_file(tmp_path: Path) -> None:
    paths = [tmp_path / f"plane.{suffix}" for suffix in ("png", "svg", "pdf")]
    figure = plot(samples.plane(7, 7), width=3.3)
    draw([samples.plane(7, 7)], paths, Drawing(width=3.3))
    on = next(text for text in figure.texts if text.get_gid() == "caption").get_text()
    assert "\n" not in on and len(on) < len(figure.caption) / 3
    assert figure.caption in (tmp_path / "plane.txt").read_text()
    assert tex(figure.caption) in (tmp_path / "plane.tex").read_text()
    with Image.open(paths[0]) as image:
        assert image.text["Description"] == figure.caption  # type: ignore[attr-defined]
    words = " ".join(ElementTree.parse(paths[1]).getroot().itertext())
    assert figure.caption in words
    assert b"/Subject" in paths[2].read_bytes()


def test_a_caption_of_somebody_elses_stays(tmp_path: Path) -> None:
    (tmp_path / "paper.tex").write_text(r"\documentclass{article}")
    for _ in range(2):
        draw([samples.plane(5, 5)], [tmp_path / "paper.pdf"], Drawing())
    assert (tmp_path / "paper.tex").read_text() == r"\documentclass{article}"
    assert r"\caption[" in (tmp_path / "paper.caption.tex").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "paper.caption.tex",
        "paper.pdf",
        "paper.tex",
        "paper.txt",
    ]


@pytest.mark.parametrize(("caption", "lines"), [("none", 0), ("short", 1), ("full", 5)])
def test_so_much_of_the_caption_stands_on_the_figure(caption: str, lines: int) -> None:
    figure = plot(samples.plane(7, 7), caption=caption)
    found = [text for text in figure.texts if text.get_gid() == "caption"]
    assert sum(len(text.get_text().splitlines()) for text in found) >= lines
    assert len(found) == (lines > 0)
    assert figure.caption.startswith("Loss at θ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of $5 & #1_a {b} \\x ~ ^ <b>", r"50 \% of \$5 \& \#1\_a \{b\} \textbackslash{}x \textasciitilde{} "
         r"\textasciicircum{} \textless{}b\textgreater{}"),
        ("θ + x d₁, 10⁻³", r"\ensuremath{\theta} + x d\ensuremath{_{1}}, 10\ensuremath{^{-3}}"),
        ("‖θ‖₂ ± −1 ×", r"\ensuremath{\Vert}\ensuremath{\theta}\ensuremath{\Vert}\ensuremath{_{2}} \ensuremath{\pm} "
         r"\ensuremath{-}1 \ensuremath{\times}"),
    ],
)  # fmt: skip
def test_captions_are_latex_in_which_nothing_acts(text: str, expected: str) -> None:
    assert tex(text) == expected


def test_pdf_embeds_truetype_and_svg_keeps_its_text() -> None:
    figure = plot([samples.plane(7, 7), samples.dead_plane(7, 7)], labels=["<b>&", "other"])
    pdf = saved(figure, "pdf")
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and pdf.rstrip().endswith(b"%%EOF")
    root = ElementTree.fromstring(saved(figure, "svg"))
    texts = {"".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"<b>&", "other", "dead", "loss (nat)"} <= texts


def test_a_surface_in_a_pdf_is_a_picture_of_its_skin_alone() -> None:
    pdf = saved(plot(samples.plane(21, 21), kind="surface"), "pdf")
    assert len(pdf) < 400_000 and b"/FontFile2" in pdf


def test_the_users_own_settings_are_obeyed_and_left_alone() -> None:
    with mpl.rc_context(
        {"font.size": 12, "axes.prop_cycle": mpl.cycler(color=["#112233", "#445566"]), "image.cmap": "magma"}
    ):
        before = dict(mpl.rcParams)
        figure = plot([samples.history(4), samples.history(4, norm="none")])
        assert figure.axes[0].xaxis.label.get_size() == 12
        assert {to_hex(line.get_color()) for line in figure.axes[0].lines} == {"#112233", "#445566"}
        assert plot(samples.plane(5, 5)).axes[0].collections[0].get_cmap().name == "magma"
        assert dict(mpl.rcParams) == before
    assert plot(samples.plane(5, 5)).axes[0].xaxis.label.get_size() == 7.5


def test_a_style_sheet_goes_over_all_else(tmp_path: Path) -> None:
    sheet = tmp_path / "mine.mplstyle"
    sheet.write_text("axes.facecolor: 00ff00\nfont.size: 9\n")
    with mpl.rc_context({"font.size": 12}):
        figure = plot(samples.line(5), style=sheet)
    assert to_hex(figure.axes[0].get_facecolor()) == "#00ff00"
    assert figure.axes[0].xaxis.label.get_size() == 9
    with pytest.raises(InputError, match="style: expected a style sheet of matplotlib"):
        plot(samples.line(5), style="no such style")


def test_larger_words_still_cover_nothing() -> None:
    with mpl.rc_context({"font.size": 11}):
        figures = [plot(samples.plane(9, 9), width=3.3), plot(samples.history(5), width=7.0, quantity="all")]
    assert not [fault for figure in figures for fault in faults(figure, least=0.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption": "long"}, "caption: unknown value 'long'"),
        ({"cmap": "viridiss"}, "cmap: unknown value 'viridiss'. Did you mean 'viridis'"),
        ({"height": 0.2}, "height: expected 1 to 40 inches, got 0.2"),
        ({"height": 1.0, "width": 3.3}, r"height: 1 inches are too few for 1 row\(s\) of panels"),
        ({"view": (0, 100), "kind": "surface"}, "view: expected azimuth and elevation in degrees"),
        ({"view": (0, 30)}, "view: a contour is drawn flat"),
    ],
)
def test_words_that_fit_no_picture_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot(samples.plane(5, 5), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height"), [(3.3, 4.0), (7.0, 3.0), (7.0, 9.0)])
def test_width_and_height_are_those_asked_for_and_nothing_collides(width: float, height: float) -> None:
    for datasets in ([samples.plane(9, 9)], [samples.history(5)], [samples.line(9), samples.line(9, norm="none")]):
        figure = plot(datasets, width=width, height=height)
        assert figure.get_size_inches().tolist() == [width, height]
        assert not faults(figure, least=0.0)


def test_a_surface_is_seen_from_where_it_was_asked_for_and_turns_once_around(tmp_path: Path) -> None:
    axes = plot(samples.plane(5, 5), kind="surface", view=(30, 60)).axes[0]
    assert (axes.azim, axes.elev) == (30, 60)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="turn: unknown value 'avi'"):
        turn([samples.plane(5, 5)], tmp_path / "turn.avi", Drawing())


@pytest.mark.slow
def test_a_turntable_shows_the_surface_from_all_sides(tmp_path: Path) -> None:
    turn([samples.plane(5, 5)], tmp_path / "turn.gif", Drawing(width=2.5, dpi=50))
    with Image.open(tmp_path / "turn.gif") as image:
        assert image.n_frames == 48  # type: ignore[attr-defined]
        first = np.asarray(image.convert("L"), dtype=float)
        image.seek(24)
        assert np.abs(np.asarray(image.convert("L"), dtype=float) - first).mean() > 1


def test_a_network_has_one_colour_in_every_picture_of_a_study() -> None:
    study = [samples.history(4, norm=norm) for norm in ("none", "batch", "input")]
    alone = plot(study[1], study=study).axes[0]
    together = plot(study, study=study).axes[0]
    colours = [to_hex(line.get_color()) for line in together.lines]
    assert {to_hex(line.get_color()) for line in alone.lines} == {list(dict.fromkeys(colours))[1]}
    lines = plot([samples.line(5, norm="input")], study=study).axes[0]
    assert list(dict.fromkeys(colours))[2] in {to_hex(line.get_color()) for line in lines.lines}


def test_a_second_setting_has_dashes_and_seeds_share_a_name() -> None:
    runs = [steps.steps(9, norm=n, learning_rate=rate) for n in ("none", "batch") for rate in (1e-3, 1e-2)]
    figure = plot(runs, quantity="beta")
    handles = figure.legends[0].get_lines()[:4]
    assert len({handle.get_color() for handle in handles}) == 2
    assert len({str(handle.get_linestyle()) for handle in handles}) == 2
    seeds = [steps.steps(9, seed=seed) for seed in range(3)]
    words = [text.get_text() for text in plot(seeds, quantity="beta").legends[0].get_texts()]
    assert re.fullmatch(r".*\(3 seeds\)", words[0])


def test_a_folder_without_curves_stands_for_its_only_result_and_is_else_asked_for_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no history.h5, nor any other result"):
        draw_files([tmp_path], [], Drawing())
    save_result(samples.plane(3, 3), tmp_path / "steps.h5")
    assert [path.name for path in draw_files([tmp_path], [], Drawing())] == ["steps.png"]
    save_result(samples.plane(3, 3), tmp_path / "flow.h5")
    with pytest.raises(InputError, match=r"has no history.h5, it has flow.h5, steps.h5: name one"):
        draw_files([tmp_path], [], Drawing())
