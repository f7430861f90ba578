"""Run commands of the demo, next to sandboxes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GAIA = str(Path(sys.executable).with_name("gaia"))
KEPT = ("GAIA_PG_BIN", "GAIA_NATS_BIN", "GAIA_CACHE_DIR")
"""variables that are about this machine, not about an environment"""
LONGEST = 600
"""seconds that one command may take"""


class Unexpected(Exception):
    """A command ended otherwise than it should."""


class Commands:
    """Runs and prints commands in ``folder``, with the fakes of ``path`` first on the path."""

    def __init__(self, folder: Path, path: str) -> None:
        self.folder = folder
        foreign = [each for each in os.environ if each.startswith(("GAIA_", "FLY_")) and each not in KEPT]
        self.environ = {key: value for key, value in os.environ.items() if key not in foreign}
        self.environ |= {"PATH": path, "PYTHONUNBUFFERED": "1"}

    def gaia(self, *words: str, expect: int = 0) -> None:
        """Run ``gaia`` with these words. Raise ``Unexpected`` if it does not end with ``expect``."""
        self.run(["gaia", *words], GAIA, expect=expect)

    def run(self, words: Sequence[str], executable: str | None = None, *, expect: int = 0) -> None:
        """Run a command line, by ``executable`` if that is another than its first word; as :meth:`gaia`."""
        print(f"\n$ {shlex.join(words)}", flush=True)
        line = [executable or words[0], *words[1:]]
        with subprocess.Popen(line, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL) as process:
            try:
                code = process.wait(LONGEST)
            finally:
                end(process)
        if code != expect:
            raise Unexpected(f"`{shlex.join(words)}` ended with {code}, not {expect}")

    @contextmanager
    def sandboxes(self, options: Mapping[str, Sequence[str]]) -> Iterator[dict[str, dict[str, str]]]:
        """Keep a sandbox for each environment, all started at once; give the variables by which each is found.

        ``options`` is environment → what else ``gaia sandbox up`` is given.
        """
        with ExitStack() as stack:
            started = {name: self._sandbox(*words) for name, words in options.items()}
            for process in started.values():
                stack.callback(end, process)
            yield {name: _variables(name, process) for name, process in started.items()}

    def _sandbox(self, *words: str) -> subprocess.Popen[str]:
        arguments = ("sandbox", "up", *words, "--json")
        print(f"\n$ gaia {shlex.join(arguments)} &", flush=True)
        return subprocess.Popen(
            [GAIA, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _variables(name: str, process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    if not line:
        raise Unexpected(f"the sandbox of {name} did not start: {process.stderr.read().strip()}")
    known = json.loads(line)
    print(f"{name} is ready; its logs are in {known['logs']}", flush=True)
    variables: dict[str, str] = known["variables"]
    return variables


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a running process with SIGTERM, then with SIGKILL, and wait for it."""
    with process:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
