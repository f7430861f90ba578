"""Moments, hashes and links as the sign-off page writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from pytest_gaia.errors import ConfigError

_ADDRESS = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def moment(time: datetime) -> str:
    """Return ``time`` as people read it, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def checked_address(address: str) -> str:
    """Return the address of a report; raises ``ConfigError`` for one that a browser would run, or cannot open."""
    if _ADDRESS.match(address) or (address and not _SCHEME.match(address)):
        return address
    raise ConfigError(f"--allure {address!r}: give an address (https://…), or a path from the folder of the page.")


def linked(allure: str, environment: str, test: str = "") -> str:
    """Return the address of the report of ``environment``, of one of its tests if named; '' where there is no report."""
    if not allure:
        return ""
    address = allure.replace("{environment}", quote(environment))
    if not test:
        return address
    path, mark, fragment = address.partition("#")
    function, bracket, parameters = test.partition("[")
    name = quote(f"{function.rpartition('::')[2]}{bracket}{parameters}")
    return f"{path}{'&' if '?' in path else '?'}query={name}{mark}{fragment}"


def issue_link(issue: str) -> str:
    """Return the address of an issue that is named by one; '' for a mere key."""
    return issue if _ADDRESS.match(issue) else ""


def suite_of(node: str) -> str:
    """Return the folder that a test stands in: its suite."""
    parts = node.partition("::")[0].split("/")
    return parts[-2] if len(parts) > 1 else parts[0]


def in_words(names: Iterable[str]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(names)
