"""Writing keys: a new pair, the file by which the project trusts a public one, and its end. No key is written over."""

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
    """Make a pair: the private key as PKCS#8 (PEM, readable by its owner alone) at ``private``; ``trust`` gets the other.

    Returns what ``trust`` does. Raises ``ConfigError`` where a file is in the way; then neither is left behind.
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

    Raises ``ConfigError`` for what is no public Ed25519 key, for one that is trusted already, for a name that is taken,
    and for an identity that is no e-mail address.
    """
    check_name(name)
    if strange := [each for each in identities if not re.fullmatch(r"[^@\s]+@[^@\s]+", each)]:
        raise ConfigError(f"--identity {strange[0]}: no e-mail address, such as stands in commits.")
    try:
        raw = raw_public(public_key)
    except ValueError as error:
        raise ConfigError(f"the public key of {name}: {error}.") from None
    if same := [key.name for key in trusted_keys(folder) if key.keyid == key_id(raw)]:
        raise ConfigError(
            f"this key is trusted already, as {same[0]}: add what is new to {folder.name}/{same[0]}.toml."
        )
    path = folder / f"{name}.toml"
    text = "".join(
        f"{key} = {_toml(value)}\n"
        for key, value in (("public_key", public_key.strip()), ("roles", list(roles)), ("identities", list(identities)))
    )
    _write_new(path, text.encode(), 0o644)
    return path


def retire(folder: Path, key: TrustedKey, role: str | None, end: datetime, entries: Sequence[Entry]) -> Path:
    """Write into the file of ``key`` that it, or one ``role`` of it, counts until ``end``; return its path.

    Raises ``ConfigError``, and changes nothing, where that is so already, where one of ``entries`` would lose its
    signature by it, and where the file is written in a way that only people can change.
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
    """Whether ``entry`` would lose the signature of ``key`` by the end of the key, or of one ``role`` of it."""
    if all(each.keyid != key.keyid for each in entry.signers):
        return False
    # What a machine has signed names no role.
    return role is None or getattr(entry.predicate, "role", MACHINE_ROLE) == role


def _change(path: Path, values: Mapping[str, Any]) -> None:
    """Set ``values`` in a TOML file, and leave everything else in it as it is."""
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
        raise ConfigError(f"{path}: its form cannot be changed here; write into it: {by_hand}. Nothing was changed.")
    try:
        write_file(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}. Nothing was changed.") from None


def _toml(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    # What JSON writes of texts and lists of them is TOML as well.
    return json.dumps(value)


def check_name(name: str) -> None:
    """Raise ``ConfigError`` for what cannot be the name of a key."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ConfigError(f"{name!r}: the name of a key is lower-case letters, digits and '-'.")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; a key is not written over. Choose another name.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink()
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
