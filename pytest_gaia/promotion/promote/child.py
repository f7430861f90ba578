"""The two runs of pytest in a promotion: their command lines and their processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise, starmap
from pathlib import Path
from typing import Literal, Self

from pytest_gaia.config.project import Project
from pytest_gaia.config.variables import RECORD_PIPE_VARIABLE
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote._journal import FOLDER, note_holder
from pytest_gaia.promotion.release.commits import is_inside
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.system.processes import exit_code_of, output_of, without_signing_key
from pytest_gaia.system.signals import like_interrupts
from pytest_gaia.verdict.evidence import Shard

PLAN, RECORD, VERDICT = "plan.json", "record.jsonl", "verdict.json"
SIGNED = "statement.json"
"""signed statement about the results log of a shard"""
BASELINE = "baseline.json"
"""operations of the release before, from the ledger; without any if there was none"""
_ADDOPTS = "PYTEST_ADDOPTS"
_OPTIONS = (
    "--rootdir", "--config-file", "--override-ini", "--confcutdir", "--noconftest", "--import-mode", "--pyargs",
    "--disable-plugin-autoload", "--pdbcls", "--tx", "--px", "--rsyncdir", "--looponfail", "--cov-config",
)  # fmt: skip
"""long options that change which code or settings a run loads; all options of this plugin are refused, too"""
_BEGINNINGS = ("--co", "--cov", "--pdb")
"""options that are not abbreviations of them"""
_DEADLINE = "--gaia-deadline"
"""the only option of this plugin that is allowed: it can only make a run fail"""
_SHORT = "cofp"
"""short options with the same effect"""
_WITH_VALUE = "kmnrW"
"""other short options with a value in the same word"""
_LEFT_OUT = ("no:cacheprovider", "no:randomly", "no:sugar")
"""allowed values of ``-p``: plugins that do not change the result"""
_VARIABLES = (
    *("PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONOPTIMIZE"),
    "PYTHONPYCACHEPREFIX",
)
"""variables that change which code a run loads, or how it runs"""
_PATH = "PYTHONPATH"


_UNREACHABLE = 12
_SHOWN_LINES = 12
_LONGEST = 1024
"""maximum bytes to read from the report of pytest; it writes 64"""
_LOOK_EVERY = 2.0
"""seconds between two checks of the lock"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a split promotion, as the user asked for it. By default, the promotion is not split."""

    only: Literal["plan", "run", "evidence"] | None = None
    """``plan``: test plan and deployment; ``run``: tests; ``evidence``: what is signed, without code of the project"""
    shards: int = 0
    """``plan``: the number of shards"""
    shard: Shard | None = None
    """``run``: which shard"""
    durations: Path | None = None
    """``plan``: results log by which the shards are balanced"""

    @property
    def signs(self) -> bool:
        """Whether it needs the signing key."""
        return self.only in (None, "evidence") or self.shard is not None


WHOLE = Part()
"""a promotion that is not split"""


@dataclass(frozen=True, slots=True)
class Commands:
    """The command lines of one promotion, for the folder of gaia.toml."""

    seal: tuple[str, ...]
    run: tuple[str, ...]
    folder: Path
    """folder of the test plan, the baseline, the results log and the verdict file"""
    results: Path
    """folder of the results log and the verdict file: for a shard, one of its own"""

    @classmethod
    def of(
        cls,
        project: Project,
        environment: str,
        release: Release,
        services: Sequence[str],
        extra: Sequence[str],
        part: Part = WHOLE,
    ) -> Commands:
        """Return the command lines, which deploy ``services``. Raises ``ConfigError`` if there is no suite."""
        rootdir = project.rootdir
        suites = [os.path.relpath(suite, rootdir) for suite in project.suites]
        if not suites:
            raise ConfigError('gaia.toml has no suites, so there is nothing to test. Add [gaia] suites = ["suites"].')
        _check_extra(extra)
        folder = rootdir / FOLDER / f"{environment}-{release.short}"
        results = shard_folder(folder, part.shard.index) if part.shard else folder
        shown, written = os.path.relpath(folder, rootdir), os.path.relpath(results, rootdir)
        common = (*suites, f"--rootdir={rootdir}", f"--gaia-env={environment}", f"--gaia-release={release.id}")
        seal = ("--collect-only", "-q", f"--gaia-plan-out={shown}/{PLAN}")
        balance = (f"--gaia-durations={part.durations.absolute()}",) if part.durations else ()
        # The shards of a promotion find the release deployed.
        what = (f"--gaia-shard={part.shard}",) if part.shard else _deploying(release, services)
        evidence = (
            "--gaia-require-full",
            f"--gaia-plan={shown}/{PLAN}",
            f"--gaia-baseline={shown}/{BASELINE}",
            f"--gaia-report-log={written}/{RECORD}",
            f"--gaia-verdict-file={written}/{VERDICT}",
        )
        return cls((*common, *seal, *balance), (*common, *what, *evidence, *extra), folder, results)


