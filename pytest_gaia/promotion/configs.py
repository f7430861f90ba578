"""The deploy files of a bundle: which there are, their digests, and how those of a folder differ from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_gaia.config.deployfiles.names import fly_names
from pytest_gaia.config.deployfiles.read import DeployFolder, compose_file
from pytest_gaia.errors import ConfigError


def deploy_files(folder: DeployFolder) -> dict[str, bytes]:
    """Return name → content of every deploy file in ``folder``, of all environments; none where there is no folder.

    Whether ``gaia.toml`` knows the environment makes no difference: what a bundle holds must not change with it.

    Raises ``ConfigError`` for one that cannot be read.
    """
    paths = [file.path for file in fly_names(folder.path)]
    if compose := compose_file(folder.path):
        paths.append(compose)
    return {path.name: _content(folder, path) for path in sorted(paths)}


def digest(content: bytes) -> str:
    """Return what a bundle keeps of a deploy file: SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def differences(wanted: Mapping[str, str], found: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield (file, how it differs) for every file that is not as ``wanted`` (file → SHA-256) says."""
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield name, "is gone"
        elif name not in wanted:
            yield name, "is new"
        elif digest(found[name]) != wanted[name]:
            yield name, "was changed"


def _content(folder: DeployFolder, path: Path) -> bytes:
    try:
        return folder.content(path)
    except OSError as error:
        raise ConfigError(f"{path.name}: this deploy file cannot be read: {error.strerror}.") from None
