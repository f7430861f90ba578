"""The bundles of a project, one file each: ``.gaia/bundles/<id>.json``, and the deploy files that each was made of.

Where the ledger is in git, they lie beside it as well, in a reference of their own. A machine that has never seen a
bundle, such as that of a CI job, then promotes it, or rolls back to it, with the deploy files that it was made with.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.ledger._git_reference import GitReference, Taken
from pytest_gaia.promotion.ledger.statements import SHORT, sha256_of
from pytest_gaia.promotion.release.model import Release

FOLDER = ".gaia/bundles"
_LEAST_DIGITS = 4
"""of an id that stands for one bundle"""


REFERENCE = "refs/gaia/bundles"
_TRIES = 20


def release_files(rootdir: Path) -> dict[str, Path]:
    """Return id → file of every bundle of the project, the oldest file first."""
    files = sorted((rootdir / FOLDER).glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return {path.stem: path for path in files if not path.name.startswith(".")}


def configs_folder(rootdir: Path, release: Release) -> Path:
    """Return the folder that holds the deploy files as they were when the bundle was made, by their names."""
    return rootdir / FOLDER / release.id / "configs"


def keep_release(rootdir: Path, release: Release, files: Mapping[str, bytes]) -> Release:
    """Keep ``bundle`` and the deploy ``files`` that it names; return it, or the same one that was made before.

    Raises ``ConfigError`` where it cannot be written; what is there then is no bundle yet.
    """
    path = rootdir / FOLDER / f"{release.id}.json"
    folder = configs_folder(rootdir, release)
    try:
        make_folder(folder)
        for name, content in files.items():
            write_file(folder / name, content, durable=True)
        if not path.exists():
            # Last, because a bundle is there as soon as this file is.
            write_release(path, release)
    except OSError as error:
        raise ConfigError(f"{FOLDER}: the bundle cannot be kept: {error.strerror}. Nothing was made.") from None
    return read_release(path)


def write_release(path: Path, release: Release) -> None:
    """Write ``bundle`` to the file at ``path``, whole or not at all; raises ``OSError``."""
    write_file(
        path, msgspec.json.format(msgspec.json.encode(release, order="deterministic"), indent=2) + b"\n", durable=True
    )


def all_releases(rootdir: Path) -> tuple[Release, ...]:
    """Return every bundle of the project that is what its name says, the oldest first; others are left out."""
    found: list[Release] = []
    for name, path in release_files(rootdir).items():
        with suppress(ConfigError):
            release = read_release(path)
            found += [release] if release.id == name else []
    return tuple(found)


def read_release(path: Path, given: str = "") -> Release:
    """Return the bundle in the file at ``path``, which the user has ``given`` by that name.

    Raises ``ConfigError`` for what is none.
    """
    shown = one_line(given) or f"{FOLDER}/{path.name}"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Release)
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}.") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"{shown}: not a bundle: {error}. `gaia bundle create` makes one.") from None


def find_release(rootdir: Path, prefix: str) -> Release:
    """Return the bundle whose id begins with ``prefix``, or that the file of that name holds.

    Raises ``ConfigError`` where none does, or several, and for a stored bundle that is not what its name says.
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
            f"{FOLDER}/{found[0]}.json: it was changed: what it holds now is {release.short}. Nothing proves anything "
            "about it; make the bundle again (gaia bundle create)."
        )
    return release


def is_file(prefix: str) -> bool:
    """Whether what was typed names a file, and not the beginning of an id."""
    return "/" in prefix or prefix.endswith(".json")


def _not_one(prefix: str, found: list[str], known: list[str]) -> str:
    if not known:
        return f"bundle {prefix!r}: there is no bundle in {FOLDER} yet. Make one: gaia bundle create --help."
    if len(prefix) < _LEAST_DIGITS:
        return f"bundle {prefix!r}: give at least {_LEAST_DIGITS} digits of its id. {_listed(known)}"
    if found:
        return f"bundle {prefix!r}: {len(found)} bundles begin so; give more digits. {_listed(found)}"
    return f"bundle {prefix!r}: no bundle has an id that begins so. {_listed(known)}"


def _listed(ids: list[str]) -> str:
    newest = [each[:SHORT] for each in reversed(ids)]
    rest = f" and {len(newest) - 8} more" if len(newest) > 8 else ""
    return f"Known, newest first: {', '.join(newest[:8])}{rest}."


class SharedRelease(msgspec.Struct, frozen=True):
    """What is stored of one bundle: all of it, and its deploy files by name."""

    release: Release = msgspec.field(name="bundle")
    configs: dict[str, bytes]


def share_release(reference: GitReference, release: Release, files: Mapping[str, bytes]) -> None:
    """Put ``bundle`` and its deploy ``files`` into ``reference``, unless it is there already.

    Raises ``ConfigError`` where git refuses, ``DeployUnavailable`` where the remote is out of reach or others are always
    faster.
    """
    name = f"{release.id}.json"
    content = msgspec.json.encode(SharedRelease(release, dict(files)), order="deterministic") + b"\n"
    for _ in range(_TRIES):
        commit = reference.fetch()
        if name in reference.names(commit):
            return
        try:
            reference.put(commit, {name: content}, f"bundle {release.short}")
        except Taken:
            continue
        return
    raise DeployUnavailable(f"{reference.name}: {_TRIES} others wrote first; try again.")


def bring_releases(reference: GitReference, rootdir: Path) -> None:
    """Keep every bundle of ``reference`` in the project at ``rootdir`` that is not there; raises as above.

    What is not the bundle that its name says is left out.
    """
    commit, here = reference.fetch(), release_files(rootdir)
    missing = [name for name in reference.names(commit) if name.removesuffix(".json") not in here]
    # In the order in which they were made, which is the order in which they are shown.
    found = [shared for name in missing for shared in _read(name, reference.file(commit, name))]
    for each in sorted(found, key=lambda shared: shared.release.created):
        keep_release(rootdir, each.release, each.configs)


def _read(name: str, content: bytes) -> Iterator[SharedRelease]:
    try:
        shared = msgspec.json.decode(content, type=SharedRelease)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    digests = {name: sha256_of(config) for name, config in shared.configs.items()}
    # A name with a folder in it would be written elsewhere.
    if (
        f"{shared.release.id}.json" == name
        and digests == shared.release.configs
        and not any("/" in each for each in digests)
    ):
        yield shared
