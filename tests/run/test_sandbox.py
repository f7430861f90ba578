"""The sandbox from a run's side: attached to by other processes, silent about secrets, bound to an environment."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.platform import DISABLED
from pytest_gaia.errors import ConfigError, SandboxError
from pytest_gaia.run.sandbox import Sandbox, Stack, bind
from pytest_gaia.secrets.masks import Secret
from tests.projects import gaia_environment, gaia_platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK = Stack(
    "main",
    MappingProxyType({name: f"http://127.0.0.1:{port}" for port, name in enumerate(gaia_platform().http, 7000)}),
    MappingProxyType(
        {
            "nats": "nats://cell0:hidden@127.0.0.1:7100",
            "postgres": "postgresql://gaia:hidden@127.0.0.1:7200/gaia_main",
        }
    ),
    "hidden",
    "hidden",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Give a sandbox that runs."""
    with Sandbox.start(gaia_platform()) as sandbox:
        yield sandbox


def test_starting_does_not_wait() -> None:
    sandbox = Sandbox.start(gaia_platform())
    try:
        with pytest.raises(SandboxError, match=r"call ready\(\) first"):
            sandbox.stack("main")
    finally:
        sandbox.stop()


def test_starting_loads_no_server_and_no_client_library() -> None:
    program = (
        "import sys; from pytest_gaia.run.sandbox import Sandbox; from tests.projects import gaia_platform\n"
        "sandbox = Sandbox.start(gaia_platform()); sandbox.ready(); sandbox.stack('main')\n"
        "sandbox.stop()\n"
        "print(sorted({'asyncio', 'asyncpg', 'nats', 'uvicorn', 'httpx', 'ssl', 'ctypes'} & set(sys.modules)))"
    )
    answer = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


def test_another_process_attaches_to_it(sandbox: Sandbox) -> None:
    attached = Sandbox.attach(sandbox.directory)
    attached.ready()

    assert attached.stack("gw7") == sandbox.stack("gw7")
    attached.stop()
    assert sandbox.directory.exists()


def test_attaching_to_what_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="ended before the sandbox was ready"):
        Sandbox.attach(tmp_path).ready()


def test_many_threads_can_ask_at_once(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(lambda _: sandbox.stack("threads"), range(16)))
        different = list(pool.map(lambda number: sandbox.stack(f"thread{number}"), range(8)))

    assert len({stack.dsn for stack in same}) == 1
    assert len({stack.dsn for stack in different}) == 8


def test_it_survives_the_end_of_the_thread_that_started_it() -> None:
    started: list[Sandbox] = []
    thread = threading.Thread(target=lambda: started.append(Sandbox.start(gaia_platform())))
    thread.start()
    thread.join()
    (sandbox,) = started
    try:
        sandbox.ready()
        sandbox.stack("gw0")
    finally:
        sandbox.stop()


def test_a_service_that_is_unknown_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean asset"):
        Sandbox.start(gaia_platform(), without=["asets"])


def test_the_start_is_measured(sandbox: Sandbox) -> None:
    stages = ["launched", "postgres", "libraries", "platform", "ready"]

    assert list(sandbox.timings) == stages
    assert 0 < sandbox.timings["launched"] <= sandbox.timings["ready"] < 30


def test_nothing_secret_is_shown(sandbox: Sandbox) -> None:
    stack = sandbox.stack("main")
    environment = bind(gaia_environment("sandbox", sandbox=True), stack)

    shown = f"{stack!r} {stack} {sandbox!r} {environment!r}"

    for secret in (stack.api_key, stack.jwt_secret, stack.dsn, stack.dsn.split(":")[2].split("@")[0]):
        assert secret not in shown


def test_an_environment_gets_the_cells_addresses_and_credentials() -> None:
    everything = gaia_platform().names
    bound = bind(gaia_environment("sandbox", services=everything, sandbox=True, writes=True), STACK)

    assert bound.urls == STACK.urls
    assert bound.url_of("nats") == STACK.nats
    assert bound.connections["postgres"] == Secret(STACK.dsn)
    assert (bound.api_key, bound.jwt_secret) == (Secret("hidden"), Secret("hidden"))
    assert bound.sources["urls.chat"] == bound.sources["urls.nats"] == bound.sources["secrets.api_key"] == "sandbox"
    assert bound.sandbox
    assert not bound.simulated
    assert bound.writes


def test_a_simulation_keeps_the_topology_of_its_environment() -> None:
    staging = gaia_environment(
        "staging",
        services=("gateway", "postgres"),
        urls={"gateway": "https://gaia-gateway-staging.fly.dev"},
        nats=DISABLED,
        hosts=("gaia-gateway-staging.fly.dev",),
        token=Secret("a real one"),
        simulated=True,
        sandbox=True,
    )

    bound = bind(staging, STACK)

    assert bound.urls == {"gateway": STACK.urls["gateway"]}
    assert "nats" in bound.disabled
    assert bound.token is None
    assert bound.hosts == ()
    assert bound.simulated
    assert bound.services == ("gateway", "postgres")
    assert "SIMULATED" in bound.label