def shard_folder(folder: Path, index: int) -> Path:
    """Return the folder of a shard in the ``folder`` of its promotion."""
    return folder / f"shard-{index}"


def shown(words: Sequence[str], rootdir: Path) -> str:
    """Return a command line for a message, as typed in the folder of gaia.toml."""
    return shlex.join(("pytest", *(word for word in words if word != f"--rootdir={rootdir}")))


def executed(words: Sequence[str]) -> list[str]:
    """Return the full command: pytest of this Python interpreter."""
    return [sys.executable, "-m", "pytest", *words]


def check_environ(environ: Mapping[str, str], rootdir: Path) -> None:
    """Raise ``ConfigError`` if a variable, or an option in ``PYTEST_ADDOPTS``, changes what is tested."""
    given = [name for name in _VARIABLES if environ.get(name)]
    outside = [
        entry for entry in environ.get(_PATH, "").split(os.pathsep) if entry and not is_inside(rootdir / entry, rootdir)
    ]
    if outside:
        given.append(f"{_PATH}={outside[0]}")
    if given:
        raise ConfigError(
            f"{given[0]} is not allowed in a promotion, because it changes which code the run loads. Unset it. Nothing was "
            "deployed."
        )
    try:
        _check_extra(shlex.split(environ.get(_ADDOPTS, "")))
    except ValueError as error:
        raise ConfigError(f"{_ADDOPTS}: {error}.") from None
    except ConfigError as error:
        raise ConfigError(f"{_ADDOPTS}: {error}") from None


def added_paths(environ: Mapping[str, str], rootdir: Path) -> list[str]:
    """Return the folders of ``PYTHONPATH`` that are below ``rootdir``, relative to it."""
    entries = (
        os.path.relpath((rootdir / entry).resolve(), rootdir.resolve())
        for entry in environ.get(_PATH, "").split(os.pathsep)
    )
    return [entry for entry in entries if entry != "." and not entry.startswith("..")]


def _check_extra(extra: Sequence[str]) -> None:
    """Raise ``ConfigError`` for an option that changes the tested platform, the loaded code and settings, or the output."""
    if found := next(filter(None, starmap(_refused, pairwise((*extra, "")))), None):
        raise ConfigError(
            f"{found} is not allowed in a promotion, which decides itself what to deploy, load, test and record. Use options "
            "such as -n 4, --junitxml=FILE or -x. Nothing was deployed."
        )


def _refused(word: str, following: str) -> str:
    """Return the option in ``word`` if a promotion refuses it; '' otherwise."""
    if word.startswith("--"):
        name = word.partition("=")[0]
        refused = name.startswith("--gaia") or any(each.startswith(name) for each in (*_OPTIONS, "--gaia"))
        return name if refused and name not in ("--", *_BEGINNINGS, _DEADLINE) else ""
    if word.startswith("@"):
        # A file of options.
        return word
    return _refused_short(word[1:], following) if word.startswith("-") else ""


