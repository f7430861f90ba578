"""Allure 3, the viewer: where it is, and how it is run without a network."""

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
from pytest_gaia.report.viewer.settings import OFFLINE

_MAJOR, _NODE = 3, 20
_DEADLINE = 900.0
"""seconds; 10,000 results take about 30"""
_ASKED = 30.0
"""seconds for the answer to ``--version``"""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_INSTALL = (
    "Install it: npm install --save-dev --ignore-scripts allure@3. Everything else works without it: the results stay "
    "as they are, and the verdict never comes from Allure."
)


@dataclass(frozen=True, slots=True)
class Allure:
    """An Allure 3 that can be run."""

    command: tuple[str, ...]
    version: str

    def generate(self, configuration: Path, folders: Sequence[Path], workplace: Path) -> list[str]:
        """Make the report that ``configuration`` describes, in ``workplace``; return what Allure said.

        Raises ``ReportFailed`` with Allure's last words.
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
            how = "did not end in time" if done.timed_out else f"ended with {done.exit_code}"
            raise ReportFailed(told(f"Allure {self.version} {how}, so there is no report.", said))
        return list(said)


def told(head: str, said: Sequence[str]) -> str:
    """Return ``head``, and below it the lines that Allure has ``said``."""
    lines = [line for line in (_COLOUR.sub("", each).rstrip() for each in said) if line]
    return "\n  ".join((f"{head} It said:" if lines else f"{head} It said nothing.", *lines))


def find_allure(given: Path | None, rootdir: Path, environ: Mapping[str, str]) -> Allure:
    """Return the Allure that a project uses: ``given``, GAIA_ALLURE, one of the project's own, or one on PATH.

    Raises ``ConfigError`` where there is none, where it is too old, and where Node.js is missing or too old for it.
    """
    path = _located(given, rootdir, environ)
    command = (_node(path), str(path)) if _is_script(path) else (str(path),)
    version = _packaged(path) or _answer([*command, "--version"])
    if not version.startswith(f"{_MAJOR}."):
        raise ConfigError(
            f"{path} is Allure {version or '(of no known version)'}; Allure {_MAJOR} is needed. {_INSTALL}"
        )
    return Allure(command, version)


def _located(given: Path | None, rootdir: Path, environ: Mapping[str, str]) -> Path:
    for name, chosen in (("--allure", given), ("GAIA_ALLURE", environ.get("GAIA_ALLURE"))):
        if chosen:
            if not (path := Path(chosen)).is_file():
                raise ConfigError(f"{name}={chosen}: there is no such file. Give the executable of Allure {_MAJOR}.")
            return path.absolute()
    places = [rootdir.absolute() / place for place in ("node_modules/.bin/allure", "ci/npm/node_modules/.bin/allure")]
    found = next((place for place in places if place.is_file()), None) or shutil.which("allure")
    if found is None:
        tried = ", ".join(("--allure", "GAIA_ALLURE", *map(str, places), "PATH"))
        raise ConfigError(
            f"Allure {_MAJOR}, which makes the HTML report, is not installed (looked at {tried}). It runs on Node.js "
            f">= {_NODE}. {_INSTALL}"
        )
    return Path(found).absolute()


def _is_script(path: Path) -> bool:
    """Whether Node.js runs it. Then it is started by name: the file need not be executable, nor find ``env``."""
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
            f"Node.js, which {allure} runs on, is not on PATH ({os.environ.get('PATH', 'empty')}). Install Node.js >= "
            f"{_NODE}. Everything else works without it: the results stay as they are, and the verdict never comes "
            "from Allure."
        )
    version = _answer([node, "--version"])
    major = re.match(r"v?(\d+)\.", version)
    if major is None or int(major[1]) < _NODE:
        raise ConfigError(
            f"{node} is Node.js {version or '(of no known version)'}; Allure {_MAJOR} needs {_NODE} or newer. Install "
            "one, and put it first on PATH."
        )
    return node


def _answer(command: Sequence[str]) -> str:
    done = run_tool(command, deadline=_ASKED)
    return next(iter(done.stdout.split()), "") if done.ok else ""


def _packaged(path: Path) -> str:
    """The version as npm's package says it; Allure itself takes a second to answer."""
    package = path.resolve().parent / "package.json"
    try:
        described = json.loads(package.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # A wrapper of somebody's own: it is asked.
        return ""
    return str(described.get("version", "")) if described.get("name") == "allure" else ""


def _environ(guard: Path) -> dict[str, str]:
    """Variables of the child: no network, no colours, and none of Allure's own settings or tokens."""
    ours = {name: "" for name in os.environ if name.startswith("ALLURE_")}
    options = f'{os.environ.get("NODE_OPTIONS", "")} --require "{guard}"'.strip()
    return {**ours, "NODE_OPTIONS": options, "NO_COLOR": "1", "FORCE_COLOR": "0"}


def _literal(folder: Path) -> str:
    """Allure reads a folder's name as a pattern, in which no character can be escaped, but each can be a class."""
    return "".join(_classes(str(folder.absolute())))


def _classes(text: str) -> Iterator[str]:
    return (f"[{each}]" if each in "*?[{}()" else each for each in text)
