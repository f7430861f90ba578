"""Find Allure 3 and run it without a network."""

import json
import os
import re
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gaia.deploy.process import TAIL, run_tool
from pytest_gaia.errors import ConfigError, ReportFailed
from pytest_gaia.report.viewer.page import OFFLINE

_MAJOR, _NODE = 3, 20
_DEADLINE = 900.0
"""seconds; 10,000 results take about 30"""
_VERSION_SECONDS = 30.0
"""seconds to wait for ``--version``"""
_COLOR = re.compile(r"\x1b\[[0-9;]*m")

_INSTALL = "Install it: npm install --save-dev --ignore-scripts allure@3. Only gaia report needs it; verdicts do not."


@dataclass(frozen=True, slots=True)
class Allure:
    """An executable Allure 3."""

    command: tuple[str, ...]
    version: str

    def generate(self, configuration: Path, folders: Sequence[Path], workplace: Path) -> list[str]:
        """Build the report described by ``configuration`` in ``workplace``; return the output of Allure.

        Raises ``ReportFailed`` with the end of Allure's output.
        """
        (guard := workplace / "offline.cjs").write_text(OFFLINE, encoding="utf-8")
        said: deque[str] = deque(maxlen=TAIL)
        done = run_tool(
            [*self.command, "generate", "--config", str(configuration), *map(_literal, folders)],
            deadline=_DEADLINE,
            cwd=workplace,
            env=_environ(guard),
            log=said.append,
            out=said.append,
        )
        if not done.ok:
            how = "timed out" if done.timed_out else f"exited with {done.exit_code}"
            raise ReportFailed(with_output(f"Allure {self.version} {how} and built no report.", said))
        return list(said)


def with_output(head: str, said: Sequence[str]) -> str:
    """Return ``head``, and below it the output of Allure."""
    lines = [line for line in (_COLOR.sub("", each).rstrip() for each in said) if line]
    return "\n  ".join((f"{head} Its output:" if lines else f"{head} It printed nothing.", *lines))


def find_allure(given: Path | None, rootdir: Path, environ: Mapping[str, str]) -> Allure:
    """Return the Allure to use: ``given``, GAIA_ALLURE, the one in the project, or the one on PATH.

    Raises ``ConfigError`` if Allure or Node.js is missing or too old.
    """
    path = _located(given, rootdir, environ)
    command = (_node(path), str(path)) if _is_script(path) else (str(path),)
    version = _packaged(path) or _version([*command, "--version"])
    if not version.startswith(f"{_MAJOR}."):
        raise ConfigError(f"{path} is Allure {version or '(unknown version)'}; Allure {_MAJOR} is required. {_INSTALL}")
    return Allure(command, version)


def _located(given: Path | None, rootdir: Path, environ: Mapping[str, str]) -> Path:
    for name, chosen in (("--allure", given), ("GAIA_ALLURE", environ.get("GAIA_ALLURE"))):
        if chosen:
            if not (path := Path(chosen)).is_file():
                raise ConfigError(f"{name}={chosen}: file not found. Give the executable of Allure {_MAJOR}.")
            return path.absolute()
    places = [rootdir.absolute() / place for place in ("node_modules/.bin/allure", "ci/npm/node_modules/.bin/allure")]
    found = next((place for place in places if place.is_file()), None) or shutil.which("allure")
    if found is None:
        tried = ", ".join(("--allure", "GAIA_ALLURE", *map(str, places), "PATH"))
        raise ConfigError(
            f"Allure {_MAJOR} is not installed (searched: {tried}). It needs Node.js >= {_NODE}. {_INSTALL}"
        )
    return Path(found).absolute()


def _is_script(path: Path) -> bool:
    """Whether Node.js runs the file. Then ``node`` is started, and the file need not be executable."""
    try:
        with path.open("rb") as file:
            first = file.readline(200)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    return path.resolve().suffix in (".js", ".mjs", ".cjs") or (first.startswith(b"#!") and b"node" in first)


def _node(allure: Path) -> str:
    node = shutil.which("node")
    if node is None:
        raise ConfigError(
            f"{allure} needs Node.js, which is not on PATH ({os.environ.get('PATH', 'empty')}). Install Node.js >= {_NODE}. "
            "Only gaia report needs it; verdicts do not."
        )
    version = _version([node, "--version"])
    major = re.match(r"v?(\d+)\.", version)
    if major is None or int(major[1]) < _NODE:
        raise ConfigError(
            f"{node} is Node.js {version or '(unknown version)'}; Allure {_MAJOR} needs {_NODE} or newer. Install a newer "
            "one and put it first on PATH."
        )
    return node


def _version(command: Sequence[str]) -> str:
    done = run_tool(command, deadline=_VERSION_SECONDS)
    return next(iter(done.stdout.split()), "") if done.ok else ""


def _packaged(path: Path) -> str:
    """Return the version in the npm package. Starting Allure would take a second."""
    package = path.resolve().parent / "package.json"
    try:
        described = json.loads(package.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # A wrapper script: run it with --version instead.
        return ""
    return str(described.get("version", "")) if described.get("name") == "allure" else ""


def _environ(guard: Path) -> dict[str, str]:
    """Return the environment of the process: no network, no colors, and no settings or tokens of Allure."""
    ours = {name: "" for name in os.environ if name.startswith("ALLURE_")}
    options = f'{os.environ.get("NODE_OPTIONS", "")} --require "{guard}"'.strip()
    return {**ours, "NODE_OPTIONS": options, "NO_COLOR": "1", "FORCE_COLOR": "0"}


def _literal(folder: Path) -> str:
    """Escape a folder name. Allure treats it as a glob, in which characters can only be escaped as classes."""
    return "".join(_classes(str(folder.absolute())))


def _classes(text: str) -> Iterator[str]:
    return (f"[{each}]" if each in "*?[{}()" else each for each in text)
