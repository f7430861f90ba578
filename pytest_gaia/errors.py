"""Everything that pytest-gaia raises, in one tree.

::

    GaiaError
    ├── ConfigError            a user's mistake in an option, a variable or a file          exit 4
    │   └── NotConfigured      nothing gives an environment that is known by name an address
    ├── EnvironmentUnavailable a required member cannot be reached, or is not what it claims exit 12
    ├── DeployFailed           what was to be deployed does not run, or not everywhere       exit 1
    ├── DeployUnavailable      the deploy tool was rate-limited, or did not answer           exit 12
    ├── DeployLocked           somebody else is deploying to that environment                exit 13
    ├── ReportFailed           the tool that makes the HTML report failed, or made none       exit 1
    ├── SandboxError           the embedded platform could not start or answer               exit 12
    ├── WriteRefused           a write was stopped before it left the process
    ├── NotApplicable          the environment does not have what a check needs
    └── ServiceError           what a client met on the wire
        ├── Unreachable        no connection: refused, unknown host, broken
        ├── DeadlineExceeded   connected, but no answer in time
        └── UnexpectedResponse a response other than the expected one; holds the whole exchange

A message says what, why, what was tried and what to do. ``nearest`` offers the right name for a wrong one.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gaia.clients.exchanges import Exchange


class GaiaError(Exception):
    """Base of every error of this package; ``exit_code`` is what a run ends with when the error ends it."""

    exit_code: ClassVar[int] = 1


class ConfigError(GaiaError):
    """A user's mistake in an option, an environment variable or a file. pytest's usage error: exit 4."""

    exit_code = 4


class NotConfigured(ConfigError):
    """An environment is known by its name alone: the project neither has a table for it nor gives it an address."""


class EnvironmentUnavailable(GaiaError):
    """A required member of the environment cannot be reached, or the environment is not what it claims. Exit 12."""

    exit_code = 12


class DeployFailed(GaiaError):
    """What was to be deployed does not run, or not everywhere; the message says what was done. Exit 1."""


class DeployUnavailable(GaiaError):
    """The deploy tool was rate-limited or did not answer, and did not recover in time: nothing is proved. Exit 12."""

    exit_code = 12


class DeployLocked(GaiaError):
    """Another roll-out of the same environment is under way; nothing was done. Exit 13."""

    exit_code = 13


class ReportFailed(GaiaError):
    """Allure failed, or made no report; the results are as they were, and the verdict was never Allure's. Exit 1."""


class SandboxError(GaiaError):
    """The embedded platform could not be started, or its supervisor did not answer. Exit 12."""

    exit_code = 12


class WriteRefused(GaiaError):
    """A write was stopped before it left the process; the message names the environment and the marker."""


class NotApplicable(GaiaError):
    """The environment does not have what a check needs; the plugin turns it into a skip with this reason."""


class ServiceError(GaiaError):
    """What a client met on the wire. ``kind`` is the judge's word for it."""

    kind: ClassVar[str] = "error"


class Unreachable(ServiceError):
    """No connection: refused, unknown host, broken off."""

    kind = "unreachable"


class DeadlineExceeded(ServiceError):
    """Connected, but no answer (or no event) within the deadline."""

    kind = "timeout"


class UnexpectedResponse(ServiceError, AssertionError):
    """An answer other than the one asked for. Also an ``AssertionError``: for pytest the check failed."""

    kind = "http"

    def __init__(self, message: str, exchange: Exchange) -> None:
        super().__init__(message)
        self.exchange = exchange


UnexpectedAnswer = UnexpectedResponse
"""old name of :class:`UnexpectedResponse`"""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that helps with a wrong name: the nearest right one, if any is near, and the whole list.

    >>> nearest("stagign", ["local", "staging"])
    'did you mean staging? Known: local, staging.'
    """
    names = sorted(known)
    listing = f"Known: {', '.join(names) or 'none'}."
    lower = name.lower()
    # An abbreviation (prod) is far from its word by letters, and yet the likeliest mistake.
    close = difflib.get_close_matches(lower, names, n=1, cutoff=0.6) or [
        n for n in names if lower and n.startswith(lower)
    ]
    return f"did you mean {close[0]}? {listing}" if close else listing
