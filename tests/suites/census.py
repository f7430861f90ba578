"""A plugin for the pytest that is run below: it writes down every collected check and what it says of itself."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gaia.collection.needs import needs_of
from pytest_gaia.config.project import Project
from pytest_gaia.policy.files import FOLDER, load

if TYPE_CHECKING:
    import pytest

    from pytest_gaia.policy.rules import Rule

VARIABLE = "SUITES_CENSUS"
"""the variable that names the file to write"""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write one object for each check."""
    root = session.config.rootpath
    rules = load([root / "suites" / FOLDER], Project(root).tolerances, rootdir=root).rules
    checks = [
        {"id": item.nodeid, "defect": _defects(item, rules), **_plain(asdict(needs_of(item)))} for item in session.items
    ]
    Path(os.environ[VARIABLE]).write_text(json.dumps(checks), encoding="utf-8")


def _defects(item: pytest.Item, rules: tuple[Rule, ...]) -> list[str]:
    """The rules by which the check is expected to fail on the sandbox: they name their tests one by one."""
    names = {item.nodeid, item.nodeid.partition("[")[0]}
    named = (
        (rule.id, {selector.text for selector in rule.selectors}) for rule in rules if "sandbox" in rule.environments
    )
    return [rule for rule, texts in named if texts & names]


def _plain(needs: dict[str, object]) -> dict[str, object]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in needs.items()}
