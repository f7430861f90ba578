"""Ports and health checks of a ``fly.*.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.config.deployfiles.model import App

    Fly = Callable[[str], App]

HTTP = 'app = "a"\n[http_service]\ninternal_port = 8000\n'


def test_an_http_service_is_reached_by_the_two_ports_of_the_web(fly: Fly) -> None:
    served = fly(HTTP).served[0]

    assert (served.kind, served.internal_port, served.protocol, served.ports) == (
        "http_service",
        8000,
        "http",
        (80, 443),
    )
    assert (served.force_https, served.autostop, served.autostart, served.min_machines) == (False, None, None, None)
    assert served.place.key == "http_service"


@pytest.mark.parametrize(
    ("written", "meaning"),
    [("true", "stop"), ("false", "off"), ('"off"', "off"), ('"stop"', "stop"), ('"suspend"', "suspend")],
)
def test_autostop_has_five_spellings(fly: Fly, written: str, meaning: str) -> None:
    assert fly(f"{HTTP}auto_stop_machines = {written}\n").served[0].autostop == meaning


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ('"15s"', 15),
        ('"1m30s"', 90),
        ('"500ms"', 0.5),
        ('"1h"', 3600),
        ('"1.5s"', 1.5),
        # flyctl converts numbers only in [checks] and [[services]].
        ("10000000000", 10),
        ('""', None),
    ],
)
def test_durations_have_units_and_a_bare_number_is_nanoseconds(fly: Fly, written: str, seconds: float | None) -> None:
    check = fly(f"{HTTP}[[http_service.checks]]\ninterval = {written}\ntimeout = {written}\ngrace_period = {written}\n")

    found = check.served[0].checks[0]
    assert (found.interval, found.timeout, found.grace) == (seconds, seconds, seconds)


@pytest.mark.parametrize(
    "table", ["[checks.alive]\nport = 8000", "[[services]]\ninternal_port = 9000\n[[services.http_checks]]"]
)
def test_a_bare_number_in_a_check_of_a_port_is_milliseconds(fly: Fly, table: str) -> None:
    app = fly(f"{HTTP}{table}\ninterval = 10000\n")

    assert [check.interval for served in app.served for check in served.checks] == [10]


GROUPS = """\
app = "a"
[processes]
worker = "work"
app = "serve"
[http_service]
processes = ["app"]
[[http_service.checks]]
path = "/health"
[[vm]]
memory = "256mb"
processes = ["worker"]
[[vm]]
memory = "2gb"
"""


@pytest.mark.parametrize(
    ("text", "checked", "memory"),
    [
        (GROUPS, {"app": True, "worker": False}, {"app": 2048, "worker": 256}),
        (GROUPS.replace('processes = ["app"]\n', "", 1), {"app": True, "worker": False}, {"app": 2048, "worker": 256}),
        (f"{GROUPS}[checks.queue]\nport = 9000\nprocesses = ['worker']\n", {"app": True, "worker": True}, None),
        # A check on a port of the same number, in a group that does not serve it, is on another machine.
        (f"{GROUPS}[checks.queue]\nport = 8080\nprocesses = ['worker']\n", {"app": True, "worker": True}, None),
        # A group that [processes] does not name could be any.
        (GROUPS.replace('app = "serve"', 'web = "serve"'), {"web": True, "worker": True}, None),
        ('app = "a"\nprocesses = []\n[http_service]\n', {"app": False}, {}),
        ('app = "a"\n[processes]\nweb = ""\nback = ""\n[[vm]]\nmemory = 512\n', None, {"back": 512, "web": 512}),
    ],
)
def test_checks_and_memory_belong_to_process_groups(
    fly: Fly, text: str, checked: dict[str, bool] | None, memory: dict[str, int] | None
) -> None:
    app = fly(text)

    assert checked is None or app.checked == checked
    assert memory is None or {group: size.memory_mb for group, size in app.sizes.items()} == memory
    assert memory is None or app.memory_mb == next(iter(memory.values()), None)


def test_each_check_keeps_its_own_line(fly: Fly) -> None:
    app = fly(f'{HTTP}[[http_service.checks]]\npath = "/health"\n[[http_service.checks]]\npath = "/ready"\n')

    found = [(check.kind, check.path, check.place.line) for check in app.served[0].checks]
    assert found == [("http", "/health", 4), ("http", "/ready", 6)]
    assert app.places["http_service.checks[1].path"].line == 7


def test_services_have_ports_handlers_and_checks_of_two_spellings(fly: Fly) -> None:
    app = fly(
        """\
        app = "a"
        [[services]]
        internal_port = "8000"
        protocol = "tcp"
        [[services.ports]]
        port = 80
        handlers = ["http"]
        force_https = true
        [[services.ports]]
        port = 443
        handlers = ["tls", "http"]
        [[services.tcp_checks]]
        interval = "10s"
        [[services.http_checks]]
        path = "/health"
        method = "head"
        # Not a table of flyctl.
        [[services.checks]]
        type = "http"
        path = "/ready"
        [[services]]
        internal_port = 4222
        [[services.ports]]
        start_port = 4222
        end_port = 4224
        """
    )

    web, broker = app.served
    assert (web.internal_port, web.protocol, web.ports, web.force_https) == (8000, "http", (80, 443), True)
    assert [(each.kind, each.path, each.method) for each in web.checks] == [
        ("tcp", None, "GET"),
        ("http", "/health", "HEAD"),
    ]
    assert (broker.protocol, broker.ports, broker.checks, broker.place.line) == ("tcp", (4222, 4223, 4224), (), 21)


def test_a_check_of_services_beside_an_http_service_is_on_no_port(fly: Fly) -> None:
    app = fly(f'{HTTP}[[services.http_checks]]\npath = "/health"\n')

    assert [each.kind for each in app.served] == ["http_service"]
    assert not app.served[0].checks
    assert [(each.path, each.place.key, each.place.line) for each in app.loose_checks] == [
        ("/health", "services.http_checks", 4)
    ]


def test_a_check_at_the_top_belongs_to_the_port_that_it_asks(fly: Fly) -> None:
    app = fly(
        f"""{HTTP}
[checks.default]
type = "http"
path = "/health"
[checks.named]
port = 8000
[checks.elsewhere]
port = 9100
type = "tcp"
"""
    )

    assert [(each.kind, each.port, each.place.key) for each in app.served[0].checks] == [
        ("http", 8000, "checks.default"),
        ("tcp", 8000, "checks.named"),
    ]
    assert [each.place.key for each in app.loose_checks] == ["checks.elsewhere"]


def test_a_check_of_an_app_without_ports_is_on_no_port(fly: Fly) -> None:
    app = fly('app = "a"\n[checks.alive]\ntype = "script"\nport = 4222\n')

    assert app.served == ()
    assert [each.kind for each in app.loose_checks] == ["command"]


def test_udp_is_udp(fly: Fly) -> None:
    app = fly('app = "a"\n[[services]]\nprotocol = "udp"\ninternal_port = 53\n[[services.ports]]\nport = 53\n')

    assert (app.served[0].protocol, app.served[0].ports) == ("udp", (53,))
