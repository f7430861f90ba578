"""A project with its own services: their fixtures, readiness, requirements and write guard, and nothing of another platform."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.evident import give_evidence
from tests.observation.test_server_probes import running, wait_for
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

from tests.plugin.conftest import ScriptedServer

SHOP = """\
[services.orders]
health = "/ready"
safe = ["POST /quotes"]
unsafe = ["GET /orders/{id}/confirm"]

[services.pay-api]
external = true

[services.store]
kind = "redis"

[services.queue]
kind = "amqp"

[env.shop]
services = ["orders"]
"""


@pytest.fixture
def shop(project: pytest.Pytester, server: ScriptedServer) -> pytest.Pytester:
    """A project that declares its own services; ``server`` is the only one that runs."""
    project.makefile(".toml", gaia=f'{SHOP}[env.shop.urls]\norders = "{server.url}"\n')
    give_evidence(project.path)
    server.answers["/ready"] = [(200, {"status": "ok"})]
    for path in ("/orders/7", "/orders/7/confirm", "/quotes"):
        server.answers[path] = [(200, {"path": path})]
    return project


def test_a_file_with_one_service_and_one_test_are_enough(pytester: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers["/ready"] = [(200, {"status": "ok"})]
    server.answers["/orders/7"] = [(200, {})]
    pytester.makefile(
        ".toml", gaia=f'[services.orders]\nhealth = "/ready"\n[env.shop]\nurls = {{ orders = "{server.url}" }}\n'
    )
    pytester.makeini("[pytest]\naddopts = -p no:anyio\nasyncio_mode = auto")
    pytester.makepyfile("async def test_reads(orders): (await orders.get('/orders/7')).expect(200)")

    result = pytester.runpytest_subprocess("--gaia-env=shop")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia verdict: PROMOTE on shop: 1 passed"])
    assert server.seen[:3] == ["GET /ready", "GET /openapi.json", "GET /orders/7"]


def test_a_service_that_is_down_ends_the_run_with_the_request(shop: pytest.Pytester) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        shop.makepyfile("def test_one(orders): pass")

        result = shop.runpytest_subprocess("--gaia-env=shop", f"--gaia-url=orders={url}")

    assert result.ret == 12
    result.stdout.fnmatch_lines(["*tried: GET /ready*", "*gaia verdict: INFRA*"])


GUARDED = """
import pytest
from pytest_gaia.errors import WriteRefused

@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/orders"), ("DELETE", "/orders/7"), ("NEWER", "/orders"), ("GET", "/orders/7/confirm"),
    # Safe for services of another platform.
    ("POST", "/auth/validate"), ("POST", "/calculator/add"), ("POST", "/api/v0.2/chat"),
])
@pytest.mark.gaia(writes=MARKED)
async def test_refused(orders, method, path):
    with pytest.raises(WriteRefused, match=f"{method} {path} to orders") as caught:
        await orders.request(method, path)
    assert "Safe requests to orders: POST /quotes." in str(caught.value)

async def test_safe(orders):
    (await orders.post("/quotes", json={})).expect(200)
    (await orders.get("/orders/7")).expect(200)
"""


def test_a_write_is_refused_where_the_environment_forbids_it(shop: pytest.Pytester, server: ScriptedServer) -> None:
    shop.makepyfile(GUARDED.replace("MARKED", "False"))

    result = shop.runpytest_subprocess("--gaia-env=shop", "test_a_write_is_refused_where_the_environment_forbids_it.py")

    result.assert_outcomes(passed=8)
    ours = ("GET /ready", "GET /openapi.json")
    assert [each for each in server.seen if each not in ours] == ["POST /quotes", "GET /orders/7"]


FIXTURES = """
import pytest
from pytest_gaia import HttpClient, Services

async def test_by_name(orders: HttpClient, services: Services):
    assert services["orders"] is orders
    assert list(services) == ["orders", "pay-api", "store"]
    assert "gateway" not in services

@pytest.mark.parametrize("name", ["orders"])
async def test_found_at_run_time(services, name):
    (await services[name].get("/orders/7")).expect(200)

def test_unknown(services):
    with pytest.raises(KeyError, match="unknown service 'order'; did you mean orders"):
        services["order"]
    with pytest.raises(Exception, match="queue is of kind amqp, which has no client"):
        services["queue"]

