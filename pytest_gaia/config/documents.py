"""Reading a TOML file; whatever is wrong with it becomes a message with file and line."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.locate import broken_line
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read_text(path: Path, name: str) -> str:
    """Return the text of the file at ``path``; ``name`` is how a message shows it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from None


def parse(text: str, name: str) -> dict[str, Any]:
    """Return the document that ``text`` is."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{name}:{broken_line(text, error)}: not valid TOML: {problem}.") from None
    except RecursionError:
        raise ConfigError(f"{name}: its values are nested too deep to be read.") from None