def _refused_short(letters: str, following: str) -> str:
    """Parse a word such as ``-vpNAME``: options without a value, and one with the rest as its value."""
    for position, letter in enumerate(letters):
        if letter == "p" and (letters[position + 1 :] or following).strip() in _LEFT_OUT:
            return ""
        if letter in _SHORT:
            return f"-{letter}"
        if letter in _WITH_VALUE:
            return ""
    return ""


def _deploying(release: Release, services: Sequence[str]) -> tuple[str, ...]:
    images = {part.service: part.image for part in release.components}
    if not services:
        return ()
    return (
        "--gaia-deploy",
        f"--gaia-deploy-services={','.join(services)}",
        *(f"--gaia-deploy-image={service}={images[service]}" for service in services),
    )


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP arrived while pytest ran, and pytest has ended."""


def save_plan(words: Sequence[str], promotion: Promotion, keep: int) -> None:
    """Let pytest write the test plan. Raises ``ConfigError`` with the last lines of its output if that fails."""
    with _started(words, promotion, keep, subprocess.PIPE) as process:
        code, output = _waited(process)
    if code == 0:
        return
    lines = [line for line in output.splitlines() if line.strip()][-_SHOWN_LINES:]
    error = EnvironmentUnavailable if code == _UNREACHABLE else ConfigError
    raise error(
        "The test plan could not be created, so nothing was deployed. "
        f"{shown(words, promotion.rootdir)} exited with {code}:\n" + "\n".join(lines)
    )


def run_pytest(
    words: Sequence[str], promotion: Promotion, keep: int, output: int | None, lost: Callable[[], bool]
) -> tuple[int, str]:
    """Run pytest to its end; return its exit code and the digest of the results log that it reported.

    If ``lost`` returns true, the lock was lost, and pytest is interrupted.
    """
    with DigestPipe() as pipe:
        code = _ran(words, promotion, keep, output, lost, pipe)
        return code, pipe.reported()


class DigestPipe:
    """A pipe on which pytest reports the digest of its results log. Only a process that inherits it can write."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self.inherited = (self._write,)
        """file descriptors that pytest must inherit"""
        self.variables = {RECORD_PIPE_VARIABLE: str(self._write)}
        """environment variables with their numbers, for pytest"""

    def reported(self) -> str:
        """Return the report of pytest after its end; empty if there is none."""
        with suppress(BlockingIOError):
            return os.read(self._read, _LONGEST).decode(errors="replace")
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        os.close(self._read)
        os.close(self._write)


def _ran(
    words: Sequence[str],
    promotion: Promotion,
    keep: int,
    output: int | None,
    lost: Callable[[], bool],
    pipe: DigestPipe,
) -> int:
    with _started(words, promotion, keep, output, pipe) as process, like_interrupts():
        interrupted = False
        while True:
            try:
                return process.wait(_LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if lost() and not interrupted:
                    interrupted = True
                    _interrupt(process)
            except KeyboardInterrupt:
                _interrupt(process)
                exit_code_of(process)
                raise Interrupted from None


def _started(
    words: Sequence[str], promotion: Promotion, keep: int, output: int | None, pipe: DigestPipe | None = None
) -> subprocess.Popen[str]:
    # In its own process group, so that Ctrl-C reaches it once, through this process.
    # S603: no shell; the command is built here.
    process = subprocess.Popen(  # noqa: S603
        executed(words),
        cwd=promotion.rootdir,
        env=without_signing_key(os.environ | dict(promotion.environ)) | (pipe.variables if pipe else {}),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output == subprocess.PIPE else None,
        text=True,
        pass_fds=(keep, *(pipe.inherited if pipe else ())),
        process_group=0,
    )
    note_holder(keep, process.pid)
    return process


def _waited(process: subprocess.Popen[str]) -> tuple[int, str]:
    with like_interrupts():
        try:
            output = output_of(process)
        except KeyboardInterrupt:
            _interrupt(process)
            output_of(process)
            raise Interrupted from None
    return process.returncode, output


def _interrupt(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
