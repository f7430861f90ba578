"""Try a way around a promotion: a command in a project with keys, a release and a ledger."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ci.cases.__main__ import Healthy, run_command
from ci.ways.table import HERE, filled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE = HERE / "promotion"
IMAGE = f"registry/shop@sha256:{'a' * 64}"
CREATE = f"gaia release create --image shop={IMAGE} --output release.json"
KEYS = {"ci": "ci", "rita": "release-manager", "sam": "security"}
EDIT = """
import json, pathlib
file = pathlib.Path("record.jsonl")
lines = [json.loads(line) for line in file.read_text().splitlines()]
run, *tests, end = lines
{edit}
lines = [each for each in (run, *tests, end) if each]
file.write_text("".join(json.dumps(each) + chr(10) for each in lines))
"""
"""changes a results log; ``run`` is its first line, ``end`` the last one, and ``tests`` are those between"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One way around a promotion: what it changes, a command, and its correct result."""

    id: str
    title: str
    run: str
    """the command; ``release.json`` is the release"""
    exit: int
    """the correct exit code of the command"""
    right: str = ""
    """why the exit code 0 is right here; empty if it would be wrong"""
    possible: str = ""
    """why it cannot be stopped; empty if it can"""
    state: str = "released"
    """where the project is: a release was created (``released``), or promoted to ``stage`` (``promoted``)"""
    committed: Mapping[str, str] = field(default_factory=dict)
    """path → content of files that are committed before a new release is created"""
    files: Mapping[str, str] = field(default_factory=dict)
    """path → content of files that change after the release was created"""
    replace: Sequence[str] = ()
    """a text of gaia.toml, and what replaces it; committed as ``committed`` is"""
    edit: str = ""
    """Python statements that change the results log ``record.jsonl`` of a run in which one test failed; see ``EDIT``"""
    before: Sequence[str] = ()
    """commands that run first, whatever their exit codes"""
    environ: Mapping[str, str] = field(default_factory=dict)
    shows: Sequence[str] = ()
    hides: Sequence[str] = ()

    @property
    def is_long(self) -> bool:
        """Whether it promotes, which takes several seconds."""
        return any("gaia promote" in each and "--dry-run" not in each for each in (self.run, *self.before))


def steps() -> list[Step]:
    """Return the rows of ``promotion.toml``."""
    rows = tomllib.loads((HERE / "promotion.toml").read_text(encoding="utf-8"))["way"]
    return [Step(**row) for row in rows]


class Releases:
    """Projects with releases; a context, which ends the service of the projects and removes the folders."""

    def __enter__(self) -> Self:
        self._server = Healthy()
        self.url = f"http://127.0.0.1:{self._server.__enter__()}"
        self._folder = tempfile.TemporaryDirectory(prefix="ways-", ignore_cleanup_errors=True)
        self._made = 0
        return self

    def __exit__(self, *given: object) -> None:
        self._server.__exit__(*given)
        self._folder.cleanup()

    def wrong(self, step: Step) -> list[str]:
        """Try a way in a new folder, and return what differs from the correct result; the last text is the output."""
        folder = self.project(step.state)
        self._change(step, folder)
        for command in step.before:
            self._run(command, folder, step.environ)
        code, output = self._run(step.run, folder, step.environ)
        found = [f"exit {code}, not {step.exit}"] if code != step.exit else []
        found += [f"does not show: {each}" for each in step.shows if each not in " ".join(output.split())]
        found += [f"shows: {each}" for each in step.hides if each in output]
        return [*found, output] if found else []

    def project(self, state: str) -> Path:
        """Return a new copy of a project in this state."""
        self._made += 1
        return Path(shutil.copytree(self._original(state), Path(self._folder.name) / str(self._made), symlinks=True))

    @functools.cache  # noqa: B019 - the folders live as long as this object
    def _original(self, state: str) -> Path:
        folder = Path(self._folder.name) / state
        if state == "released":
            shutil.copytree(BASE, folder)
            (folder / "gitignore").rename(folder / ".gitignore")
            self._write(folder, {"gaia.toml": (folder / "gaia.toml").read_text(encoding="utf-8")})
            for name, role in KEYS.items():
                key = Path(self._folder.name) / f"{name}.pem"
                self._must(
                    f"gaia key generate {name} --role {role} --identity {name}@example.org --output {key}", folder
                )
            self._must("git init --quiet", folder)
            self._commit(folder)
            # One test fails in it.
            log = "--gaia-report-log=record.jsonl --gaia-verdict-file=verdict.json"
            self._run(f"pytest --gaia-env=stage {log}", folder, {"SHOP_IS_BROKEN": "1"})
            return folder
        shutil.copytree(self._original("released"), folder, symlinks=True)
        self._must("gaia promote stage release.json", folder)
        return folder

    def _change(self, step: Step, folder: Path) -> None:
        committed = dict(step.committed)
        if step.replace:
            text = (folder / "gaia.toml").read_text(encoding="utf-8")
            old, new = (filled(each, {"url": self.url}) for each in step.replace)
            assert old in text
            committed["gaia.toml"] = text.replace(old, new)
        if committed:
            self._write(folder, committed)
            self._commit(folder)
        self._write(folder, step.files)
        if step.edit:
            subprocess.run([sys.executable, "-c", EDIT.format(edit=step.edit)], cwd=folder, check=True)

    def _write(self, folder: Path, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(filled(text, {"url": self.url}), encoding="utf-8")

    def _commit(self, folder: Path) -> None:
        self._must("git add .", folder)
        self._must("git -c user.name=Dev -c user.email=dev@example.org commit --quiet --message=release", folder)
        # Settings that are refused have no release.
        self._run(CREATE, folder, {})

    def _must(self, command: str, folder: Path) -> None:
        code, output = self._run(command, folder, {})
        assert code == 0, f"{command}\n{output}"

    def _run(self, command: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_", "GITHUB_"))
        }
        path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
        key = {"GAIA_SIGNING_KEY_FILE": str(Path(self._folder.name) / "ci.pem")}
        values = {"url": self.url, "other": "b" * 64, "keys": self._folder.name, "python": sys.executable}
        given = {name: filled(value, values) for name, value in environ.items()}
        everything = {**kept, "HOME": self._folder.name, "COLUMNS": "400", "PATH": path, **key, **given}
        return run_command(
            filled(command, values), folder, {name: value for name, value in everything.items() if value}
        )
