"""The terms of a rule in one line, as every text that names a rule in a sentence has them."""

from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.verdict.report import ExpectationUse
from pytest_gaia.wording import counted


def terms(expectation: Expectation | ExpectationUse) -> str:
    """Return the rule's issue, who answers for it, and the day on which it ends, such as ``GAIA-1, @team, until 2027-01-31``."""
    return f"{expectation.issue}, {expectation.owner}, until {expectation.expires}"


def told(expectation: Expectation | ExpectationUse) -> str:
    """Return why there is such a rule, and its terms."""
    return f"{expectation.reason} ({terms(expectation)})"


def remaining(days: int) -> str:
    """Return how much longer something holds that ends in so many ``days``, such as ``3 days left`` and ``ended 1 day ago``."""
    if days > 0:
        return f"{counted(days, 'day')} left"
    return f"ended {counted(-days, 'day')} ago" if days else "ended today"
