"""Checks of keys that the deploy tool does not know, and therefore does not heed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.known_keys import COMPOSE_SERVICE, known_below
from pytest_gaia.preflight.spelling import meant
from pytest_gaia.preflight.standing import standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pytest_gaia.config.deployfiles.model import App
    from pytest_gaia.preflight.files import DeployFiles


@check("unknown-key", "warning")
def unknown_key(files: DeployFiles) -> Iterator[Found]:
    """A key is unknown to the tool.

    flyctl passes over a key that it does not know, so that what it should set is not set.
    """
    for environment, app in files.apps("fly"):
        for step, known in _unknown(app.document, ()):
            what = f"{_plain(step)} is not a key of fly.toml"
            yield Found(app.place(*step), what, _mend(step[-1], known), environment)
    for environment, app in files.apps("compose"):
        for key in _strange(app):
            what = f"{key} is not a key of a compose service"
            yield Found(standing(app, key), what, _mend(key, COMPOSE_SERVICE), environment)


def _mend(key: str, known: frozenset[str]) -> str:
    right = meant(key, known)
    return f"write {right}" if right else "remove it; no key of the tool is near it"


def _unknown(table: Mapping[str, Any], step: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """Yield (key part by part, the keys that are known there) of every unknown key below ``table``."""
    known = known_below(tuple(re.sub(r"\[\d+\]$", "", part) for part in step))
    if known is None:
        return
    for key, value in table.items():
        if key not in known and "*" not in known:
            yield (*step, key), known
        elif isinstance(value, dict):
            yield from _unknown(value, (*step, key))
        elif isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, dict):
                    yield from _unknown(each, (*step, f"{key}[{number}]"))


def _plain(step: tuple[str, ...]) -> str:
    return ".".join(re.sub(r"\[\d+\]$", "", part) for part in step)


def _strange(app: App) -> list[str]:
    return [key for key in app.document if key not in COMPOSE_SERVICE and not key.startswith("x-")]
