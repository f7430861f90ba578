"""Where envelopes are kept: a folder with one file an entry, or a git reference with one commit an entry."""

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
    """``NNNNNN.json``, one an entry. Raises ``ConfigError`` where the folder cannot be read or written."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    def read(self) -> dict[int, bytes]:
        """Return number → envelope; nothing where there is no folder yet."""
        try:
            found = {int(match[1]): path for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))}
            return {number: found[number].read_bytes() for number in sorted(found)}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._error("read", error) from None

    def add(self, number: int, content: bytes) -> None:
        """Write the entry beside its place first, so that a full disk or a kill leaves no half of one."""
        path = self.folder / f"{number:06}.json"
        draft = self.folder / f".{number:06}.{secrets.token_hex(4)}.draft"
        try:
            make_folder(self.folder)
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, fails where the name is taken.
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
        """Return number → envelope, from the remote where there is one."""
        files = self.reference.files(self.reference.fetch())
        return {int(name[:6]): content for name, content in files.items()}

    def add(self, number: int, content: bytes) -> None:
        """Commit one more entry; another process or machine that was faster makes it :class:`Taken`."""
        tip, name = self.reference.fetch(), f"{number:06}.json"
        if name in self.reference.files(tip):
            raise Taken
        self.reference.put(tip, {name: content}, f"ledger entry {number}")


Store: TypeAlias = FolderStore | GitStore
"""keeps numbered entries, and never writes one twice"""
