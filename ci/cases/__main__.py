"""``python -m ci.cases [WORD…]``: run command lines that once gave a wrong result, each in a fresh project.

``cases.toml`` next to this module has one table per case: the files of the project, the variables, the command and the
correct result. ``gaia`` runs in a fork of this process, which has everything imported; ``pytest`` needs a process of its
own, as users start it. A server on loopback responds to every request as a healthy service does.

With words, only the cases whose name contains one of them run. Exit 0 if every case has its correct result, otherwise 1.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SECONDS = 60
"""seconds after which a command is killed and its case fails"""
TABLE = Path(__file__).with_name("cases.toml")


@dataclass(frozen=True, slots=True)
class Case:
    """One command line and its correct result. ``{port}`` in commands, files and variables is the server's port."""

    name: str
    run: str
    exit: int
    """the exit code of the command"""
    files: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    shows: Sequence[str] = ()
    """what the output contains"""
    hides: Sequence[str] = ()
    """what neither the output nor any file that the command writes contains"""
    before: Sequence[str] = ()
    """commands that run first, and have to succeed"""


def main(words: Sequence[str]) -> int:
    """Run the cases, print a line for each and details of those that fail, and return the exit code."""
    chosen = [case for case in cases() if not words or any(word in case.name for word in words)]
    if not chosen:
        print(f"ci.cases: no case has {' or '.join(words)} in its name", file=sys.stderr)
        return 4
    failed = 0
    with Healthy() as port:
        for case in chosen:
            problems = check(case, port)
            failed += bool(problems)
            print(f"{'FAILED' if problems else 'ok    '} {case.name}", *problems, sep="\n         ", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return min(failed, 1)


def cases() -> Iterator[Case]:
    """Read the table."""
    for values in tomllib.loads(TABLE.read_text(encoding="utf-8"))["case"]:
        yield Case(**values)


def check(case: Case, port: int) -> list[str]:
    """Run ``case`` in a new folder and return what differs from the correct result."""
    with tempfile.TemporaryDirectory(prefix="gaia-case-") as name:
        folder = Path(name)
        for path, text in case.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace("{port}", str(port)), encoding="utf-8")
        environ = _environ(case, folder, port)
        for command in case.before:
            code, output = run_command(command.replace("{port}", str(port)), folder, environ)
            if code:
                return [f"{command}: exit {code}", output]
        code, output = run_command(case.run.replace("{port}", str(port)), folder, environ)
        written = [path.read_bytes().decode(errors="replace") for path in _new_files(case, folder)]
    problems = [f"exit {code}, not {case.exit}"] if code != case.exit else []
    problems += [f"does not show: {text}" for text in case.shows if text not in output]
    problems += [f"shows: {text}" for text in case.hides if any(text in each for each in (output, *written))]
    return [*problems, output] if problems else []


def _environ(case: Case, folder: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_", "GITHUB_"))}
    mine = {name: value.replace("{port}", str(port)) for name, value in case.environ.items()}
    # The scripts of this environment come first, so that tools started by a case use the same gaia.
    path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
    return {**kept, "HOME": str(folder), "COLUMNS": "120", "PATH": path, **mine}


def _new_files(case: Case, folder: Path) -> Iterator[Path]:
    given = {folder / path for path in case.files}
    for path in folder.rglob("*"):
        if path.is_file() and path not in given and "__pycache__" not in path.parts:
            yield path


def run_command(command: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a command line in a folder, and return its exit code and its output. ``gaia`` runs in a fork of this process."""
    words = shlex.split(command)
    if words[0] == "gaia":
        return _run_here(words[1:], folder, environ)
    return run_apart(words, folder, environ)


def run_apart(
    words: Sequence[str], folder: Path, environ: Mapping[str, str], seconds: float = SECONDS
) -> tuple[int, str]:
    """Run a command in a process of its own for at most ``seconds``; return its exit code and its output."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", *words] if words[0] == "pytest" else words,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return -signal.SIGALRM, f"{(late.stdout or b'').decode(errors='replace')}\nno end after {seconds:g} s"
    return done.returncode, done.stdout.decode(errors="replace")


def _run_here(arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run ``gaia`` in a fork: it imports nothing again, and its changes do not affect the next case."""
    from pytest_gaia.cli.app import run

    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environ)
                for stream in (1, 2):
                    os.dup2(output.fileno(), stream)
                signal.alarm(SECONDS)
                # A test runner may have replaced sys.stdout and sys.stderr.
                with (
                    open(1, "w", encoding="utf-8", closefd=False) as shown,
                    redirect_stdout(shown),
                    redirect_stderr(shown),
                ):
                    code = run(arguments)
            # A traceback is part of the result, and the fork has to end here.
            except BaseException:  # noqa: BLE001
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read().decode(errors="replace")


class Healthy:
    """A process with a server that responds to every request as a healthy service; a context that gives its port."""

    def __enter__(self) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Health)
        ending, self._alive = os.pipe()
        # A fork, so that this process has one thread when it forks for the commands.
        self._child = os.fork()
        if self._child == 0:
            os.close(self._alive)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            # End of file: the main process has left the context, or was killed.
            os.read(ending, 1)
            os._exit(0)
        os.close(ending)
        server.server_close()
        return server.server_port

    def __exit__(self, *_: object) -> None:
        os.close(self._alive)
        os.waitpid(self._child, 0)


class _Health(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"status": "healthy", "version": "1.0.0", "services": {}}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # The name that http.server calls.
    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing: the output is the table."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
