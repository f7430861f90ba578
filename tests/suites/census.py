"""A plugin for the inner run of pytest: write each collected test and its marker to a file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.collection.needs import needs_of
from pytest_gaia.config.project import Project
from pytest_gaia.expectations.files import FOLDER, load

if TYPE_CHECKING:
    import pytest

    from pytest_gaia.expectations.expectation import Expectation

VARIABLE = "SUITES_CENSUS"
"""variable with the path of the file to write"""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write one object for each test."""
    root = session.config.rootpath
    project = Project(root)
    expectations = load([root / "suites" / FOLDER], project.tolerances, project.platform, rootdir=root).expectations
    checks = [
        {
            "id": item.nodeid,
            "known_bug": _known_bugs(item, expectations),
            **_plain(asdict(needs_of(item, project.platform))),
        }
        for item in session.items
    ]
    Path(os.environ[VARIABLE]).write_text(json.dumps(checks), encoding="utf-8")


def _known_bugs(item: pytest.Item, expectations: tuple[Expectation, ...]) -> list[str]:
    """Return the expectations for the test on the sandbox; they name single tests."""
    names = {item.nodeid, item.nodeid.partition("[")[0]}
    named = (
        (expectation.id, {selector.text for selector in expectation.selectors})
        for expectation in expectations
        if "sandbox" in expectation.environments
    )
    return [expectation for expectation, texts in named if texts & names]


def _plain(needs: dict[str, object]) -> dict[str, object]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in needs.items()}
