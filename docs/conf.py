"""Settings of the documentation site: `make docs` builds it into docs/_build/html."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent / "_ext"))
_package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "pytest-gaia"
author = "the pytest-gaia authors"
project_copyright = author
release = version = _package["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "generated", "repository"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
# Links may name any heading down to this level.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Fixtures create these objects; how they do it is not part of the interface.
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__"}
# Options begin with two hyphens, which are no dash.
smartquotes = False

html_theme = "furo"
html_title = f"pytest-gaia {release}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "github-dark"
