"""The line under a picture: what was measured, where, on what, and how certain it is, read from the data sets' attributes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr

from landscape.pictures.labels import plain, setting_words, state_words
from landscape.pictures.scale import Scale
from landscape.pictures.style import number


def history_caption(
    labels: Sequence[str], groups: Sequence[Sequence[xr.Dataset]], note: str = "", setting: str | None = None
) -> str:
    """The data and the recipe of each run, and whether one has not ended well; ``setting`` is what its label says already."""
    firsts = [dict(group[0].attrs) for group in groups]
    sentences = [
        note,
        "Lines: means over seeds; bands: from the lowest to the highest" if any(len(g) > 1 for g in groups) else "",
        *run_sentences(labels, groups, setting),
        once(labels, [_ends(group) for group in groups], "State: "),
        once(labels, [str(a.get("dead_reason", "")) if a.get("dead") else "" for a in firsts], "Dead: "),
    ]
    return joined(sentences)


def run_sentences(
    labels: Sequence[str], groups: Sequence[Sequence[xr.Dataset]], setting: str | None = None
) -> list[str]:
    """Data and recipe of trained runs; a group of them differs in nothing but the seed."""
    firsts = [dict(group[0].attrs) for group in groups]
    return [
        once(labels, [str(a.get("data", "")) for a in firsts], "Data: "),
        once(labels, [_recipe(*each, setting) for each in zip(labels, groups, strict=True)], "Recipe: "),
    ]


def _ends(group: Sequence[xr.Dataset]) -> str:
    """How the runs of a group ended, where one did not end well, with their seeds where some did."""
    states = [state_words(history) for history in group]
    words = []
    for state in dict.fromkeys(filter(None, states)):
        seeds = [str(h.attrs.get("seed")) for h, own in zip(group, states, strict=True) if own == state]
        words.append(state + (f" (seed {', '.join(seeds)})" if len(seeds) < len(group) else ""))
    return ", ".join(words)


def scale_note(scale: Scale | None, what: str = "colours") -> str:
    """Whether the scale is logarithmic, and what is drawn at its end instead of beyond it."""
    if scale is None:
        return ""
    parts = [f"Logarithmic {what}"] if scale.log else []
    if scale.over:
        parts.append(f"values above {number(scale.high)} are clipped")
    if scale.under:
        parts.append(f"values below {number(scale.low)} are clipped")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def joined(sentences: Sequence[str]) -> str:
    """Sentences, as far as there are any."""
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def full_caption(note: str, caption: str, more: Sequence[str] = ()) -> str:
    """What the data sets want said first, the caption, and further sentences."""
    return " ".join(filter(None, (note.strip(), caption.strip(), joined(more))))


def sentences_of(words: str) -> list[str]:
    """A caption in its sentences, which end in a stop before a capital letter."""
    return re.split(r"(?<=\.) (?=[^\W\d_a-z])", words)


def short_caption(words: str, fits: Callable[[str], bool]) -> str:
    """As many of a caption's sentences as fit on one line; of the first the clauses, or else the words, where not even it does."""
    sentences = sentences_of(words.replace("\n", " "))  # a label may have several lines
    line = ""
    for sentence in sentences:
        longer = f"{line} {sentence}".strip()
        if not fits(longer):
            break
        line = longer
    if line:
        return line
    clauses = sentences[0].rstrip(".").split("; ")
    whole = [n for n in range(1, len(clauses)) if fits("; ".join(clauses[:n]) + ".")]
    if whole:
        return "; ".join(clauses[: whole[-1]]) + "."
    parts = sentences[0].split(" ")
    fitting = [n for n in range(1, len(parts)) if fits(" ".join(parts[:n]).rstrip(";,:") + " …")]
    if fitting:
        return " ".join(parts[: fitting[-1]]).rstrip(";,:") + " …"
    letters = next((n for n in range(len(sentences[0]), 0, -1) if fits(sentences[0][:n].rstrip() + "…")), 0)
    return sentences[0][:letters].rstrip() + "…" if letters else ""


def once(labels: Sequence[str], texts: Sequence[str], head: str, *, everywhere: bool = True) -> str:
    """The text that all share, or each with the panels it belongs to; nothing where there is none.

    ``everywhere``: whether the labels are all panels, so that a text of each needs none of them.
    """
    if not any(texts):
        return ""
    if everywhere and len(set(texts)) == 1:
        return head + texts[0]
    of: dict[str, list[str]] = {}
    for label, text in zip(labels, texts, strict=True):
        of.setdefault(text, []).append(label)
    return head + "; ".join(f"{text} [{'; '.join(those)}]" for text, those in of.items() if text)


def policy_words(attrs: dict[str, Any]) -> str:
    """The BN policy, and of how many layers."""
    policy = str(attrs.get("bn_policy", ""))
    layers = attrs.get("bn_layers")
    return f"{policy}, {layers} BN layer{'s' if layers != 1 else ''}" if policy and layers else policy


def data_words(attrs: dict[str, Any]) -> str:
    """The data, how many samples of it, and whether the network drew random numbers, as in training."""
    name, count = str(attrs.get("data", "")), attrs.get("n_samples")
    samples = "" if count is None else f"{int(count):,} sample{'s' if int(count) != 1 else ''}"
    drawn = f"each point drawn {count} times" if (count := len(json.loads(attrs.get("draw_seeds", "[]")))) else ""
    trained = "in training mode" if attrs.get("mode") == "train" else ""
    return ", ".join(part for part in (name, samples, trained, drawn) if part)


def _recipe(label: str, group: Sequence[xr.Dataset], setting: str | None) -> str:
    """Without what the label or the swept setting says already."""
    attrs = group[0].attrs
    parts = [str(attrs["optimizer"])] if "optimizer" in attrs else []
    named = [setting_words(n, attrs[n]) for n in ("learning_rate", "batch_size") if n in attrs and n != setting]
    parts += [words for words in named if words not in label]
    seeds = [plain(run.attrs["seed"]) for run in group if "seed" in run.attrs]
    if seeds:
        parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}")
    return ", ".join(parts)
