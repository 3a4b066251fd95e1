"""Sphinx settings. Pages that can be generated are, before each build."""

import os
import sys
from pathlib import Path

# A name that a stub promises and no module has should fail here, not in front of a reader.
os.environ["EAGER_IMPORT"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import _generate

import hemafeat

_generate.write_pages(Path(__file__).parent / "generated")

project = "hemafeat"
author = "The hemafeat developers"
copyright = "2026, The hemafeat developers"
version = release = hemafeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "generated/*.md"]
default_role = "autolink"
nitpicky = False

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Nothing without a docstring, none that names parameters which are not there, or out of order. That
# none is left out of a public function is held by tests/test_docs.py.
numpydoc_validation_checks = {"GL08", "PR02", "PR03"}
numpydoc_validation_exclude = {r"\.__\w+__$"}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_static_path = ["_static"]
html_js_files = ["filter.js"]
html_theme = "pydata_sphinx_theme"
html_title = "hemafeat"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_prev_next": True}
html_sidebars = {"index": [], "install": [], "features": []}
