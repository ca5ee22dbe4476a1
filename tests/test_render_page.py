"""The interactive page holds every value, needs nothing from elsewhere, and cannot be broken by a label."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import render_samples as samples
import render_step_samples as steps
from jinja2 import UndefinedError
from markupsafe import Markup

from landscape.comparison.tables import Table
from landscape.errors import InputError
from landscape.pictures.page_parts import dash
from landscape.pictures.templates import page as page_of
from landscape.printable import printable
from landscape.probes.history.picture import SPLITS
from landscape.probes.interactive import interactive

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--",
    "a & b <b>",
    "quote \" ' \u2028 end",
    "$title {{ 7 * 7 }} {% if",
]


class Page(HTMLParser):
    """The elements of a page, its data, and all text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._raw: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.raw:
            self._raw = self.raw[tag]
            self._raw.append("")

    def handle_endtag(self, tag: str) -> None:
        self._raw = []

    def handle_data(self, data: str) -> None:
        if self._raw:
            self._raw[-1] += data
        else:
            self.words += data

    @property
    def data(self) -> Any:
        return json.loads(self.raw["script"][0])


def test_the_page_loads_nothing_and_is_forbidden_to() -> None:
    page = Page(interactive(samples.plane(5, 5)))
    for _, attributes in page.tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes)
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    assert "@import" not in page.raw["style"][0] and "url(" not in page.raw["style"][0]


def test_every_value_stands_at_its_row_and_column_for_the_mean_and_for_each_seed() -> None:
    dataset = samples.plane(7, 4, seeds=(0, 3))
    data = Page(interactive(dataset)).data
    panel = data["panels"][0]
    assert data["seeds"] == ["mean over seeds", "0", "3"]
    assert panel["x"] == pytest.approx(dataset["x"].values) and panel["y"] == pytest.approx(dataset["y"].values)
    loss, error = dataset["loss"].values, dataset["loss_standard_error"].values
    for layer, values, errors in zip(
        panel["layers"], [loss.mean(axis=0), *loss], [error.mean(axis=0), *error], strict=True
    ):
        assert np.array(layer["values"]) == pytest.approx(values, rel=1e-8)
        assert np.array(layer["errors"]) == pytest.approx(errors, rel=1e-8)
    others = {other["name"]: np.array(other["values"]) for other in panel["layers"][0]["others"]}
    assert others["accuracy"] == pytest.approx(dataset["accuracy"].values.mean(axis=0))
    assert others["standard deviation over seeds"] == pytest.approx(loss.std(axis=0, ddof=1), rel=1e-8, abs=1e-6)


def test_points_without_a_number_are_null_and_named() -> None:
    dataset = samples.with_holes(samples.plane(21, 11))
    layer = Page(interactive(dataset)).data["panels"][0]["layers"][0]
    loss, status = dataset["loss"].values[0], dataset["status"].values[0]
    words = np.full(loss.shape, "", dtype=object)
    for gap in layer["gaps"]:
        words[gap["row"], gap["column"]] = gap["word"]
    assert np.array_equal(words == "not measured", status == 0)
    assert np.array_equal(words == "NaN", np.isnan(loss) & (status == 1))
    assert np.array_equal(words == "+∞", np.isposinf(loss))
    assert np.array_equal(np.array([[v is None for v in row] for row in layer["values"]]), words != "")


def test_planes_share_the_ends_of_both_scales() -> None:
    first, second = samples.plane(9, 9), samples.dead_plane(9, 9)
    data = Page(interactive([first, second])).data
    ends = [float(first["loss"].min()), float(first["loss"].max())]
    assert data["scale"]["log"] is True
    assert data["scale"]["limits"]["linear"] == pytest.approx(ends)
    assert data["scale"]["limits"]["log"] == pytest.approx(ends)


def test_a_dead_plane_alone_keeps_a_scale_on_which_it_is_flat_and_says_why() -> None:
    data = Page(interactive(samples.dead_plane(9, 9))).data
    low, high = data["scale"]["limits"]["linear"]
    assert high - low > 0.1
    assert data["panels"][0]["note"].startswith("dead network, not a smooth one")


def test_negative_values_leave_no_log_scale_to_switch_to() -> None:
    data = Page(interactive(samples.plane(5, 5, surface=lambda x, y, seed: x - y))).data
    assert data["scale"]["limits"]["log"] is None and data["scale"]["log"] is False


def test_the_page_opens_as_asked() -> None:
    data = Page(interactive(samples.plane(9, 9, seeds=(4, 6)), scale="linear", loss_max=12.5, seed=6)).data
    assert (data["scale"]["log"], data["scale"]["clip"], data["seeds"][data["seed"]]) == (False, 12.5, "6")


