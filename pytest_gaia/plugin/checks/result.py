"""The result of a run: the results log that is written as tests end, and the verdict."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from pytest_gaia import __version__
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import ExpectationSet, Resolution
from pytest_gaia.expectations.subjects import NOTHING_OBSERVED, Context, Observed, Subject
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.observation.readiness import ServiceState
from pytest_gaia.plugin.launch import plugins_of
from pytest_gaia.run.session import Run
from pytest_gaia.system.signals import held_back
from pytest_gaia.verdict.classify import PhaseOutcome, classify_phase
from pytest_gaia.verdict.evaluated import EvaluatedRun, evaluate_run
from pytest_gaia.verdict.evidence import (
    SCHEMA,
    DeploymentSeen,
    Line,
    Phase,
    PlatformSeen,
    RunEnd,
    RunStart,
    ServiceHealth,
    Shard,
    TestRecord,
)
from pytest_gaia.verdict.gathering import Assembly
from pytest_gaia.verdict.plan import Plan
from pytest_gaia.verdict.report import expectations_digest, write_report
from pytest_gaia.verdict.results_log import encode

if TYPE_CHECKING:
    from pytest_gaia.promotion.attestation import Files, SigningProcess


@dataclass(slots=True)
class Evaluator:
    """The expectations of a run, and the context in which they apply."""

    run: Run
    expectations: ExpectationSet
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date())
    _context: Context | None = None

    @classmethod
    def of(cls, run: Run, *, accepting: bool) -> Evaluator:
        """Load the expectations of the suites; none unless ``accepting`` (``--runxfail``).

        Raises :class:`~pytest_gaia.errors.ConfigError`, with file, line and key, for an invalid file.
        """
        from pytest_gaia.expectations.files import folders_of, load

        folders = folders_of(run.roots)
        if not folders:
            return cls(run, ExpectationSet())
        project = run.options.project
        expectations = load(folders, project.tolerances, project.platform, rootdir=project.rootdir)
        return cls(run, expectations if accepting else ExpectationSet())

    @property
    def context(self) -> Context:
        """The circumstances of this run; valid once its capabilities have been observed."""
        if self._context is None:
            declared = self.run.declared
            observed = self.run.observed()
            self._context = Context(
                declared.name,
                observed.capabilities,
                self.today,
                declared.tolerance,
                observed.unknown,
                apis=self.run.handoff.apis(),
            )
        return self._context

    def resolution(self, subject: Subject) -> Resolution:
        """Return the expectations that apply to a test."""
        return self.expectations.resolution(subject, self.context)

    def classify_phase(self, subject: Subject, phase: Phase) -> PhaseOutcome:
        """Compare one failed phase with the expectations."""
        return classify_phase(phase, self.resolution(subject), self.context)


class Result:
    """Collects records, writes them to ``--gaia-report-log``, evaluates them, and writes ``--gaia-verdict-file``."""

    def __init__(self, run: Run, evaluating: Evaluator, config: pytest.Config) -> None:
        self.run = run
        self.evaluating = evaluating
        self.records: list[TestRecord] = []
        """results of the tests, added by :class:`~pytest_gaia.verdict.gathering.Assembly`"""
        self.evaluated: EvaluatedRun | None = None
        self.unavailable = ""
        self.changed: tuple[str, ...] = ()
        """changes of the environment between the first test and the end"""
        self.network: tuple[str, ...] = ()
        """what the network guards have found, one sentence each"""
        self.deadline = 0.0
        """seconds of ``--gaia-deadline``, if it has passed"""
        self.undeployed = ""
        """why the deployment of this run failed"""
        self.deployment: DeploymentSeen | None = None
        """the deployed state, as far as it is known"""
        self.plan: Plan | None = None
        """the locked test plan, if there is one"""
        self.shard: Shard | None = None
        """the shard of ``--gaia-shard``"""
        self.logs: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
        """failing test → service → log lines of its requests, masked"""
        self.unwritten: list[str] = []
        """one message for each file that could not be written"""
        self.began = time.time()
        self.written: list[Path] = written_by(config)
        """files and folders that this run writes; they are scanned for secrets at the end"""
        self._start = _start_line(run.declared, run.shuffle_seed)
        self._end: RunEnd | None = None
        self._begun = False
        self._saved = 0
        """number of records in the results log"""
        self._plugins = plugins_of(config.pluginmanager)
        # Tests can change the environment of their process.
        self._release: str = config.option.gaia_release or ""
        self._full_required: bool = config.option.gaia_require_full
        self._record = _opened(config.option.gaia_report_log, "--gaia-report-log")
        self._report = _opened(config.option.gaia_verdict_file, "--gaia-verdict-file")
        self._recorded = hashlib.sha256()
        self._attestation = _opened(config.option.gaia_attest, "--gaia-attest")
        self._attested = b""
        self._files = None if self._attestation is None else _files_of(run, config)
        self._reported = hashlib.sha256()

    @property
    def attests(self) -> bool:
        """Whether the verdict is signed (``--gaia-attest``)."""
        return self._attestation is not None

    def assembly(self) -> Assembly:
        """Return what adds the records."""
        return Assembly(self.records, self.write_records)

    def write_records(self) -> None:
        """Write the records since the last call, so that a killed run leaves its results."""
        if self._begun and self._record is not None:
            # Ctrl-C must not cut a line.
            with held_back(SIGINT):
                for record in self.records[self._saved :]:
                    self._write(record)
                self._saved = len(self.records)

    def begin(self, environment: Environment, states: Sequence[ServiceState]) -> None:
        """Write the start of the results log, now that the environment has been observed."""
        deployed_version = environment.release or next((state.version for state in states if state.version), "")
        known = environment.addresses
        seen = (
            ServiceHealth(s.service, s.state, s.version, s.cold_start_ms, s.detail, known.get(s.service, ""))
            for s in states
        )
        start = _start_line(environment, self.run.shuffle_seed, deployed_version, self.run.observed(), tuple(seen))
        apis = self.run.handoff.apis()
        self._start = structs.replace(
            start,
            deployment=self.deployment,
            plugins=self._plugins,
            apis=dict(apis.now),
            baseline=apis.baseline,
            no_known_bugs=self.run.options.sandbox_fixed,
        )
        self._open_record()

    @property
    def order(self) -> str:
        """How the tests run, if not one after another in pytest's order; empty otherwise."""
        return self._start.order

    def close(
        self, pytest_exit: int, planned: int, *, partial: tuple[str, ...], lost: Sequence[str], late: Sequence[str]
    ) -> int:
        """Evaluate the run, write the verdict file, and return the exit code.

        ``partial`` lists what was left out of the suites, ``lost`` the crashed workers, ``late`` failures that no test has.
        """
        if not self._begun:
            self._start = structs.replace(self._start, deployment=self.deployment, plugins=self._plugins)
            self._open_record()
        self.write_records()
        if self.shard is not None:
            partial = (self.shard.only, *partial)
        self._end = RunEnd(
            finished=_now(),
            pytest_exit=int(pytest.ExitCode.INTERRUPTED) if self.deadline else pytest_exit,
            deadline=self.deadline,
            planned=planned,
            complete=not partial,
            partial=partial,
            full_required=self._full_required,
            unavailable=self.unavailable,
            lost=tuple(lost),
            late=tuple(late),
            changed=self.changed,
            network=self.network,
            undeployed=self.undeployed,
            plan=self.plan.digest if self.plan else "",
            required=self._required(),
            release=self._release,
        )
        self._write(self._end)
        self.evaluated = self._classify()
        # A run whose requested files cannot be written does not succeed.
        return self.evaluated.exit_code or (int(pytest.ExitCode.USAGE_ERROR) if self.unwritten else 0)

    def _required(self) -> tuple[str, ...]:
        if self.plan is None:
            return ()
        return self.plan.nodes if self.shard is None else self.plan.of_shard(self.shard)

    def withhold(self, reason: str) -> None:
        """Change the verdict to HOLD: a problem was found after it."""
        if self._end is None:
            return
        self._end = structs.replace(self._end, held="; ".join(filter(None, (self._end.held, reason))))
        self._write(self._end)
        self.evaluated = self._classify()
        # Secrets may have been masked in it.
        self._recorded = hashlib.sha256(_content(self._record) or b"")

    @property
    def digest(self) -> str:
        """SHA-256 of the results log as this run has written it; of empty content if there is none."""
        return self._recorded.hexdigest()

    def restore(self) -> list[Path]:
        """Write the results log and the verdict file again if they were changed; return the changed files.

        A deleted file is not written again. A changed attestation is emptied.
        """
        record, report, attestation = map(_content, (self._record, self._report, self._attestation))
        changed = []
        if self._record and record is not None and hashlib.sha256(record).digest() != self._recorded.digest():
            changed.append(self._record)
        if self._report and report is not None and hashlib.sha256(report).digest() != self._reported.digest():
            changed.append(self._report)
        if self._attestation and attestation is not None and attestation != self._attested:
            # The new verdict is signed later.
            write_file(self._attestation, b"")
            changed.append(self._attestation)
        if not changed:
            return []
        if self._record in changed:
            write_file(self._record, b"", mode=PRIVATE)
            self._recorded = hashlib.sha256()
            if self._begun:
                self._open_record()
        if self._end is None and self._report in changed:
            write_file(self._report, b"", mode=PRIVATE)
        self.withhold(f"changed after the run wrote it: {', '.join(path.name for path in changed)}")
        return changed

    def attest(self, signing: SigningProcess, code: int) -> str:
        """Write the attestation of the verdict, if there is one; return a message if that fails.

        ``code`` is the exit code of the run.
        """
        if self.evaluated is None or self._attestation is None or self._files is None:
            return ""
        # Only a run that signs imports it.
        from pytest_gaia.promotion.attestation import statement
        from pytest_gaia.report.allure.around import ci_run

        names = ((self._record, self._recorded), (self._report, self._reported))
        written = {_named(path, self.run): digest.hexdigest() for path, digest in names if path is not None}
        record = self.digest if self._record else ""
        files = replace(self._files, record=record, written=written)
        body = statement(self.evaluated, files, exit_code=code, url=ci_run(self.run.options.environ))
        try:
            content = signing.sign(self.run.redactor.text(body.decode()).encode())
            write_file(self._attestation, content)
        except OSError as error:
            return _cannot_be_written("--gaia-attest", self._attestation, error)
        except ValueError as error:
            return f"--gaia-attest={self._attestation}: not signed: {error}."
        self._attested = content
        return ""

    def _classify(self) -> EvaluatedRun:
        evaluated = evaluate_run(
            self._start, self.records, self._end, self.evaluating.expectations, self.evaluating.context
        )
        self._write_report(evaluated)
        return evaluated

    def _open_record(self) -> None:
        self._begun, self._saved = True, 0
        if self.plan is not None:
            digest = expectations_digest(self.evaluating.expectations.expectations)
            self._start = structs.replace(self._start, commit=self.run.commit, expectations_digest=digest)
        self._start = structs.replace(self._start, shard=self.shard)
        self._write(self._start)
        self.write_records()

    def _write(self, line: Line) -> None:
        if self._record is None:
            return
        text = encode(line)
        self._recorded.update(text)
        try:
            with self._record.open("ab") as file:
                file.write(text)
        except OSError as error:
            self.unwritten.append(_cannot_be_written("--gaia-report-log", self._record, error))
            # A truncated results log is better than one with a gap.
            self._record = None

    def _write_report(self, evaluated: EvaluatedRun) -> None:
        if self._report is None:
            return
        try:
            self._reported = hashlib.sha256(write_report(self._report, evaluated))
        except OSError as error:
            self.unwritten.append(_cannot_be_written("--gaia-verdict-file", self._report, error))


