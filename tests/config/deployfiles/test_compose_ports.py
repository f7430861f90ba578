"""Ports of a compose service, in every spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.config.deployfiles.model import App

    Compose = Callable[[str], dict[str, App]]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('"8666:8000"', [("ports", 8000, (8666,), "tcp")]),
        ("2222:22", [("ports", 22, (2222,), "tcp")]),
        ("8000", [("ports", 8000, (), "tcp")]),
        ('"127.0.0.1:8666:8000"', [("ports", 8000, (8666,), "tcp")]),
        ('"[::1]:8666:8000"', [("ports", 8000, (8666,), "tcp")]),
        ('"127.0.0.1::8000"', [("ports", 8000, (), "tcp")]),
        ('"53:53/udp"', [("ports", 53, (53,), "udp")]),
        ('"3000-3001:8000-8001"', [("ports", 8000, (3000,), "tcp"), ("ports", 8001, (3001,), "tcp")]),
        ('"3000-3001:8000"', [("ports", 8000, (3000, 3001), "tcp")]),
        ('"8000-8001"', [("ports", 8000, (), "tcp"), ("ports", 8001, (), "tcp")]),
        ('"${PORT:-8666}:8000"', [("ports", 8000, (8666,), "tcp")]),
        ("{target: 8000}", [("ports", 8000, (), "tcp")]),
        ('{target: 8000, published: "8666", protocol: tcp, mode: host}', [("ports", 8000, (8666,), "tcp")]),
        ("{target: 8000, published: 8666}", [("ports", 8000, (8666,), "tcp")]),
        ('{target: 8000, published: "8666-8667"}', [("ports", 8000, (8666, 8667), "tcp")]),
        ("{target: 53, protocol: udp}", [("ports", 53, (), "udp")]),
    ],
)
def test_a_port_is_read_in_every_spelling(
    compose: Compose, written: str, found: list[tuple[str, int, tuple[int, ...], str]]
) -> None:
    served = compose(f"services:\n  gateway:\n    ports:\n      - {written}\n")["gateway"].served

    assert [(each.kind, each.internal_port, each.ports, each.protocol) for each in served] == found


@pytest.mark.parametrize(
    ("written", "internal", "open_port"),
    [
        ('"${GATEWAY_PORT}:8000"', 8000, "${GATEWAY_PORT}:8000"),
        ('"${GATEWAY_PORT:?set it}:8000"', 8000, "${GATEWAY_PORT:?set it}:8000"),
        ('"$GATEWAY_PORT:8000"', 8000, "$GATEWAY_PORT:8000"),
        ('"${BIND}:${PORT}:8000/tcp"', 8000, "${BIND}:${PORT}:8000/tcp"),
        ('"${BIND}:8666:8000"', 8000, ""),
        ('"${AD_PORT}"', None, "${AD_PORT}"),
        ('{target: "${PORT}", published: 8666}', None, ""),
        ('{target: 8000, published: "${PORT}"}', 8000, "${PORT}"),
    ],
)
def test_a_port_that_depends_on_a_variable_is_not_known(
    compose: Compose, written: str, internal: int | None, open_port: str
) -> None:
    (served,) = compose(f"services:\n  gateway:\n    ports:\n      - {written}\n")["gateway"].served

    assert (served.internal_port, served.open_port) == (internal, open_port)
    assert served.ports == (() if open_port else (8666,))


@pytest.mark.parametrize("written", ['"0:8000"', "{target: 8000, published: 0}"])
def test_port_0_is_whichever_is_free(compose: Compose, written: str) -> None:
    assert compose(f"services:\n  gateway:\n    ports:\n      - {written}\n")["gateway"].served[0].ports == ()


def test_on_the_network_of_the_host_what_is_listened_on_is_the_hosts_own_port(compose: Compose) -> None:
    check = "healthcheck: {test: curl http://localhost:8000/health}"
    served = compose(f"services:\n  gateway:\n    network_mode: host\n    {check}\n    expose: [9000]\n")[
        "gateway"
    ].served

    assert [(each.internal_port, each.ports) for each in served] == [(9000, (9000,)), (8000, (8000,))]


def test_an_exposed_port_is_for_the_other_services_alone(compose: Compose) -> None:
    served = compose('services:\n  gateway:\n    expose: [8000, "9000-9001", "53/udp"]\n')["gateway"].served

    assert [(each.kind, each.internal_port, each.ports, each.protocol) for each in served] == [
        ("expose", 8000, (), "tcp"),
        ("expose", 9000, (), "tcp"),
        ("expose", 9001, (), "tcp"),
        ("expose", 53, (), "udp"),
    ]


def test_each_port_keeps_its_own_line(compose: Compose) -> None:
    served = compose('services:\n  gateway:\n    ports:\n      - "1:1"\n      - target: 2\n')["gateway"].served

    assert [each.place.line for each in served] == [4, 5]


def test_a_health_check_is_on_the_port_that_it_asks(compose: Compose) -> None:
    served = compose(
        "services:\n  gateway:\n    ports: ['9090:9090', '8666:8000']\n"
        "    healthcheck: {test: curl http://localhost:8000/health}\n"
    )["gateway"].served

    assert [len(each.checks) for each in served] == [0, 1]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("http", "expected ports, such as \"8666:8000\", got 'http'"),
        ('"1-3:1-2"', "the two ranges of ports have different lengths"),
        ('"9-8"', "'9-8' is not a range of ports"),
        ('"70000:8000"', "'70000' is not a range of ports"),
        ("{published: 8666}", "the port of the container is missing"),
        ("{target: x}", "expected a whole number of 0 or more, got 'x'"),
        ("{target: 1, protocol: sctp}", "unknown value 'sctp'; Known: tcp, udp."),
        ("[8000]", 'expected ports, such as "8666:8000"'),
    ],
)
def test_what_is_no_port_is_named_with_its_line(compose: Compose, written: str, problem: str) -> None:
    from pytest_gaia.errors import ConfigError

    with pytest.raises(ConfigError) as error:
        compose(f"services:\n  gateway:\n    ports:\n      - {written}\n")

    assert str(error.value).startswith("deploy/docker-compose.yml:4: services.gateway.ports")
    assert problem in str(error.value)
