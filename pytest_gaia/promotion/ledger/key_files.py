"""Writing of key files: a new key pair, a trusted public key, and its revocation. Existing keys are never overwritten."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import parse, read_text
from pytest_gaia.files.writing import write_file
from pytest_gaia.promotion.ledger.keys import TrustedKey, key_id, raw_public, trusted_keys
from pytest_gaia.promotion.ledger.ledger import Entry


def create_pair(private: Path, trust: Callable[[str], Path]) -> Path:
    """Create a key pair: write the private key to ``private`` (PKCS#8, mode 600), and pass the public one to ``trust``.

    Returns the result of ``trust``. Raises ``ConfigError`` if a file exists; no new file is left then.
    """
    from pytest_gaia.promotion.ledger._ed25519 import generate

    text, public = generate()
    _write_new(private, text, 0o600)
    try:
        return trust(public)
    except BaseException:
        with suppress(OSError):
            private.unlink()
        raise


def write_trusted(folder: Path, name: str, public_key: str, roles: Sequence[str], identities: Sequence[str]) -> Path:
    """Write ``folder/NAME.toml``; return its path.

    Raises ``ConfigError`` if the key is not a public Ed25519 key or is already trusted, if the name exists, and if an
    identity is not an email address.
    """
    check_name(name)
    if strange := [each for each in identities if not re.fullmatch(r"[^@\s]+@[^@\s]+", each)]:
        raise ConfigError(f"--identity {strange[0]}: not an email address. Use the address from your commits.")
    try:
        raw = raw_public(public_key)
    except ValueError as error:
        raise ConfigError(f"the public key of {name}: {error}.") from None
    if same := [key.name for key in trusted_keys(folder) if key.keyid == key_id(raw)]:
        raise ConfigError(
            f"this key is trusted already, as {same[0]}. To change it, edit {folder.name}/{same[0]}.toml."
        )
    path = folder / f"{name}.toml"
    text = "".join(
        f"{key} = {_toml(value)}\n"
        for key, value in (("public_key", public_key.strip()), ("roles", list(roles)), ("identities", list(identities)))
    )
    _write_new(path, text.encode(), 0o644)
    return path


def retire(folder: Path, key: TrustedKey, role: str | None, end: datetime, entries: Sequence[Entry]) -> Path:
    """End the validity of ``key``, or of one ``role`` of it, at ``end``; return the path of its file.

    Raises ``ConfigError``, and changes nothing, if it has ended already, if one of ``entries`` would lose its signature,
    and if the file has a form that cannot be edited automatically.
    """
    path = folder / f"{key.name}.toml"
    if role is not None and role not in key.roles:
        raise ConfigError(f"{key.name} does not have the role {role}; it has {', '.join(key.roles) or 'none'}.")
    if role is None and key.not_after is not None and key.not_after <= end:
        raise ConfigError(f"{key.name} is retired already: not_after = {key.not_after.isoformat()} in {path.name}.")
    late = [each.sequence for each in entries if each.time and each.time > end and _relies_on(each, key, role)]
    if late:
        raise ConfigError(
            f"--at {end.isoformat()}: {key.name} signed {len(late)} {'entry' if len(late) == 1 else 'entries'} of the "
            f"ledger after that, from entry {late[0]} on, which would not be valid any more. Nothing was changed."
        )
    if role is None:
        values: dict[str, Any] = {"not_after": end}
    else:
        former = dict(key.former_roles) | {role: end}
        values = {"roles": [each for each in key.roles if each != role], "former_roles": former}
    _change(path, values)
    return path


def _relies_on(entry: Entry, key: TrustedKey, role: str | None) -> bool:
    """Whether ``entry`` loses its signature if ``key``, or one ``role`` of it, is not valid."""
    if all(each.keyid != key.keyid for each in entry.signers):
        return False
    # Entries of machines have no role.
    return role is None or getattr(entry.predicate, "role", MACHINE_ROLE) == role


def _change(path: Path, values: Mapping[str, Any]) -> None:
    """Set ``values`` in a TOML file, and keep the rest of the file."""
    old = read_text(path, path.name)
    text = old
    for name, value in values.items():
        line = f"{name} = {_toml(value)}"
        text, found = re.subn(rf"^{name}\s*=.*$", lambda _, line=line: line, text, count=1, flags=re.MULTILINE)  # type: ignore[misc]
        text = text if found else f"{line}\n{text}"
    try:
        same = tomllib.loads(text) == parse(old, path.name) | dict(values)
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        by_hand = ", ".join(f"{name} = {_toml(value)}" for name, value in values.items())
        raise ConfigError(
            f"{path}: this file cannot be edited automatically. Set in it: {by_hand}. Nothing was changed."
        )
    try:
        write_file(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}. Nothing was changed.") from None


def _toml(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    # Strings and lists of strings in JSON are also valid TOML.
    return json.dumps(value)


def check_name(name: str) -> None:
    """Raise ``ConfigError`` if ``name`` is not a valid name of a key."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ConfigError(f"{name!r}: the name of a key may contain only lower-case letters, digits and '-'.")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(f"{path}: already exists, and a key is never overwritten. Choose another name.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink()
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
