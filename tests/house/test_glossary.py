"""The check of docs/glossary.md finds ruled-out words in every kind of file."""

from __future__ import annotations

import pytest

from ci.glossary import GLOSSARY, Check, read_glossary

CHECK = Check(read_glossary(GLOSSARY.read_text(encoding="utf-8")))


def found(path: str, text: str) -> list[tuple[int, str]]:
    return [(hit.line, hit.found) for hit in CHECK.scan(path, text)]


@pytest.mark.parametrize(
    ("path", "text", "hits"),
    [
        ("docs/page.md", "One line.\nThe way that mends it.\n", [(2, "mends")]),
        ("docs/page.md", "It is known all\nthe same.\n", [(1, "all\nthe same")]),
        ("docs/page.md", "See [the page](mend-it.md).\n", []),
        ("changes/+x.changed.md", "`gaia bundle` is now `gaia release`; nobody knew.", [(1, "nobody")]),
        ("page.html", "<p class='mend'>{{ mend }} Nobody\n{% if mend %} whoever", [(1, "Nobody"), (2, "whoever")]),
        ("gaia.toml", 'mend = "x"  # heeds\n', [(1, "heeds")]),
        ("code.py", 'def run() -> None:\n    """Say it.\n\n    Mend it."""\n', [(4, "Mend")]),
        ("code.py", "x = 1  # told so\n", [(1, "told")]),
        ("code.py", 'raise ValueError(f"{x} is a mistake")\n', [(1, "mistake")]),
        ("code.py", 'x = 1\n"""The key ``mend`` is\nmended."""\n', [(3, "mended")]),
        ("code.py", 'KEY = "mend"\n', []),
        ("code.py", "def mend_it() -> None: ...\nclass MendIt: ...\n", [(1, "mend"), (2, "Mend")]),
        ("code.py", "def told_so() -> None: ...\n", []),
        ("code.py", 'OLD = "the old word bundle"  # glossary: ok\n', []),
    ],
)
def test_ruled_out_words_are_found_in_text_and_the_worst_ones_in_names(
    path: str, text: str, hits: list[tuple[int, str]]
) -> None:
    assert found(path, text) == hits
