"""Stores of envelopes: a folder with one file per entry, or a git reference with one commit per entry."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import make_folder
from pytest_gaia.promotion.ledger._git_reference import GitReference, Taken

_NAME = re.compile(r"(\d{6})\.json")


class FolderStore:
    """One file ``NNNNNN.json`` per entry. Raises ``ConfigError`` if the folder cannot be read or written."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    def read(self) -> dict[int, bytes]:
        """Return number → envelope; an empty dictionary if there is no folder yet."""
        try:
            found = {int(match[1]): path for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))}
            return {number: found[number].read_bytes() for number in sorted(found)}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._error("read", error) from None

    def add(self, number: int, content: bytes) -> None:
        """Write the entry to a draft first, so that no partial entry is left after a crash or on a full disk."""
        path = self.folder / f"{number:06}.json"
        draft = self.folder / f".{number:06}.{secrets.token_hex(4)}.draft"
        try:
            make_folder(self.folder)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, fails if the name exists.
            os.link(draft, path)
            _sync(self.folder)
        except FileExistsError:
            raise Taken from None
        except OSError as error:
            raise self._error("written", error) from None
        finally:
            with suppress(OSError):
                draft.unlink()

    def _error(self, what: str, error: OSError) -> ConfigError:
        return ConfigError(f"{self.name}: the ledger cannot be {what}: {error.strerror}. Nothing was changed.")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class GitStore:
    """Entries as files ``NNNNNN.json`` in the tree of a reference."""

    def __init__(self, reference: GitReference) -> None:
        self.reference = reference
        self.name = reference.name

    def read(self) -> dict[int, bytes]:
        """Return number → envelope, from the remote if there is one."""
        files = self.reference.files(self.reference.fetch())
        return {int(name[:6]): content for name, content in files.items()}

    def add(self, number: int, content: bytes) -> None:
        """Commit one more entry. Raises :class:`Taken` if another process or machine was faster."""
        tip, name = self.reference.fetch(), f"{number:06}.json"
        if name in self.reference.files(tip):
            raise Taken
        self.reference.put(tip, {name: content}, f"ledger entry {number}")


Store: TypeAlias = FolderStore | GitStore
"""a store of numbered entries that are written once"""
