"""The bundles of a project, one file each: ``.gaia/bundles/<id>.json``, and the deploy files that each was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.bundle import SHORT, Bundle

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ".gaia/bundles"
_LEAST_DIGITS = 4
"""of an id that stands for one bundle"""


def bundle_files(rootdir: Path) -> dict[str, Path]:
    """Return id → file of every bundle of the project, the oldest file first."""
    files = sorted((rootdir / FOLDER).glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return {path.stem: path for path in files}


def read_bundle(path: Path) -> Bundle:
    """Return the bundle in the file at ``path``. Raises ``ConfigError`` for what is none."""
    shown = f"{path.parent.name}/{path.name}"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bundle)
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"{shown}: not a bundle: {error}. `gaia bundle create` makes one.") from None


def find_bundle(rootdir: Path, prefix: str) -> Bundle:
    """Return the bundle whose id begins with ``prefix``, or that the file of that name holds.

    Raises ``ConfigError`` where none does, or several, and for a stored bundle that is not what its name says.
    """
    if "/" in prefix or prefix.endswith(".json"):
        return read_bundle(rootdir / prefix)
    files = bundle_files(rootdir)
    found = [name for name in files if name.startswith(prefix.lower())] if len(prefix) >= _LEAST_DIGITS else []
    if len(found) != 1:
        raise ConfigError(_not_one(prefix, found, list(files)))
    bundle = read_bundle(files[found[0]])
    if bundle.id != found[0]:
        raise ConfigError(
            f"{FOLDER}/{found[0]}.json: it was changed: what it holds now is {bundle.short}. Nothing proves anything "
            "about it; make the bundle again (gaia bundle create)."
        )
    return bundle


def _not_one(prefix: str, found: list[str], known: list[str]) -> str:
    if not known:
        return f"--bundle {prefix!r}: there is no bundle in {FOLDER} yet. Make one: gaia bundle create --help."
    if len(prefix) < _LEAST_DIGITS:
        return f"--bundle {prefix!r}: give at least {_LEAST_DIGITS} digits of its id. {_listed(known)}"
    if found:
        return f"--bundle {prefix!r}: {len(found)} bundles begin so; give more digits. {_listed(found)}"
    return f"--bundle {prefix!r}: no bundle has an id that begins so. {_listed(known)}"


def _listed(ids: list[str]) -> str:
    newest = [each[:SHORT] for each in reversed(ids)]
    rest = f" and {len(newest) - 8} more" if len(newest) > 8 else ""
    return f"Known, newest first: {', '.join(newest[:8])}{rest}."