def test_external(pay_api): raise AssertionError("the environment does not have it")
"""


@pytest.mark.parametrize("arguments", [(), with_workers("-n", "2")], ids=" ".join)
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_each_service_has_a_fixture(shop: pytest.Pytester, mode: str, arguments: tuple[str, ...]) -> None:
    source = FIXTURES if mode == "auto" else FIXTURES.replace("async def", "@pytest.mark.asyncio\nasync def")
    shop.makepyfile(test_fixtures=source)

    result = shop.runpytest_subprocess(
        "--gaia-env=shop", "-o", f"asyncio_mode={mode}", "-rs", *arguments, "test_fixtures.py"
    )

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 × shop has no pay-api service", "gaia verdict: * 3 passed, 1 not applicable"])


def test_the_list_of_fixtures_names_the_declaration(shop: pytest.Pytester) -> None:
    result = shop.runpytest_subprocess("--gaia-env=shop", "--fixtures")

    result.stdout.fnmatch_lines(
        [
            "orders [[]session scope[]] *",
            "    The service orders (declared at gaia.toml:1), as an HTTP client.",
        ]
    )
    assert "gateway" not in result.stdout.str()


def test_a_fixture_of_the_project_takes_precedence(shop: pytest.Pytester) -> None:
    give_evidence(
        shop.path, "import pytest\n@pytest.fixture(scope='session')\ndef orders(orders): return ('root', orders)"
    )
    nested = shop.mkpydir("nested")
    (nested / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\nasync def orders(orders): yield ('nested', *orders)"
    )
    (nested / "test_nested.py").write_text("async def test_one(orders): assert orders[:2] == ('nested', 'root')")
    shop.makepyfile("async def test_one(orders, services): assert orders[0] == 'root' and services['orders'] is orders")

    result = shop.runpytest_subprocess("--gaia-env=shop", "nested", "test_a_fixture_of_the_project_takes_precedence.py")

    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*the fixture orders*")


def test_a_fixture_of_another_plugin_is_replaced_and_named(shop: pytest.Pytester) -> None:
    shop.makepyfile(other="import pytest\n@pytest.fixture\ndef orders(): return 'other'")
    shop.makepyfile("def test_one(orders): assert orders != 'other'")

    result = shop.runpytest_subprocess(
        "--gaia-env=shop", "-p", "other", "test_a_fixture_of_another_plugin_is_replaced_and_named.py"
    )

    assert result.ret == 0
    assert result.stdout.str().count("gaia: the fixture orders is the one of the service, not that of other;") == 1


REQUIRED = """
import pytest

@pytest.mark.gaia(requires=["orders", "orders:direct"])
def test_there(orders): pass

@pytest.mark.gaia(requires=["store"])
def test_not_there(): raise AssertionError
"""


def test_requirements_are_services_of_the_project(shop: pytest.Pytester) -> None:
    shop.makepyfile(test_required=REQUIRED)
    result = shop.runpytest_subprocess("--gaia-env=shop", "-rs", "test_required.py")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 × shop has no store service", "gaia verdict: * 1 passed, 1 not applicable"])

    for wrong, message in (
        ("order", "unknown service 'order'; did you mean orders"),
        ("store:direct", "store:direct: store is of kind redis; only an HTTP service can be required at its own URL."),
        ("chat", "unknown service 'chat'*For the services of the Gaia Platform, add platform = \"gaia\""),
    ):
        shop.makepyfile(test_required=REQUIRED.replace('"store"', f'"{wrong}"'))
        result = shop.runpytest_subprocess("--gaia-env=shop", "test_required.py")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*test_required.py::test_not_there: @pytest.mark.gaia(requires=*): {message}*"])


def test_the_marker_is_described_with_the_services(shop: pytest.Pytester) -> None:
    result = shop.runpytest_subprocess("--gaia-env=shop", "--markers")

    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.gaia(*requires: any of orders, pay-api, store, queue, orders:direct, pay-api:direct, api_key, jwt;*"
        ]
    )


@pytest.mark.parametrize(("variable", "uses"), [("GAIA_GATEWAY_URL", False), ("GAIA_ENV", True)])
def test_a_variable_of_another_project_does_not_make_a_run_use_gaia(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str, uses: bool
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    pytester.makeini("[pytest]\naddopts = -p no:anyio")
    pytester.makepyfile("def test_one(): pass")

    result = pytester.runpytest_subprocess()

    assert (result.ret != 0) is uses


CACHED = """
import pytest
from pytest_gaia.errors import WriteRefused

async def test_reads(store, services):
    assert await services["store"].command("GET", "nothing") is None
    with pytest.raises(WriteRefused):
        await store.command("SET", "key", "value")

@pytest.mark.gaia(writes=True, requires=["store"])
async def test_writes(store):
    await store.command("SET", "the-secret-key", "the-secret-value")
    raise AssertionError("so that the record is shown")
"""


def test_redis_is_read_and_written_as_the_test_says(
    shop: pytest.Pytester, server: ScriptedServer, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    described = SHOP.replace('services = ["orders"]', 'services = ["orders", "store"]\nwrites = true')
    urls = f'[env.shop.urls]\norders = "{server.url}"\nstore = "redis://127.0.0.1:{port}"\n'
    shop.makefile(".toml", gaia=described + urls)
    shop.makepyfile(test_cached=CACHED)
    with running(tmp_path, "redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"):
        wait_for(port)
        result = shop.runpytest_subprocess("--gaia-env=shop", "test_cached.py")

    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "Redis store: SET (2 arguments)" in text
    assert "the-secret-key" not in text.partition("exchanges of the test")[2]
