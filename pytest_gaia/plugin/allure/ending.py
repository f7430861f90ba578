"""The end of a run: give every planned test a result, and make all results match the verdict."""

import json
import os
import sys
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.writing import PRIVATE, write_file
from pytest_gaia.observation.logs import as_text
from pytest_gaia.plugin.allure.rewriter import links
from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.ending import VERDICT
from pytest_gaia.report.allure.around import categories, circumstances, executor, properties
from pytest_gaia.report.allure.results import PATTERN, ResultsFolder, allure_outcomes, environment_name, epic_of
from pytest_gaia.report.footer import groups_not_offered, verdict_line
from pytest_gaia.run.session import Run
from pytest_gaia.verdict.evaluated import EvaluatedRun
from pytest_gaia.verdict.report import expectations_digest


class EndingHooks:
    """Registered in the controlling process only."""

    def __init__(self, config: pytest.Config, run: Run, result: Result) -> None:
        self._config = config
        self._run = run
        self._result = result
        folder = Path(os.path.abspath(config.option.allure_report_dir))  # noqa: PTH100 - as allure-pytest does it
        self._results = ResultsFolder(
            folder,
            environment_name(run.declared.name, simulated=run.declared.simulated),
            config.rootpath,
            run.roots,
            links(config),
            self._redact,
            epic_of(run.declared.platform.name, config.rootpath),
            frozenset(path.name for path in folder.glob(PATTERN)),
        )

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Run after the evaluation, and before the terminal summary, which prints the write errors."""
        try:
            return (yield)
        finally:
            if (evaluated := self._result.evaluated) is not None:
                self._reconcile(session, evaluated)

    def _reconcile(self, session: pytest.Session, evaluated: EvaluatedRun) -> None:
        try:
            outcomes = allure_outcomes(evaluated, self._config.option.gaia_allure_expected)
            logs = {node: as_text(lines) for node, lines in self._result.logs.items()}
            self._results.reconcile(outcomes, logs, round(time.time() * 1000))
            for name, text in self._beside(evaluated):
                write_file(self._results.folder / name, text, mode=PRIVATE)
        except OSError as error:
            self._result.unwritten.append(f"--alluredir={self._results.folder}: cannot be written: {error.strerror}.")
            if not session.exitstatus:
                # Missing results must not look like success.
                session.exitstatus = self._config.stash[VERDICT] = pytest.ExitCode.USAGE_ERROR

    def _redact(self, text: str) -> str:
        # Evaluated late: more secrets are known at the end of the run.
        return self._run.shown(text)

    def _beside(self, evaluated: EvaluatedRun) -> Iterator[tuple[str, str]]:
        redact, environment = self._redact, self._results.environment
        known = circumstances(evaluated, environment, expectations_digest(evaluated.expectations))
        known |= {f"versions.{name}": text for name, text in _versions()}
        known |= {"commit": _commit(self._run.options.rootdir), "ledger": _ledger_head(self._run.options.project)}
        yield "environment.properties", properties({key: redact(value) for key, value in known.items() if value})
        made_by = executor(os.environ, f"{environment}: {evaluated.verdict.word}")
        yield "executor.json", redact(json.dumps(made_by, indent=2))
        yield "categories.json", json.dumps(categories(), indent=2)
        if evaluated.verdict.exit_code:
            gone = (
                "\n".join((f"{each.title}:", *each.tests)) for each in groups_not_offered(evaluated) if each.blocking
            )
            said = (verdict_line(self._run.declared.label, evaluated), *gone)
            moment = round(time.time() * 1000)
            whole = {"errors": [{"message": redact(each), "timestamp": moment} for each in said]}
            yield f"{uuid.uuid4()}-globals.json", json.dumps(whole, indent=2)


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", sys.version.partition(" ")[0]
    for name in ("pytest", "allure-pytest"):
        yield name, version(name)


def _commit(rootdir: Path) -> str:
    """Return the tested commit, from CI or git."""
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"):
        if value := os.environ.get(name):
            return value
    # Imported here, because only runs that write a report need git.
    from pytest_gaia.promotion.release.commits import head

    with suppress(ConfigError):
        return head(rootdir).id
    return ""


def _ledger_head(project: Project) -> str:
    """Return the head of the ledger if it is a local folder; a remote ledger would need a network."""
    from pytest_gaia.promotion.ledger.ledger import Ledger
    from pytest_gaia.promotion.ledger.stores import FolderStore

    with suppress(ConfigError):
        settings = project.ledger
        if settings.git is None:
            return Ledger(FolderStore(project.rootdir / settings.path, settings.path), ()).head
    return ""
