"""The end of a run: every test that was planned has a result, and none says otherwise than the verdict."""

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
from pytest_gaia.plugin.allure.seam import links
from pytest_gaia.plugin.checks.result import Result
from pytest_gaia.plugin.ending import VERDICT
from pytest_gaia.report.allure.around import categories, circumstances, executor, properties
from pytest_gaia.report.allure.labels import environment_name
from pytest_gaia.report.allure.results import PATTERN, Shelf, tellings
from pytest_gaia.report.footer import verdict_line
from pytest_gaia.run.session import Run
from pytest_gaia.verdict.evaluated import EvaluatedRun
from pytest_gaia.verdict.report import expectations_digest


class EndingHooks:
    """Registered on the process that talks to the user."""

    def __init__(self, config: pytest.Config, run: Run, result: Result) -> None:
        self._config = config
        self._run = run
        self._result = result
        folder = Path(os.path.abspath(config.option.allure_report_dir))  # noqa: PTH100 - as allure-pytest does it
        self._shelf = Shelf(
            folder,
            environment_name(run.declared.name, rehearsal=run.declared.simulated),
            config.rootpath,
            run.roots,
            links(config),
            self._redact,
            frozenset(path.name for path in folder.glob(PATTERN)),
        )

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Around the hook that judges, and within the terminal's, which then says what could not be written."""
        try:
            return (yield)
        finally:
            if (evaluated := self._result.evaluated) is not None:
                self._settle(session, evaluated)

    def _settle(self, session: pytest.Session, evaluated: EvaluatedRun) -> None:
        try:
            self._shelf.settle(tellings(evaluated, self._config.option.gaia_allure_expected), round(time.time() * 1000))
            for name, text in self._beside(evaluated):
                write_file(self._shelf.folder / name, text, mode=PRIVATE)
        except OSError as error:
            self._result.unwritten.append(f"--alluredir={self._shelf.folder}: cannot be written: {error.strerror}.")
            if not session.exitstatus:
                # Who asks for evidence and does not get it has not been told that all is well.
                session.exitstatus = self._config.stash[VERDICT] = pytest.ExitCode.USAGE_ERROR

    def _redact(self, text: str) -> str:
        # Asked for only now: what masks knows more at the end than at the start.
        return self._run.shown(text)

    def _beside(self, evaluated: EvaluatedRun) -> Iterator[tuple[str, str]]:
        redact, environment = self._redact, self._shelf.environment
        known = circumstances(evaluated, environment, expectations_digest(evaluated.expectations))
        known |= {f"versions.{name}": text for name, text in _versions()}
        known |= {"commit": _commit(self._run.options.rootdir), "ledger": _ledger_head(self._run.options.project)}
        yield "environment.properties", properties({key: redact(value) for key, value in known.items() if value})
        made_by = executor(os.environ, f"{environment}: {evaluated.verdict.word}")
        yield "executor.json", redact(json.dumps(made_by, indent=2))
        yield "categories.json", json.dumps(categories(), indent=2)
        if evaluated.verdict.exit_code:
            said = redact(verdict_line(self._run.declared.label, evaluated))
            whole = {"errors": [{"message": said, "timestamp": round(time.time() * 1000)}]}
            yield f"{uuid.uuid4()}-globals.json", json.dumps(whole, indent=2)


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", sys.version.partition(" ")[0]
    for name in ("pytest", "allure-pytest"):
        yield name, version(name)


def _commit(rootdir: Path) -> str:
    """Return the commit that is tested: as the CI says it, or as git does."""
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"):
        if value := os.environ.get(name):
            return value
    # Imported here: only a run that writes such a report asks git.
    from pytest_gaia.promotion.release.commits import head

    with suppress(ConfigError):
        return head(rootdir).id
    return ""


def _ledger_head(project: Project) -> str:
    """Return the head of the project's ledger, where that is a folder here: another one is asked for over a network."""
    from pytest_gaia.promotion.ledger.ledger import Ledger
    from pytest_gaia.promotion.ledger.stores import FolderStore

    with suppress(ConfigError):
        settings = project.ledger
        if settings.git is None:
            return Ledger(FolderStore(project.rootdir / settings.path, settings.path), ()).head
    return ""