_WRITES = (
    "gaia_report_log",
    "gaia_verdict_file",
    "gaia_subjects",
    "gaia_plan_out",
    "xmlpath",
    "log_file",
    "allure_report_dir",
)


def written_by(config: pytest.Config) -> list[Path]:
    """Return the files and folders that the options of a run write."""
    named = [getattr(config.option, name, None) for name in _WRITES]
    if config.pluginmanager.has_plugin("logging"):
        named.append(config.getini("log_file"))
    return [config.invocation_params.dir / path for path in named if path]


def _start_line(
    environment: Environment,
    shuffle_seed: int | None,
    deployed_version: str = "",
    observed: Observed = NOTHING_OBSERVED,
    services: tuple[ServiceHealth, ...] = (),
) -> RunStart:
    return RunStart(
        schema=SCHEMA,
        environment=environment.name,
        topology=_topology(environment),
        started=_now(),
        capabilities=tuple(sorted(observed.capabilities)),
        unknown=tuple(sorted(observed.unknown)),
        simulated=environment.simulated,
        deployed_version=deployed_version,
        version=__version__,
        services=services,
        loopback=environment.loopback,
        platform=PlatformSeen(environment.platform.name, environment.platform.digest),
        kinds={name: service.kind for name, service in environment.platform.services.items()},
        concurrency=environment.concurrency,
        shuffle_seed=shuffle_seed,
    )


