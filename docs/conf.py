"""Sphinx's settings for the site: `make docs`. stage.py has laid out the pages before.

MINIBERT_DOCS_RUN=0 shows the tutorials without running them: a quick build without pictures.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "extensions")]

import minibert  # noqa: E402  before anything imports NumPy, as everywhere

project = "minibert"
author = "the minibert authors"
copyright = "the minibert authors, Apache-2.0"
version = release = minibert.__version__
language = "en_GB"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",  # cards and buttons
    "mathml",  # docs/extensions
    "plain_docstrings",
    "tutorial_pages",
]
highlight_language = "text"  # equations in docstrings; code says what it is
exclude_patterns = ["scripts", "extra", "tutorials/*.py", "tutorials/*.ipynb", "**/searchindex*"]
root_doc = "index"

# Nothing is loaded from elsewhere: the site works from a folder, without a server or a network.
html_theme = "furo"
html_title = "minibert"
pygments_dark_style = "github-dark"  # furo's own underlines the names of modules
html_static_path = [str(ROOT / "docs" / "static")]
html_css_files = ["site.css"]
html_theme_options = {
    # blue and orange as in the pictures, light and dark with enough contrast
    "light_css_variables": {"color-brand-primary": "#1f4e79", "color-brand-content": "#1f5f9e"},
    "dark_css_variables": {"color-brand-primary": "#8fc1f0", "color-brand-content": "#7db8f0"},
}
html_extra_path = [str(ROOT / "docs" / "_build" / "source" / "extra")]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_trailing_comma_in_multi_line_signatures = False
# With -n every name in a signature must lead somewhere. Those of other libraries have no pages
# here, nor have aliases of types, which are shown as what they stand for.
nitpick_ignore_regex = [
    ("py:.*", r"(?!(minibert|adapters)\.).*"),
    ("py:class", r".*\.(T|Item|Result)"),  # type variables
]

# The tutorials write into runs/tutorials of the folder they are run in, and say so on the page.
os.environ.pop("MINIBERT_TUTORIAL_OUT", None)
sphinx_gallery_conf = {
    "examples_dirs": "scripts",
    "gallery_dirs": "tutorials",
    "filename_pattern": r"[\\/]\d\d_\w+\.py$",  # all are run, unless:
    "plot_gallery": os.environ.get("MINIBERT_DOCS_RUN", "1") != "0",
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": False,
    "download_all_examples": False,
    "notebook_extensions": set(),  # its notebooks show reStructuredText; stage.py has laid out ours
    "write_computation_times": False,  # its page would load scripts from elsewhere
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "min_reported_time": 1,
    "show_memory": False,
    "show_signature": False,
}

linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_workers = 4
linkcheck_anchors = True
