"""The health check of a compose service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.config.deployfiles.model import Check
from pytest_gaia.config.deployfiles.values import written_out

if TYPE_CHECKING:
    from pytest_gaia.config.deployfiles.values import Table

_SECOND = 1.0
_ASKED = re.compile(
    r"https?://(?:\$\{[^}]*\}|[^/\s:'\"])+(?::(?:(?P<port>\d{1,5})|\$\{[^}]*\}|\$\w+))?(?P<path>/[^\s'\"|;)]*)?"
)
"""a URL in the command of a health check; host and port may be variables of the container's shell"""


def health_check(service: Table) -> Check | None:
    """Return the health check of ``service``; None where it has none or switches that of its image off.

    A command that asks a URL is an ``http`` check of that port and path, whatever the program is called.
    """
    table = service.table("healthcheck")
    words = _words(table)
    if not words or words[0].upper() == "NONE" or table.flag("disable"):
        return None
    asked = _ASKED.search(" ".join(words))
    return Check(
        kind="http" if asked else "command",
        port=int(asked["port"]) if asked and asked["port"] else None,
        path=(asked["path"] or "/") if asked else None,
        method="GET",
        interval=table.duration("interval", _SECOND),
        timeout=table.duration("timeout", _SECOND),
        grace=table.duration("start_period", _SECOND),
        place=table.place(),
    )


def _words(table: Table) -> list[str]:
    test = table.values.get("test")
    if isinstance(test, list):
        return [written_out(each) for each in test]
    return (table.text("test") or "").split()