def _topology(environment: Environment) -> str:
    there = {name for name in environment.services if name in environment.platform.http}
    return "gateway-only" if there <= {environment.platform.entry} else "microservices"


def _opened(path: Path | None, option: str) -> Path | None:
    """Empty the file, to find out before the tests whether it can be written."""
    if path is None:
        return None
    # A test may change the working directory.
    path = path.absolute()
    try:
        write_file(path, b"", mode=PRIVATE)
    except OSError as error:
        raise ConfigError(_cannot_be_written(option, path, error)) from None
    return path


def _files_of(run: Run, config: pytest.Config) -> Files:
    """Return what the run reads, before a test can change it."""
    from pytest_gaia.expectations.files import expectation_files, folders_of
    from pytest_gaia.promotion.attestation import Files
    from pytest_gaia.promotion.release.commits import head

    project = run.options.project
    paths = [*filter(None, (project.path, config.option.gaia_plan)), *expectation_files(folders_of(run.roots))]
    try:
        digests = {_named(path.absolute(), run): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    except OSError as error:
        raise ConfigError(f"--gaia-attest: {error.filename}: cannot be read: {error.strerror}.") from None
    # The run has emptied them already.
    own = [*written_by(config), config.invocation_params.dir / config.option.gaia_attest]
    beside = [path.relative_to(project.rootdir).as_posix() for path in own if path.is_relative_to(project.rootdir)]
    commit = None
    # Not every project is in a repository.
    with suppress(ConfigError):
        commit = head(project.rootdir, beside=beside)
    unchanged = commit.id if commit and not commit.changed else ""
    return Files(read=digests, commit=unchanged, tests_sources=run.declared.sandbox)


def _named(path: Path, run: Run) -> str:
    """Return the name of a file in an attestation: its path in the project, or else its last part."""
    root = run.options.rootdir
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _content(path: Path | None) -> bytes | None:
    """Return the content of the file at ``path``; None if there is none, and for a device or a pipe."""
    if path is None or not path.is_file():
        return None
    try:
        return path.read_bytes()
    except OSError:
        return None


def _cannot_be_written(option: str, path: Path, error: OSError) -> str:
    return f"{option}={path}: cannot be written: {error.strerror}."


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
