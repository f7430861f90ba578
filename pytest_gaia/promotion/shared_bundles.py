"""Bundles on their way between machines: where the ledger is in git, they lie beside it, in a reference of their own.

A machine that has never seen a bundle, such as that of a CI job, then promotes it, or rolls back to it, with the deploy
files that it was made with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from pytest_gaia.errors import DeployUnavailable

# At run time, because msgspec reads the annotations.
from pytest_gaia.promotion.bundle import Bundle
from pytest_gaia.promotion.bundles import bundle_files, keep_bundle
from pytest_gaia.promotion.configs import digest
from pytest_gaia.promotion.git_reference import GitReference, Taken

REFERENCE = "refs/gaia/bundles"
_TRIES = 20


class SharedBundle(msgspec.Struct, frozen=True):
    """What is stored of one bundle: all of it, and its deploy files by name."""

    bundle: Bundle
    configs: dict[str, bytes]


def share_bundle(reference: GitReference, bundle: Bundle, files: Mapping[str, bytes]) -> None:
    """Put ``bundle`` and its deploy ``files`` into ``reference``, unless it is there already.

    Raises ``ConfigError`` where git refuses, ``DeployUnavailable`` where the remote is out of reach or others are always
    faster.
    """
    name = f"{bundle.id}.json"
    content = msgspec.json.encode(SharedBundle(bundle, dict(files)), order="deterministic") + b"\n"
    for _ in range(_TRIES):
        commit = reference.fetch()
        if name in reference.names(commit):
            return
        try:
            reference.put(commit, {name: content}, f"bundle {bundle.short}")
        except Taken:
            continue
        return
    raise DeployUnavailable(f"{reference.name}: {_TRIES} others wrote first; try again.")


def bring_bundles(reference: GitReference, rootdir: Path) -> None:
    """Keep every bundle of ``reference`` in the project at ``rootdir`` that is not there; raises as above.

    What is not the bundle that its name says is left out.
    """
    commit, here = reference.fetch(), bundle_files(rootdir)
    missing = [name for name in reference.names(commit) if name.removesuffix(".json") not in here]
    # In the order in which they were made, which is the order in which they are shown.
    found = [shared for name in missing for shared in _read(name, reference.file(commit, name))]
    for each in sorted(found, key=lambda shared: shared.bundle.created):
        keep_bundle(rootdir, each.bundle, each.configs)


def _read(name: str, content: bytes) -> Iterator[SharedBundle]:
    try:
        shared = msgspec.json.decode(content, type=SharedBundle)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    digests = {name: digest(config) for name, config in shared.configs.items()}
    # A name with a folder in it would be written elsewhere.
    if (
        f"{shared.bundle.id}.json" == name
        and digests == shared.bundle.configs
        and not any("/" in each for each in digests)
    ):
        yield shared
