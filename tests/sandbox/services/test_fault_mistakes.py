"""A fault that is asked for wrongly is refused with the right name."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.sandbox.services import Faults


@pytest.mark.parametrize(
    ("member", "kind", "arguments", "message"),
    [
        ("asst", "slow", {}, "A fault is for one of the services, not 'asst': did you mean asset?"),
        ("nats", "slow", {}, "A fault is for one of the services, not 'nats'"),
        ("chat", "slwo", {}, "Unknown kind of fault 'slwo': did you mean slow?"),
        ("chat", "slow", {"dealy": 1}, "Fault slow has no argument 'dealy': did you mean delay?"),
        ("chat", "slow", {"rout": "/"}, "Fault slow has no argument 'rout': did you mean route?"),
        ("chat", "slow", {"delay": "long"}, "Fault slow: delay must be float, not 'long'."),
        ("chat", "status", {"status": True}, "Fault status: status must be int, not True."),
        ("chat", "drop", {}, "Fault drop needs field."),
        ("chat", "set", {}, "Fault set needs field and value."),
        ("chat", "hang", {"times": 0}, "Fault hang: times must be at least 1, not 0."),
        ("chat", "hang", {"times": "2"}, "Fault hang: times must be int, not '2'."),
        ("chat", "hang", {"route": 7}, "Fault hang: route must be str, not 7."),
        ("gateway", "noop", {}, "Fault noop: gateway writes nothing itself; give the fault to chat or asset."),
    ],
)
def test_mistake_is_named(member: str, kind: str, arguments: dict[str, Any], message: str) -> None:
    faults = Faults()

    with pytest.raises(ConfigError) as error:
        faults.add(member, kind, **arguments)

    assert str(error.value).startswith(message)
    assert len(faults) == 0


def test_arguments_that_are_none_are_the_defaults() -> None:
    faults = Faults()
    faults.add("chat", "slow", route=None, method=None, times=None)

    [fault] = faults.take("chat", "GET", "/anything")
    assert fault.arguments == {"delay": 0.5}


def test_used_up_faults_do_not_count() -> None:
    faults = Faults()
    faults.add("chat", "hang", times=1)
    before = len(faults)
    faults.take("chat", "GET", "/")

    assert (before, len(faults)) == (1, 0)
