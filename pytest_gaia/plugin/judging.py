"""The rules of this run and what they are held against: the same in the process that runs tests and in the controller."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_gaia.policy.ruleset import RuleSet
from pytest_gaia.policy.subjects import Context
from pytest_gaia.verdict.judge import excuse

if TYPE_CHECKING:
    from pytest_gaia.policy.ruleset import Standing
    from pytest_gaia.policy.subjects import Subject
    from pytest_gaia.run.session import Run
    from pytest_gaia.verdict.evidence import Phase
    from pytest_gaia.verdict.judge import Excuse


@dataclass(slots=True)
class Judging:
    """What one process of a run judges with."""

    run: Run
    rules: RuleSet
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date())
    _context: Context | None = None

    @classmethod
    def of(cls, run: Run, *, excusing: bool) -> Judging:
        """Load the rules beside the suites. Without ``excusing`` (``--runxfail``) there are none.

        Raises :class:`~pytest_gaia.errors.ConfigError`, naming file, line and key, for any mistake in them.
        """
        from pytest_gaia.config.resolve import known_tolerances
        from pytest_gaia.policy.files import folders_of, load

        folders = folders_of(run.roots)
        if not folders:
            return cls(run, RuleSet())
        rootdir = run.options.rootdir
        rules = load(folders, known_tolerances(rootdir), rootdir=rootdir)
        return cls(run, rules if excusing else RuleSet())

    @property
    def context(self) -> Context:
        """The circumstances of this run. Only valid once its capabilities have been observed."""
        if self._context is None:
            declared = self.run.declared
            observed = self.run.observed()
            self._context = Context(
                declared.name, observed.capabilities, self.today, declared.tolerance, observed.unknown
            )
        return self._context

    def standing(self, subject: Subject) -> Standing:
        """Which rules speak for a test."""
        return self.rules.standing(subject, self.context)

    def excuse(self, subject: Subject, phase: Phase) -> Excuse:
        """Hold one failed phase against the rules."""
        return excuse(phase, self.standing(subject), self.context)
