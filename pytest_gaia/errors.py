"""The exceptions that pytest-gaia raises, in one hierarchy.

::

    GaiaError
    ├── ConfigError            a wrong option, variable or configuration file                exit 4
    │   └── NotConfigured      an environment that is known by name has no address
    ├── EnvironmentUnavailable a required service is unreachable, or is not what it claims   exit 12
    ├── DeployFailed           the deployed version does not run, or not everywhere          exit 1
    ├── DeployUnavailable      the deploy tool was rate-limited or did not respond           exit 12
    ├── DeployLocked           another process is deploying to that environment              exit 13
    ├── ReportFailed           the tool that builds the HTML report failed                   exit 1
    ├── SandboxError           the sandbox could not start, or did not respond               exit 12
    ├── WriteRefused           a write was blocked
    │   └── DirectConnectionRefused  a connection that no client opened was blocked
    ├── NotApplicable          the environment does not offer what a test needs
    └── ServiceError           a request to a service failed
        ├── Unreachable        no connection: refused, unknown host, connection reset
        ├── DeadlineExceeded   connected, but no response in time
        ├── NotSent            not sent, because the service does not respond or asks for a pause
        └── UnexpectedResponse a response other than the expected one; holds the whole exchange

A message contains what failed, why, what was tried and how to fix it. ``nearest`` suggests the right name for a wrong
one.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_gaia.clients.exchanges import Exchange


class GaiaError(Exception):
    """Base class of every error of this package. A run that ends with the error exits with ``exit_code``."""

    exit_code: ClassVar[int] = 1


class ConfigError(GaiaError):
    """A wrong option, environment variable or file: a usage error. Exit 4."""

    exit_code = 4


class NotConfigured(ConfigError):
    """An environment is known only by name: the project has no table and no address for it."""


class EnvironmentUnavailable(GaiaError):
    """A required service is unreachable, or the environment is not what it claims to be. Exit 12."""

    exit_code = 12


class DeployFailed(GaiaError):
    """The deployed version does not run, or not everywhere; the message lists what was done. Exit 1."""


class DeployUnavailable(GaiaError):
    """The deploy tool was rate-limited or did not respond in time, so the result is unknown. Exit 12."""

    exit_code = 12


class DeployLocked(GaiaError):
    """Another rollout of the same environment is in progress; nothing was done. Exit 13."""

    exit_code = 13


class ReportFailed(GaiaError):
    """Allure failed to build a report. Results and verdict are not affected. Exit 1."""


class SandboxError(GaiaError):
    """The sandbox could not start, or its supervisor did not respond. Exit 12."""

    exit_code = 12


class WriteRefused(GaiaError):
    """A write was blocked; the message names the environment and the marker."""


class DirectConnectionRefused(WriteRefused, OSError):
    """A connection to a service that no client of pytest-gaia opens was blocked.

    Also an ``OSError``, which libraries handle as a failed connection.
    """

    kind: ClassVar[str] = "direct connection"


class RefusedAgain(BaseException):
    """Another attempt at a connection that was refused several times. No ``Exception``, so that a client gives up."""


class NotApplicable(GaiaError):
    """The environment does not offer what a test needs; the plugin skips the test with this reason."""


class ServiceError(GaiaError):
    """A request to a service failed. ``kind`` is the kind of failure, as expectations name it."""

    kind: ClassVar[str] = "error"


class Unreachable(ServiceError):
    """No connection: refused, unknown host, connection reset."""

    kind = "unreachable"


class DeadlineExceeded(ServiceError):
    """Connected, but no response (or no event) within the deadline."""

    kind = "timeout"


class NotSent(ServiceError):
    """A request that was not sent: the service has not responded to others, or asks for a long pause.

    A test with such a request never passes, whatever it does with the error, and no expectation covers it.
    """

    kind = "not sent"

    def __init__(self, service: str, problem: str) -> None:
        super().__init__(f"{service} {problem}; this request was not sent")
        self.service = service
        self.problem = problem


class UnexpectedResponse(ServiceError, AssertionError):
    """A response other than the expected one. Also an ``AssertionError``, so pytest reports a failed test.

    A test that catches the error and goes on fails, unless it uses ``pytest.raises(UnexpectedResponse)`` or
    ``response.may_fail("why")``.
    """

    kind = "http"
    observer: ClassVar[Callable[[UnexpectedResponse], object] | None] = None
    """gets every error that is created, in a run of pytest"""

    def __init__(self, message: str, exchange: Exchange) -> None:
        super().__init__(message)
        self.exchange = exchange
        self.accepted = False
        """whether the test may go on after it"""
        if UnexpectedResponse.observer is not None:
            UnexpectedResponse.observer(self)


UnexpectedAnswer = UnexpectedResponse
"""old name of :class:`UnexpectedResponse`"""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a wrong name: the closest known name, if there is one, and all known names.

    >>> nearest("stagign", ["local", "staging"])
    'did you mean staging? Known: local, staging.'
    """
    names = sorted(known)
    listing = f"Known: {', '.join(names) or 'none'}."
    lower = name.lower()
    # An abbreviation such as prod has a low similarity, and is the most likely error.
    close = difflib.get_close_matches(lower, names, n=1, cutoff=0.6) or [
        n for n in names if lower and n.startswith(lower)
    ]
    return f"did you mean {close[0]}? {listing}" if close else listing
