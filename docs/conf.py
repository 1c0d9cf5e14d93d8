"""How Sphinx builds these pages: `sphinx-build -W -b html docs docs/_build`.

Most pages in `reference/` are made from the code at each build, by `generate.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "plugins")]

import generate

import inspector

generate.write(HERE / "reference")

project = "mailspy"
author = "the mailspy authors"
copyright = "the mailspy authors"
version = release = inspector.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "reference/rooms.md", "README.md"]
nitpicky = True
language = "en"
smartquotes = False

html_theme = "furo"
html_title = f"mailspy {release}"
html_static_path: list[str] = []
html_theme_options = {
    "footer_icons": [],
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "font-stack--monospace": "ui-monospace, monospace"},
    "dark_css_variables": {"font-stack": "system-ui, sans-serif", "font-stack--monospace": "ui-monospace, monospace"},
}
html_show_sourcelink = False
highlight_language = "text"
