"""Reading a TOML file; whatever is wrong with it becomes a message with file and line."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_gaia.config.locate import broken_line
from pytest_gaia.errors import ConfigError


def read_text(path: Path, name: str, read: Callable[[Path], bytes] = Path.read_bytes) -> str:
    """Return the text of the file at ``path``; ``name`` is how a message shows it."""
    try:
        # Not path.read_text: its decoder for a text that may begin with a mark takes longer than to parse what it reads.
        text = read(path).removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse(text: str, name: str) -> dict[str, Any]:
    """Return the document that ``text`` is."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{name}:{broken_line(text, error)}: not valid TOML: {problem}.") from None
    except RecursionError:
        raise ConfigError(f"{name}: its values are nested too deep to be read.") from None
