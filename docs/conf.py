"""How the site is built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from extension import reference  # noqa: E402

import landscape  # noqa: E402

project, author, copyright = "landscape", "The landscape-lab authors", "The landscape-lab authors, MIT licence"  # noqa: A001
version = release = landscape.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design", "extension.numbers"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["extension", "_*"]

myst_enable_extensions = [
    "colon_fence",
    "deflist",
]  # formulas are written in letters: no script from a network draws them
myst_heading_anchors = 4
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
toc_object_entries = False
suppress_warnings = ["config.cache"]
pygments_style, pygments_dark_style = "friendly", "github-dark"

smartquotes = False  # two hyphens are an option

html_theme = "furo"
html_title = f"landscape {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}


def plain_bars(app, what, name, obj, options, lines):
    """|λ| in a docstring is a size, and no substitution; in code it stays as it is."""
    for place, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[place] = "``".join(parts)


def setup(app):
    """Write the generated pages before anything is read."""
    app.connect("builder-inited", lambda app: reference.write(HERE / "reference" / "generated"))
    app.connect("autodoc-process-docstring", plain_bars)
