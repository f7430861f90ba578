"""Releases, and where a project saves them: one file each, ``.gaia/bundles/<id>.json``, with the deploy files of the release.

A release is images, deploy files, commit and migration, with an ID that depends on all of them.

If the ledger is in git, releases are also stored there, in a reference of their own. Another machine, such as that of a CI
job, can then promote a release, or roll back to it, with its own deploy files.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.ledger.statements import SHORT, Subject, sha256_of
from pytest_gaia.promotion.ledger.stores import GitReference, Taken

FORMAT: Literal["gaia-bundle/1"] = "gaia-bundle/1"

FOLDER = ".gaia/bundles"
_LEAST_DIGITS = 4
"""minimum length of an abbreviated ID"""


REFERENCE = "refs/gaia/bundles"
_TRIES = 20


class Component(msgspec.Struct, frozen=True, order=True):
    """The image of one service."""

    service: str
    image: str
    """reference with a digest: ``registry/name@sha256:…``; the digest of a local image is its ID"""
    digest: str
    """``sha256:…``"""


class Release(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The parts that are released together. The ID depends on all of them, except the time of creation."""

    format: Literal["gaia-bundle/1"] = FORMAT
    created: str
    kind: Literal["registry", "local"]
    """``local``: the images exist on this machine only, and can be promoted to local and dev only"""
    commit: str
    authors: tuple[str, ...]
    """email addresses of the authors of its new commits, who cannot approve it"""
    migration_head: str = ""
    components: tuple[Component, ...]
    configs: dict[str, str] = {}
    """deploy file → SHA-256"""

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the content, independent of the order of its parts."""
        content = msgspec.to_builtins(self)
        del content["created"]
        content["components"] = msgspec.to_builtins(sorted(self.components))
        content["authors"] = sorted(self.authors)
        return sha256_of(msgspec.json.encode(content, order="deterministic"))

    @property
    def short(self) -> str:
        """The abbreviated ID for output."""
        return self.id[:SHORT]

    @property
    def digests(self) -> dict[str, str]:
        """service → digest."""
        return {component.service: component.digest for component in self.components}

    def subjects(self) -> tuple[Subject, ...]:
        """Return the subjects of statements about this release."""
        return self._subjects

    @cached_property
    def _subjects(self) -> tuple[Subject, ...]:
        parts = ((each.service, each.digest.partition(":")) for each in sorted(self.components))
        return tuple(Subject(service, {kind: value}) for service, (kind, _, value) in parts)


def release_files(rootdir: Path) -> dict[str, Path]:
    """Return ID → file of every release of the project, oldest file first."""
    files = sorted((rootdir / FOLDER).glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return {path.stem: path for path in files if not path.name.startswith(".")}


def configs_folder(rootdir: Path, release: Release) -> Path:
    """Return the folder with the deploy files of ``release``."""
    return rootdir / FOLDER / release.id / "configs"


def keep_release(rootdir: Path, release: Release, files: Mapping[str, bytes]) -> Release:
    """Save ``release`` and its deploy ``files``; return it, or the identical release that exists already.

    Raises ``ConfigError`` if a file cannot be written; the release does not exist then.
    """
    path = rootdir / FOLDER / f"{release.id}.json"
    folder = configs_folder(rootdir, release)
    try:
        make_folder(folder)
        for name, content in files.items():
            write_file(folder / name, content, durable=True)
        if not path.exists():
            # Last, because this file makes the release exist.
            write_release(path, release)
    except OSError as error:
        raise ConfigError(f"{FOLDER}: the release cannot be saved: {error.strerror}. Nothing was created.") from None
    return read_release(path)


def write_release(path: Path, release: Release) -> None:
    """Write ``release`` to the file at ``path`` in one step; raises ``OSError``."""
    write_file(
        path, msgspec.json.format(msgspec.json.encode(release, order="deterministic"), indent=2) + b"\n", durable=True
    )


def all_releases(rootdir: Path) -> tuple[Release, ...]:
    """Return the valid releases of the project, oldest first; files that were edited are left out."""
    found: list[Release] = []
    for name, path in release_files(rootdir).items():
        with suppress(ConfigError):
            release = read_release(path)
            found += [release] if release.id == name else []
    return tuple(found)


def read_release(path: Path, given: str = "") -> Release:
    """Return the release in the file at ``path``, which messages call ``given``.

    Raises ``ConfigError`` if it cannot be read, or is not a release.
    """
    shown = one_line(given) or f"{FOLDER}/{path.name}"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Release)
    except OSError as error:
        raise ConfigError(f"{shown}: the file cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"{shown}: not a release: {error}. To create one, run `gaia release create`.") from None


def find_release(rootdir: Path, prefix: str) -> Release:
    """Return the release whose ID begins with ``prefix``, or that is in the file of that name.

    Raises ``ConfigError`` if no release or several match, and for a saved release that was edited.
    """
    if is_file(prefix):
        return read_release(Path(prefix), prefix)
    files = release_files(rootdir)
    found = [name for name in files if name.startswith(prefix.lower())] if len(prefix) >= _LEAST_DIGITS else []
    if len(found) != 1:
        raise ConfigError(_not_one(prefix, found, list(files)))
    release = read_release(files[found[0]])
    if release.id != found[0]:
        raise ConfigError(
            f"{FOLDER}/{found[0]}.json: the file was edited, and is now release {release.short}, which has no evidence. "
            "Create the release again: gaia release create."
        )
    return release


def is_file(prefix: str) -> bool:
    """Whether ``prefix`` is the path of a file, and not the beginning of an ID."""
    return "/" in prefix or prefix.endswith(".json")


def _not_one(prefix: str, found: list[str], known: list[str]) -> str:
    if not known:
        return f"release {prefix!r} is unknown: the project has no release yet. To create one, run `gaia release create -h`."
    if len(prefix) < _LEAST_DIGITS:
        return f"release {prefix!r}: give at least {_LEAST_DIGITS} digits of its ID. {_listed(known)}"
    if found:
        return f"release {prefix!r}: {len(found)} release IDs begin so; give more digits. {_listed(found)}"
    return f"release {prefix!r}: no release has an ID that begins so. {_listed(known)}"


def _listed(ids: list[str]) -> str:
    newest = [each[:SHORT] for each in reversed(ids)]
    rest = f" and {len(newest) - 8} more" if len(newest) > 8 else ""
    return f"Known, newest first: {', '.join(newest[:8])}{rest}."


class SharedRelease(msgspec.Struct, frozen=True):
    """A release with its deploy files by name, as git stores it."""

    release: Release = msgspec.field(name="bundle")
    configs: dict[str, bytes]


def share_release(reference: GitReference, release: Release, files: Mapping[str, bytes]) -> None:
    """Put ``release`` and its deploy ``files`` into ``reference``, unless it is there already.

    Raises ``ConfigError`` if git fails, and ``DeployUnavailable`` if the remote is unreachable or other machines are always
    faster.
    """
    name = f"{release.id}.json"
    content = msgspec.json.encode(SharedRelease(release, dict(files)), order="deterministic") + b"\n"
    for _ in range(_TRIES):
        commit = reference.fetch()
        if name in reference.names(commit):
            return
        try:
            reference.put(commit, {name: content}, f"release {release.short}")
        except Taken:
            continue
        return
    raise DeployUnavailable(f"{reference.name}: other processes wrote first, {_TRIES} times; try again.")


def bring_releases(reference: GitReference, rootdir: Path) -> None:
    """Save every missing release from ``reference`` in the project at ``rootdir``; raises as :func:`share_release`.

    A release whose ID differs from its file name is skipped.
    """
    commit, here = reference.fetch(), release_files(rootdir)
    missing = [name for name in reference.names(commit) if name.removesuffix(".json") not in here]
    # In the order of their creation, because lists are sorted by the time of the file.
    files = reference.files(commit, frozenset(missing))
    found = [shared for name, content in files.items() for shared in _read(name, content)]
    for each in sorted(found, key=lambda shared: shared.release.created):
        keep_release(rootdir, each.release, each.configs)


def _read(name: str, content: bytes) -> Iterator[SharedRelease]:
    try:
        shared = msgspec.json.decode(content, type=SharedRelease)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    digests = {name: sha256_of(config) for name, config in shared.configs.items()}
    # A name with a folder would write to another place.
    if (
        f"{shared.release.id}.json" == name
        and digests == shared.release.configs
        and not any("/" in each for each in digests)
    ):
        yield shared
