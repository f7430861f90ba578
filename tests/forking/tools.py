"""Forked calls of the fakes for ``fly``, ``docker`` and ``kubectl``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_gaia.deploy import process
from tests.forking.client import Forked, fork_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pytest


def fork_tools_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``run_tool`` fork the tools of ``folder`` instead of starting them."""
    start = process._start

    def begin(
        argv: Sequence[str], cwd: Path | None, stdin: str | None, env: Mapping[str, str], mask: Callable[[str], str]
    ) -> Any:
        server = fork_server("tools", env) if _is_stand_in(Path(argv[0]), folder) else None
        return _piped(server.run, argv, cwd, stdin, env) if server else start(argv, cwd, stdin, env, mask)

    monkeypatch.setattr(process, "_start", begin)


def _is_stand_in(tool: Path, folder: Path) -> bool:
    return tool.parent == folder and tool.is_symlink()


def _piped(
    run: Callable[..., Forked], argv: Sequence[str], cwd: Path | None, stdin: str | None, env: Mapping[str, str]
) -> Forked:
    (out, theirs), (err, also_theirs) = os.pipe(), os.pipe()
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as source:
            source.write(stdin or "")
            source.seek(0)
            forked = run(argv, cwd or Path.cwd(), env, (source, theirs, also_theirs), session=True)
    finally:
        os.close(theirs)
        os.close(also_theirs)
    forked.stdout, forked.stderr = (_text(each) for each in (out, err))
    return forked


def _text(descriptor: int) -> IO[str]:
    return open(descriptor, encoding="utf-8", errors="replace")


def call(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str] | None:
    """Run a fake of ``folder`` to its end in ``cwd``; return None if it needs a real start."""
    tool = folder / words[0]
    server = fork_server("tools", variables) if _is_stand_in(tool, folder) else None
    if server is None:
        return None
    forked = _piped(server.run, [str(tool), *words[1:]], cwd, None, variables)
    assert forked.stdout is not None
    assert forked.stderr is not None
    with forked.stdout as out, forked.stderr as err:
        said, told = out.read(), err.read()
    return subprocess.CompletedProcess(words, forked.wait(60), said, told)
