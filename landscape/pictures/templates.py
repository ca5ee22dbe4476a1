"""Pages from templates: every text is escaped, and made printable, unless it is marked as one of ours."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from landscape.printable import html

_WEB = "landscape.pictures.web"


def page(name: str, **values: Any) -> str:
    """The template ``name`` with ``values`` in their places.

    Whatever is put into it becomes text that does nothing there; only what is a :class:`markupsafe.Markup` stays as it is.
    """
    return _environment().get_template(name).render(values)


def ours(name: str) -> Markup:
    """A style or a script that comes with landscape, as it is."""
    return Markup(resources.files(_WEB).joinpath(name).read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("landscape.pictures", "web"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Markup:
    return value if isinstance(value, Markup) else Markup(html(value))
