"""The platform's known defects: one file lists them, and a failure is explained only by its own signature."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_gaia.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_gaia.clients.exchanges import Exchange

DEFECTS_FILE = "defects.toml"


@dataclass(frozen=True, slots=True)
class Defect:
    """One known defect, and how it looks on the wire."""

    id: str
    what: str
    routes: frozenset[str]
    """path templates of the requests that meet it"""
    status: frozenset[int]
    """the statuses that it answers with"""

    def explains(self, exchange: Exchange) -> bool:
        """Whether ``exchange`` is this defect and nothing else."""
        return exchange.route in self.routes and exchange.status in self.status


def load_defects(roots: Iterable[Path]) -> Mapping[str, Defect]:
    """Read ``defects.toml`` of every suites root. Raises :class:`ConfigError`, naming file and key."""
    defects: dict[str, Defect] = {}
    for path in (root / DEFECTS_FILE for root in roots):
        if path.is_file():
            defects.update(_read(path))
    return defects


def require_known(ids: Iterable[str], defects: Mapping[str, Defect], where: str) -> None:
    """Raise :class:`ConfigError` for an id in a marker at ``where`` that no file lists."""
    for each in ids:
        if each not in defects:
            raise ConfigError(f"{where}: @pytest.mark.gaia(defect=…) does not know {each!r}: {nearest(each, defects)}")


def explaining(ids: Iterable[str], defects: Mapping[str, Defect], exchange: Exchange) -> Defect | None:
    """Return the defect among the known ``ids`` that explains ``exchange``."""
    return next((defects[each] for each in sorted(ids) if defects[each].explains(exchange)), None)


_KEYS: Mapping[str, type] = {"what": str, "routes": list, "status": list}


def _read(path: Path) -> dict[str, Defect]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return {name: _defect(path, name, table) for name, table in tables.items()}


def _defect(path: Path, name: str, table: Any) -> Defect:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name}: expected a table [{name}] with {', '.join(_KEYS)}.")
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{path}: [{name}] has no key {key!r}: {nearest(key, _KEYS)}")
    for key, kind in _KEYS.items():
        if not isinstance(table.get(key), kind):
            raise ConfigError(f"{path}: [{name}] {key}: expected {kind.__name__}, got {table.get(key)!r}.")
    return Defect(name, table["what"], frozenset(table["routes"]), frozenset(table["status"]))
