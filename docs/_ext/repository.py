"""Show files outside `docs/`: four pages of the repository's root as pages, all others as links to the repository."""

import os
import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Each stub in docs/ shows the root file of the same name in capitals.
PAGES = {
    ROOT / f"{name.upper()}.md": DOCS / f"{name}.md"
    for name in ("architecture", "changelog", "contributing", "security")
}
_SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
_LINK = re.compile(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)")


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fill a stub with its root file, and rewrite the links that lead out of the documentation."""
    page = DOCS / f"{docname}.md"
    origin = next((root for root, stub in PAGES.items() if stub == page), page)
    if origin != page:
        app.env.note_dependency(str(origin))
        source[0] = origin.read_text(encoding="utf-8")
    source[0] = _LINK.sub(lambda match: f"]({_target(match['path'], origin, page)}", source[0])


def _target(path: str, origin: Path, page: Path) -> str:
    target = Path(os.path.normpath(origin.parent / path))
    target = PAGES.get(target, target)
    if not target.exists():
        return path
    if target.is_relative_to(DOCS):
        return os.path.relpath(target, page.parent)
    return f"{_SOURCE}/blob/main/{target.relative_to(ROOT).as_posix()}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
