"""Sphinx settings. Pages that can be generated are, before each build."""

import os
import sys
from pathlib import Path

# A name that a stub promises and no module has should fail here, not in front of a reader.
os.environ["EAGER_IMPORT"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import _generate
import numpydoc.xref

import hemafeat

HERE = Path(__file__).parent
_generate.write_pages(HERE / "generated")

project = "hemafeat"
author = "The hemafeat developers"
copyright = "2026, The hemafeat developers"
version = release = hemafeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "_site",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "_inventories", "generated/*.md", "gallery/*.ipynb"]
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

# Names of other projects, in files of our own: a build needs no network.
intersphinx_mapping = {
    name: (url, str(HERE / "_inventories" / f"{name}.txt"))
    for name, url in {
        "numpy": "https://numpy.org/doc/stable/",
        "pandas": "https://pandas.pydata.org/docs/",
        "scikit-learn": "https://scikit-learn.org/stable/",
    }.items()
}
numpydoc_xref_param_type = True
# Plain words of Python stay plain; numpydoc would link them to inventories that are not here.
numpydoc_xref_aliases = {word: word for word in numpydoc.xref.DEFAULT_LINKS} | {
    "DataFrame": "pandas.DataFrame",
    "Series": "pandas.Series",
    "ndarray": "numpy.ndarray",
    "numpy.random.Generator": "numpy.random.Generator",
}
numpydoc_xref_ignore = "all"

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": "plot_",
    "subsection_order": [
        f"../examples/gallery/{part}" for part in ("measure", "models", "extend", "failures")
    ],
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib", "_site"),
    "ignore_repr_types": r"Figure|matplotlib",
    "write_computation_times": False,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("hemafeat",),
    "reference_url": {"hemafeat": None},
    "show_memory": False,
    "show_signature": False,
    "nested_sections": False,
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_static_path = ["_static", "generated/static"]
html_js_files = ["filter.js"]
html_css_files = ["site.css"]
html_theme = "pydata_sphinx_theme"
html_title = "hemafeat"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
html_sidebars = {"index": []}