@pytest.mark.parametrize("label", HOSTILE)
def test_a_label_cannot_break_out_of_its_place(label: str) -> None:
    page = Page(interactive([samples.plane(3, 3), samples.dead_plane(3, 3)], labels=[label, "other"]))
    assert [tag for tag, _ in page.tags].count("script") == 3
    shown = label.replace("\u2028", r"\u2028")  # what breaks a line is shown as its escape
    assert page.data["panels"][0]["label"] == shown
    assert page.raw["title"] == [f"Loss surface: {shown} | other"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_title_a_note_and_what_a_file_says_cannot_break_out_of_their_places(text: str) -> None:
    plane = samples.plane(3, 3, data=text, note=text, checkpoint=text)
    page, plain = Page(interactive(plane, title=text)), Page(interactive(samples.plane(3, 3)))
    assert page.tags == plain.tags
    assert page.raw["title"] == [text.replace("\u2028", r"\u2028")]
    assert page.words.count(printable(text)) == 4  # as the heading, and thrice in the caption
    assert all("\u2028" not in script for script in page.raw["script"])


def test_what_is_put_into_a_template_is_text_unless_it_is_marked_as_ours() -> None:
    table = Table("</title><i>", ("<i>", "b"), [("<i>", "&amp;"), ("\x1b", "'")])
    text = page_of("comparison.html", title="<i>", reading=Markup("<em>"), tables=[table], lists=[("<i>", ["<i>"])])
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("em") == 1
    assert "i" not in [tag for tag, _ in page.tags]
    assert "&amp;" in page.words and r"\x1b" in page.words
    with pytest.raises(UndefinedError):
        page_of("comparison.html", title="what else there is to say is missing")


def test_the_page_has_a_title_a_caption_and_fits_small_screens() -> None:
    page = Page(interactive(samples.plane(3, 3), title="My plane"))
    assert page.raw["title"] == ["My plane"]
    assert "BN policy: frozen, 37 BN layers. Data: fashion-mnist-10k/train, 1,000 samples." in page.words
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [a for _, a in page.tags]


def test_lines_carry_seeds_mean_bands_and_gaps() -> None:
    dataset = samples.line(11)
    dataset["loss"][1, 2] = np.nan
    chart = Page(interactive(dataset)).data["charts"][0]
    loss = dataset["loss"].values
    drawn = [[np.nan if v is None else v for v in line["y"]] for line in chart["lines"] if len(line["x"]) == 11]
    assert np.array(drawn) == pytest.approx(np.array([*loss, loss.mean(axis=0)]), rel=1e-8, nan_ok=True)
    spread, error = chart["lines"][3]["bands"]
    assert spread["upper"][0] == pytest.approx(loss[:, 0].mean() + loss[:, 0].std(ddof=1))
    assert error["lower"][0] == pytest.approx((loss - dataset["loss_standard_error"].values)[:, 0].mean())
    assert [gap["x"] for gap in chart["gaps"]] == [[pytest.approx(float(dataset["x"][2]))]]


def test_histories_carry_every_curve_and_where_they_have_no_number() -> None:
    history = samples.history(6)
    history["train_loss"][4:] = np.inf
    data = Page(interactive([history, samples.history(6, norm="none")], quantity="all")).data
    assert [chart["yLabel"] for chart in data["charts"]] == ["loss (nat)", "accuracy", "learning rate"]
    assert [group["name"] for group in data["groups"]] == ["vgg38, BatchNorm", "vgg38, no BatchNorm"]
    loss = data["charts"][0]
    assert loss["lines"][0]["y"][:4] == pytest.approx(history["train_loss"].values[:4])
    assert loss["lines"][0]["y"][4:] == [None, None]
    assert loss["gaps"][0]["x"] == [5, 6]
    assert loss["lines"][1]["dash"] == dash(SPLITS["validation"]) != "solid"


def test_a_dead_network_is_told_from_living_ones_and_the_long_caption_lies_behind_a_fold() -> None:
    page = Page(interactive([samples.dead_plane(5, 5), samples.plane(5, 5, norm="none")]))
    assert [panel["state"] for panel in page.data["panels"]] == ["dead", ""]
    assert "dead network, not a smooth one" in page.data["panels"][0]["note"]
    assert page.words.index("Loss at θ") < page.words.index("More of the caption") < page.words.index("Data: fashion")


def test_a_page_without_any_number_still_opens() -> None:
    dataset = samples.plane(3, 3)
    dataset["loss"][...] = np.nan
    data = Page(interactive(dataset)).data
    assert data["panels"][0]["note"] == "no finite value on this plane"


def test_a_seed_that_not_every_plane_has_is_refused() -> None:
    planes = [samples.plane(3, 3, seeds=(0, 1)), samples.plane(3, 3, seeds=(1, 2))]
    assert Page(interactive(planes)).data["seeds"] == ["mean over seeds", "1"]
    with pytest.raises(InputError, match=r"seed: expected 'mean' or one of the measured seeds 1, 2, got 0"):
        interactive(planes, seed=0)


def test_no_end_of_the_scale_goes_beyond_what_an_adaptive_plane_knows() -> None:
    dataset = steps.adaptive(samples.plane(11, 11), loss_max=6.0)
    scale = Page(interactive(dataset)).data["scale"]
    assert scale["known"] == 6.0 and scale["clip"] is None
    assert scale["limits"]["linear"][1] == scale["limits"]["log"][1] == 6.0
    assert Page(interactive(dataset, loss_max=2.5)).data["scale"]["clip"] == 2.5
    assert Page(interactive(samples.plane(11, 11))).data["scale"]["known"] is None


def test_every_point_of_a_plane_says_how_it_came_to_be() -> None:
    dataset = steps.adaptive(samples.plane(9, 7))
    data = Page(interactive(dataset, points=True)).data
    status = data["panels"][0]["layers"][0]["status"]
    assert data["points"] is True
    assert [["-mia".index(letter) for letter in row] for row in status] == dataset["status"].values[0].tolist()


def test_a_sweep_on_the_page_is_one_curve_a_setting_with_the_range_of_its_seeds() -> None:
    histories = steps.sweep(values=(1e-2, 1e-4), seeds=(0, 1), epochs=5)
    data = Page(interactive(histories)).data
    assert [group["name"] for group in data["groups"]] == [
        "learning rate 1e-4 (2 seeds)",
        "learning rate 1e-2 (2 seeds)",
    ]
    line = data["charts"][0]["lines"][0]
    every = np.stack([history["train_loss"].values for history in histories[2:]])
    assert line["y"] == pytest.approx(every.mean(axis=0))
    assert line["bands"][0]["lower"] == pytest.approx(every.min(axis=0))
    assert line["bands"][0]["upper"] == pytest.approx(every.max(axis=0))
