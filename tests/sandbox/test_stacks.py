"""The services of a stack: each can be stopped separately, and faults affect only their stack."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from pytest_gaia.errors import ConfigError
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox import directories
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.run.sandbox import Stack

REFERENCES = directories.REFERENCES["current"]


@pytest.fixture
def faulty(sandbox: Sandbox) -> Iterator[Stack]:
    """A stack whose faults are removed after the test."""
    stack = sandbox.stack("faulty")
    yield stack
    sandbox.heal("faulty")


def get(url: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of a response."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def refuses(url: str) -> bool:
    """Whether connections to a URL are refused."""
    parts = urlsplit(url)
    assert parts.port is not None
    with socket.socket() as connection:
        return connection.connect_ex((parts.hostname, parts.port)) != 0


def test_every_service_of_every_stack_has_a_port_of_its_own(sandbox: Sandbox, stack: Stack) -> None:
    other = sandbox.stack("ports")
    urls = [*stack.urls.values(), *other.urls.values()]

    assert len(set(urls)) == 2 * len(REFERENCES)
    assert [get(f"{url}/health") for url in urls] == [200] * len(urls)


def test_the_same_name_is_the_same_stack(sandbox: Sandbox) -> None:
    assert sandbox.stack("same") == sandbox.stack("same")


@pytest.mark.parametrize("service", REFERENCES)
def test_a_service_can_be_stopped_and_started_by_itself(sandbox: Sandbox, faulty: Stack, service: str) -> None:
    others = [name for name in REFERENCES if name != service]

    sandbox.fault("faulty", service, "stop")

    assert refuses(faulty.urls[service])
    assert [get(f"{faulty.urls[name]}/health") for name in others] == [200, 200, 200]
    sandbox.heal("faulty")
    assert get(f"{faulty.urls[service]}/health") == 200


def test_restarted_services_forget_rate_limits_and_faults(sandbox: Sandbox, faulty: Stack) -> None:
    sandbox.fault("faulty", "gateway", "status", route="/health", status=418)
    statuses = [get(f"{faulty.urls['gateway']}/") for _ in range(61)]
    assert (statuses[0], statuses[-1]) == (200, 429)

    sandbox.restart("faulty")

    assert get(f"{faulty.urls['gateway']}/") == 200
    assert get(f"{faulty.urls['gateway']}/health") == 200


def test_stopping_a_service_breaks_its_open_connections(sandbox: Sandbox, faulty: Stack) -> None:
    parts = urlsplit(faulty.urls["asset"])
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=5)
    connection.request("GET", "/health")
    assert connection.getresponse().read()

    sandbox.fault("faulty", "asset", "stop")

    assert connection.sock.recv(1) == b""
    connection.close()


def test_a_request_that_is_cancelled_is_no_error_in_the_log(sandbox: Sandbox, faulty: Stack) -> None:
    sandbox.fault("faulty", "auth", "hang")
    parts = urlsplit(faulty.urls["auth"])
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: auth\r\n\r\n")
        # The response to another request: by then the first one hangs.
        assert get(f"{faulty.urls['gateway']}/health") == 200

        sandbox.fault("faulty", "auth", "stop")

        assert connection.recv(1) == b""
    assert "Traceback" not in (sandbox.directory / "supervisor.log").read_text()


def test_a_stopped_service_is_a_503_through_the_gateway(sandbox: Sandbox, faulty: Stack) -> None:
    url, key = f"{faulty.urls['gateway']}/api/v0.2/personas/current", {"X-API-Key": faulty.api_key}
    assert get(url, key) == 200

    sandbox.fault("faulty", "chat", "stop")

    assert get(url, key) == 503


def test_a_fault_is_of_one_stack_only(sandbox: Sandbox, faulty: Stack, stack: Stack) -> None:
    sandbox.fault("faulty", "gateway", "status", status=418)

    assert get(f"{faulty.urls['gateway']}/health") == 418
    assert get(f"{stack.urls['gateway']}/health") == 200


def test_a_reset_is_a_reset(sandbox: Sandbox, faulty: Stack) -> None:
    sandbox.fault("faulty", "gateway", "reset")

    with pytest.raises(ConnectionResetError):
        get(f"{faulty.urls['gateway']}/health")


def test_responses_have_a_date_and_a_server(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.urls['auth']}/health", timeout=5) as response:
        assert response.headers["date"].endswith(" GMT")
        assert response.headers["server"] == "uvicorn"


@pytest.mark.parametrize("service", ["gatway", "nats"])
def test_only_services_can_be_given_a_fault(sandbox: Sandbox, faulty: Stack, service: str) -> None:
    for kind in ("stop", "slow"):
        with pytest.raises(ConfigError, match=r"Known: asset, auth, chat, gateway\."):
            sandbox.fault(faulty.name, service, kind)


def test_usage_errors_name_the_nearest_right_word(sandbox: Sandbox, faulty: Stack) -> None:
    with pytest.raises(ConfigError, match="did you mean slow"):
        sandbox.fault(faulty.name, "chat", "slwo")
    with pytest.raises(ConfigError, match="did you mean faulty"):
        sandbox.fault("fault", "chat", "slow")
    with pytest.raises(ConfigError, match="did you mean postgres"):
        sandbox.stop_service("postgress")


@pytest.mark.parametrize("name", ["", "a b", 'x"; DROP', "ä", "x" * 41])
def test_a_stacks_name_is_plain(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(ConfigError):
        sandbox.stack(name)


def test_the_control_interface_wants_the_runs_token(sandbox: Sandbox) -> None:
    details = json.loads((sandbox.directory / "stack.json").read_text())
    url = f"http://127.0.0.1:{details['control']}/state"

    assert get(url) == 401
    assert get(url, {"Authorization": "Bearer wrong"}) == 401
    assert get(url, {"Authorization": f"Bearer {details['token']}"}) == 200


def test_what_holds_secrets_is_readable_by_this_user_only(sandbox: Sandbox) -> None:
    public = [path for path in sandbox.directory.iterdir() if path.stat().st_mode & 0o077 and not path.is_dir()]

    assert public == []


@pytest.fixture(scope="module")
def partial() -> Iterator[Sandbox]:
    """A sandbox without some services."""
    with Sandbox.start(gaia_platform(), without=("asset", "postgres", "nats")) as sandbox:
        yield sandbox


def test_what_is_left_out_refuses_connections_in_every_stack(partial: Sandbox) -> None:
    for stack in (partial.stack("main"), partial.stack("gw0")):
        assert [name for name, url in stack.urls.items() if refuses(url)] == ["asset"]
        assert refuses(stack.nats)
        assert refuses(stack.dsn)


def test_what_is_left_out_can_be_started_later(partial: Sandbox) -> None:
    partial.start_service("nats")
    partial.start_service("postgres")

    for stack in (partial.stack("main"), partial.stack("gw0")):
        assert not refuses(stack.nats)
        assert get(f"{stack.urls['gateway']}/api/v0.2/personas/current", {"X-API-Key": stack.api_key}) == 200


def test_gateway_only_has_a_gateway_and_a_disabled_broker() -> None:
    sandbox = Sandbox.start(gaia_platform(), services=("gateway", "postgres"))
    try:
        sandbox.ready()
        stack = sandbox.stack("main")

        assert [name for name, url in stack.urls.items() if not refuses(url)] == ["gateway"]
        assert stack.nats == "disabled"
    finally:
        sandbox.stop()
