"""The site: ``sphinx-build docs site`` makes it of these pages, the code and its docstrings."""

import sys
from pathlib import Path

import k4calofast

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "k4calofast"
author = "The k4calofast developers"
copyright = f"{author}; Apache-2.0"  # noqa: A001 - Sphinx's name
version = release = k4calofast.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "reference",  # in _ext: what is made of the code
    "reports",  # in _ext: the gallery
]
exclude_patterns = ["_ext"]

# Pages are read on GitHub, too: only index.md has directives.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
myst_all_links_external = False

# The tests execute the notebooks: sphinx-build -D nb_execution_mode=force.
nb_execution_mode = "off"
nb_execution_timeout = 300
nb_execution_raise_on_error = True

# Docstrings name code in single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False

nitpicky = True
# Types in docstrings are English ("array", "of str"), and those of others have no pages offline.
nitpick_ignore_regex = [("py:class", ".*")]

copybutton_exclude = ".linenos, .gp, .go"

# Two hyphens are those of an option.
smartquotes = False

html_theme = "furo"
html_title = "k4calofast"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
