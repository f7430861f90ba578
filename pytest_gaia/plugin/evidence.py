"""What is known of each collected test: what it says of itself, and what its reports have shown so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

# At run time, because msgspec reads the annotations.
from pytest_gaia.collection.traits import Traits
from pytest_gaia.policy.subjects import Subject
from pytest_gaia.verdict.evidence import Phase, TestRecord, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping


# gc=False: it refers to nothing that could refer back, and there are tens of thousands.
class Evidence(msgspec.Struct, gc=False):
    """One test: its phases in this attempt, and what failed in those before."""

    subject: Subject
    traits: Traits
    phases: tuple[Phase, ...] = ()
    earlier: tuple[Phase, ...] = ()
    attempts: int = 0
    """how often it has handed over what an attempt has shown"""
    clean: bool = True
    """whether nothing but passes has been seen in this attempt"""
    must_fail: bool = False
    """whether a rule expects it to fail"""

    def add(self, phase: Phase) -> None:
        """Add a phase."""
        self.phases += (phase,)
        self.clean = self.clean and phase.outcome == "passed"

    def name_subtest(self, message: str | None, values: Mapping[str, object]) -> None:
        """Say of which subtest the latest phase was."""
        *before, latest = self.phases
        named = ", ".join(f"{name}={value}" for name, value in values.items())
        self.phases = (*before, replace(latest, subtest=" ".join(part for part in (message, named) if part)))

    def hand_over(self, node: str, attempt: int, exchanges: tuple[Wire, ...], worker: str) -> TestRecord:
        """Return what this attempt has shown, and keep only what the next one has to know of it.

        ``attempt`` is its number as far as the process knows that began it; a plugin may run a test again without a number.
        """
        self.attempts += 1
        subject, (markers, services) = self.subject, self.traits.listed
        record = TestRecord(
            node,
            "ran",
            self.phases,
            exchanges,
            markers,
            services,
            self.traits.needs.core,
            max(attempt, self.attempts),
            self.earlier,
            worker,
            subject="" if subject.node == node else subject.node,
        )
        if not self.clean:
            self.earlier += tuple(phase for phase in self.phases if phase.outcome == "failed")
            self.clean = True
        self.phases = ()
        return record


EVIDENCE: pytest.StashKey[Evidence] = pytest.StashKey()
"""on every collected test"""
