"""Does what runs now work? The suite ``health`` of the project, or, where it has none, whether the members answer."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytest_gaia.config.options import Options
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.config.variables import without_signing_key
from pytest_gaia.errors import ConfigError
from pytest_gaia.observation.readiness import probe_members
from pytest_gaia.policy.files import folders_of, load
from pytest_gaia.policy.ruleset import RuleSet
from pytest_gaia.policy.subjects import Context
from pytest_gaia.promotion.promote_child import digest_pipe
from pytest_gaia.promotion.promote_commands import check_environ, executed
from pytest_gaia.verdict.evidence import decode_run, time_of
from pytest_gaia.verdict.judged import judge_run

SUITE = "health"
_STANDARD_ERROR = 2
"""the descriptor: standard output holds the result of the command alone"""


def smoke(project: Project, name: str, environ: Mapping[str, str]) -> str:
    """Return why the environment ``name`` does not work; an empty text if it does.

    What pytest writes goes to standard error. Raises ``KeyboardInterrupt``, and then pytest has ended as well.
    """
    rootdir = project.rootdir
    suites = [folder for folder in project.suites if (folder / SUITE).is_dir()]
    if not suites:
        return _unready(project, name, environ)
    try:
        check_environ(environ, rootdir)
        tolerances = project.tolerances
        rules = load(folders_of(project.suites), tolerances, rootdir=rootdir)
    except ConfigError as error:
        return f"its {SUITE} suite cannot be run: {str(error).removesuffix(' Nothing was done.')}"
    with tempfile.TemporaryDirectory(prefix="gaia-smoke-") as folder, digest_pipe() as pipe:
        record = Path(folder) / "record.jsonl"
        command = [
            *executed([str(each / SUITE) for each in suites]), f"--rootdir={rootdir}", f"--gaia-env={name}", f"--gaia-record={record}"
        ]  # fmt: skip
        variables = without_signing_key(environ) | pipe.variables
        # In this process group, so that Ctrl-C reaches it too. S603: no shell, and the words are the project's own.
        done = subprocess.run(  # noqa: S603
            command, cwd=rootdir, env=variables, stdout=_STANDARD_ERROR, pass_fds=pipe.inherited, check=False
        )
        shown = _shown(record, pipe.reported(), name, rules, tolerances[name])
    if done.returncode or shown:
        return f"its {SUITE} suite ended with {done.returncode}{f', and {shown}' if shown else ''}"
    return ""


def _shown(path: Path, reported: str, name: str, rules: RuleSet, tolerance: Tolerance) -> str:
    """Return why the record of a run does not show that it passed; an empty text if it does."""
    content = path.read_bytes() if path.is_file() else b""
    if not content or hashlib.sha256(content).hexdigest() != reported:
        return "left no record that is as it was written"
    try:
        record = decode_run(content, path)
    except ConfigError as error:
        return str(error)
    day = time_of(record.start.started).date()
    context = Context(name, frozenset(record.start.capabilities), day, tolerance)
    judged = judge_run(record.start, record.tests, record.end, rules, context)
    return "; ".join((judged.verdict.word, *judged.verdict.reasons)) if judged.exit_code else ""


def _unready(project: Project, name: str, environ: Mapping[str, str]) -> str:
    environment = resolve(Options(project=project, environ=environ, env=name))
    try:
        states = {each.member: each for each in probe_members(environment, deadline=environment.timeouts.ready)}
    except ConfigError as mistake:
        return str(mistake)
    bad = [states[each] for each in environment.required if each in states and not states[each].reachable]
    return "; ".join(f"{each.member} does not answer: {each.detail}" for each in bad)
