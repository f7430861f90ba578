"""``gaia status`` with fakes of fly and docker, real HTTP servers, and a sandbox."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.rollout.journal import Entry, Journal
from tests.cli.conftest import GAIA, Outcome
from tests.cli.runs.test_sandbox import processes_of
from tests.observation.scripted import Says, ScriptedService, healthy, listener, says, scripted_services
from tests.plugin.conftest import ScriptedServer
from tests.projects import ON_GAIA
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

BACKENDS = ("gateway", "auth", "chat")
OLD, NEW = f"sha256:{'0' * 63}1", f"sha256:{'0' * 63}2"
COMPOSE = """\
services:
  gateway:
    image: gaia/gateway:1
    ports: ["8666:8000"]
    healthcheck: {test: ["CMD", "true"]}
  auth-service:
    image: gaia/auth:1
    healthcheck: {test: ["CMD", "true"]}
"""


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedService]]:
    with scripted_services() as start:
        yield start


@pytest.fixture
def deployed(project: Path, fake_tools: FakeTools, serve: Callable[..., ScriptedService]) -> FakeTools:
    """Staging and production on Fly, healthy, with the same images."""
    url = serve(healthy()).url
    text = "".join(
        f'[env.{name}]\nfrom = "fly"\n[env.{name}.urls]\nnats = "disabled"\n'
        + "".join(f'{service} = "{url}"\n' for service in BACKENDS)
        for name in ("staging", "production")
    )
    (project / "gaia.toml").write_text(f'[gaia]\nplatform = "gaia"\ndeploy_files = "deploy"\n{text}')
    for name in ("staging", "production"):
        write_fly_files(project / "deploy", name, *BACKENDS)
        for service in BACKENDS:
            put(fake_tools, service, name, OLD, machines=2 if name == "production" else 1)
    return fake_tools


def put(cloud: FakeTools, service: str, environment: str, digest: str, **how: Any) -> None:
    cloud.app(f"gaia-{service}-{environment}", reference=f"registry.fly.io/gaia-{service}@{digest}", **how)


def rows(out: str) -> dict[str, list[str]]:
    """Return the first table: environment → its other columns."""
    head, _, _ = out.partition("\n\n")
    return {line.split()[0]: line.split()[1:] for line in head.splitlines()[1:]}


def test_two_healthy_environments_with_the_same_versions(gaia: Gaia, deployed: FakeTools) -> None:
    code, out, err = gaia("status", "staging", "production")

    assert (code, err) == (0, "")
    assert rows(out) == {"staging": ["healthy", "fly"], "production": ["healthy", "fly"]}
    assert "pipeline: staging and production run the same versions" in out
    (line,) = (line for line in out.splitlines() if line.split()[:2] == ["production", "auth"])
    assert line.split()[2:] == ["healthy", "v1", OLD[:19], "2", "started"]


def test_which_environment_is_newer(gaia: Gaia, deployed: FakeTools, project: Path) -> None:
    for service in ("auth", "chat"):
        put(deployed, service, "staging", NEW, release=2)

    assert "pipeline: staging is newer than production: auth, chat\n" in gaia("status", "staging", "production").out

    for digest in (NEW, OLD):
        Journal(project, "staging").add(
            Entry(event="end", run="r", when="", service="chat", well=True, digests=(digest,))
        )
        Journal(project, "production").add(
            Entry(event="end", run="r", when="", service="auth", well=True, digests=(NEW if digest == OLD else OLD,))
        )
    put(deployed, "auth", "production", NEW)
    put(deployed, "auth", "staging", OLD)
    out = gaia("status", "staging", "production").out
    assert "pipeline: production is newer than staging: auth\n" in out
    assert "pipeline: staging is newer than production: chat\n" in out


def test_the_states_of_apps(gaia: Gaia, deployed: FakeTools) -> None:
    put(deployed, "auth", "staging", OLD, state="suspended")
    with deployed.state() as cloud:
        del cloud["apps"]["gaia-chat-staging"]
        cloud["apps"]["gaia-auth-production"]["machines"][0]["checks"][0]["status"] = "critical"
        cloud["apps"]["gaia-chat-production"]["machines"][1]["state"] = "suspended"
        for machine in cloud["apps"]["gaia-gateway-production"]["machines"]:
            machine["state"] = "suspended"

    code, out, _ = gaia("status", "staging", "production", "--json")

    assert code == 1
    found = {each["name"]: each for each in json.loads(out)["environments"]}
    apps = {
        (name, app["service"]): (app["state"], app["reason"]) for name, each in found.items() for app in each["apps"]
    }
    assert apps["staging", "gateway"] == ("healthy", "")
    # Its deploy file keeps one machine running.
    assert apps["staging", "auth"] == (
        "degraded",
        "all machines are suspended, but deploy/fly.auth.staging.toml keeps 1 running",
    )
    assert apps["staging", "chat"] == ("not deployed", "")
    assert apps["production", "auth"][0] == "degraded"
    assert "passes 0 of 1 health checks" in apps["production", "auth"][1]
    assert apps["production", "chat"] == ("healthy", "")
    assert apps["production", "gateway"][0] == "degraded"
    assert (found["staging"]["state"], found["staging"]["as_expected"]) == ("degraded", False)


def test_a_sleeping_app_is_suspended_and_is_not_started(
    gaia: Gaia, deployed: FakeTools, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    for service in BACKENDS:
        file = project / "deploy" / f"fly.{service}.staging.toml"
        file.write_text(file.read_text().replace("min_machines_running = 1", "min_machines_running = 0"))
        put(deployed, service, "staging", OLD, state="suspended")
    server = serve(healthy())
    text = (project / "gaia.toml").read_text()
    (project / "gaia.toml").write_text(text.replace('gateway = "http', f'gateway = "{server.url}" # "http'))

    code, out, _ = gaia("status", "staging")

    assert (code, rows(out)) == (0, {"staging": ["suspended", "fly"]})
    assert server.asked == 0
    assert not deployed.calls("fly", "machine", "start")


def test_the_health_response_of_an_awake_app_counts(
    gaia: Gaia, deployed: FakeTools, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    text = (project / "gaia.toml").read_text()
    (project / "gaia.toml").write_text(text.replace('auth = "http', f'auth = "{serve(says("unhealthy")).url}" # "http'))

    code, out, _ = gaia("status", "staging")

    assert code == 1
    assert "auth: reports 'unhealthy'" in out


def test_a_database_without_an_app_is_queried(gaia: Gaia, deployed: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_STAGING_DATABASE_URL", "postgresql://gaia:hidden@127.0.0.1:1/gaia")

    code, out, _ = gaia("status", "staging")

    assert code == 1
    assert "postgres: connection refused" in out
    assert "hidden" not in out


def test_each_reason_is_printed_once(gaia: Gaia, deployed: FakeTools, project: Path) -> None:
    deployed.fault("*", "not-logged-in")

    out = gaia("status", "staging").out

    assert out.count("fly auth login") == 1
    assert [line.split() for line in out.splitlines() if line.split()[1:2] == ["gateway"]] == [
        ["staging", "gateway", "unknown"]
    ]


def test_watching_several_environments_repeats_the_overview(gaia: Gaia, deployed: FakeTools) -> None:
    code, out, err = gaia("status", "staging", "production", "--watch", "0.1", "--for", "0.3")
    last = gaia("status", "staging", "production", "--watch=0.1", "--for=0.1", "--json").out.splitlines()

    assert (code, err) == (0, "")
    assert out.count("staging and production run the same versions") >= 1
    assert [each["name"] for each in json.loads(last[-1])["environments"]] == ["staging", "production"]


def test_not_deployed_is_acceptable(gaia: Gaia, deployed: FakeTools) -> None:
    with deployed.state() as cloud:
        cloud["apps"].clear()

    code, out, _ = gaia("status", "staging")

    assert code == 0
    assert "staging      not deployed  fly" in out


def test_a_gateway_only_environment(
    gaia: Gaia, project: Path, fake_tools: FakeTools, serve: Callable[..., ScriptedService]
) -> None:
    url = serve(says("degraded")).url
    (project / "gaia.toml").write_text(
        f'[gaia]\nplatform = "gaia"\ndeploy_files = "deploy"\n[env.staging]\nfrom = "fly"\n[env.staging.urls]\ngateway = "{url}"\n'
    )
    write_fly_files(project / "deploy", "staging", "gateway")
    (project / "deploy" / "fly.gateway.staging.toml").rename(project / "deploy" / "fly.staging.toml")
    put(fake_tools, "gateway", "staging", OLD)

    code, out, _ = gaia("status", "staging")

    assert (code, rows(out)) == (0, {"staging": ["healthy", "fly"]})
    # A table of services has no row for those that are not meant to be there.
    assert [line.split()[:3] for line in out.splitlines()[3:]] == [
        ["environment", "service", "state"],
        ["staging", "gateway", "healthy"],
    ]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("not-logged-in", "fly auth login"), ("unauthorised", "has no permission"), (None, "fly is not installed")],
)
def test_a_failed_tool_makes_its_environment_unknown(
    gaia: Gaia,
    deployed: FakeTools,
    project: Path,
    serve: Callable[..., ScriptedService],
    fault: str | None,
    reason: str,
) -> None:
    with (project / "gaia.toml").open("a") as file:
        file.write(f'[env.preview]\nurl = "{serve(healthy()).url}"\nservices = ["gateway"]\n')
    if fault:
        deployed.fault("*", fault)
    else:
        deployed.without("fly", "flyctl")

    code, out, _ = gaia("status", "staging", "preview")

    assert code == 1
    assert rows(out)["staging"][:2] == ["unknown", "fly"]
    assert reason in out
    assert rows(out)["preview"] == ["running", "health"]
    assert gaia("status", "staging").code == 12


def test_a_malformed_deploy_file_makes_its_environment_unknown(gaia: Gaia, deployed: FakeTools, project: Path) -> None:
    (project / "deploy" / "fly.auth.staging.toml").write_text("app = \n")

    code, out, err = gaia("status", "staging", "production")

    assert (code, err) == (1, "")
    assert "deploy/fly.auth.staging.toml:1" in out
    assert rows(out)["production"] == ["healthy", "fly"]


def test_an_executable_of_the_project_reports_what_runs(
    gaia: Gaia, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    machine = {"id": "m1", "state": "started", "digest": OLD}
    reply = json.dumps({"status": "done", "observation": {"machines": [machine], "release": 4}})
    (project / "observe").write_text(f"#!/bin/sh\ncat > /dev/null\necho '{reply}'\n")
    (project / "observe").chmod(0o755)
    deploy = 'hook = "command"\ncommand = ["./observe"]\n'
    (project / "gaia.toml").write_text(
        f'[env.staging]\nservices = ["gateway"]\n[env.staging.urls]\ngateway = "{serve(healthy()).url}"\n'
        f"[env.staging.deploy]\n{deploy}{ON_GAIA}"
    )

    code, out, _ = gaia("status", "staging")

    assert (code, rows(out)) == (0, {"staging": ["healthy", "command"]})
    (line,) = (line for line in out.splitlines() if line.split()[1:2] == ["gateway"])
    assert line.split()[2:] == ["healthy", "v4", OLD[:19], "1", "started"]


def test_a_hook_in_a_conftest_is_replaced_by_health_queries(
    gaia: Gaia, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    (project / "gaia.toml").write_text(
        f'[services.web]\n[env.preview]\nurl = "{serve(healthy()).url}"\n[env.preview.deploy]\nhook = "plugin"\n'
    )

    assert rows(gaia("status", "preview").out) == {"preview": ["running", "health"]}


def test_the_time_limit_ends_a_failing_tool(project: Path, deployed: FakeTools, gaia_process: Gaia) -> None:
    deployed.fault("*", "rate-limited")

    code, out, _ = gaia_process("status", "staging", "--timeout", "1")

    assert code == 12
    # The tool's own last word, or that there was none in time.
    assert re.match(r"unknown .*(429|rate|no response within 1 s)", " ".join(rows(out)["staging"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_command_and_its_tools(project: Path, deployed: FakeTools, number: signal.Signals) -> None:
    deployed.fault("*", "slow:60")
    with subprocess.Popen([GAIA, "status", "staging"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while len(processes_of(str(deployed.folder))) < len(BACKENDS):
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, b"", b"")
    assert processes_of(str(deployed.folder)) == {}


def test_a_tool_with_extra_output_is_understood(gaia: Gaia, deployed: FakeTools) -> None:
    deployed.fault("*", "chatter")

    assert gaia("status", "staging").code == 0


@pytest.fixture
def compose(project: Path, fake_tools: FakeTools) -> FakeTools:
    (project / "gaia.toml").write_text(
        '[gaia]\nplatform = "gaia"\ndeploy_files = "deploy"\n[env.local]\nfrom = "compose"\n'
    )
    (project / "deploy").mkdir()
    (project / "deploy" / "docker-compose.yml").write_text(COMPOSE)
    return fake_tools


def test_the_states_of_local(
    gaia: Gaia,
    project: Path,
    compose: FakeTools,
    serve: Callable[..., ScriptedService],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GAIA_LOCAL_GATEWAY_URL", serve(healthy()).url)
    assert rows(gaia("status", "local").out) == {"local": ["stopped", "compose"]}

    file = str(project / "deploy" / "docker-compose.yml")
    assert compose.run("docker", "compose", "-f", file, "up", "-d", "--wait", "gateway").returncode == 0
    code, out, _ = gaia("status", "local")
    assert (code, rows(out)["local"][:2]) == (1, ["degraded", "compose"])
    assert "auth: stopped" in out

    assert compose.run("docker", "compose", "-f", file, "up", "-d", "--wait").returncode == 0
    code, out, _ = gaia("status", "local")
    assert (code, rows(out)) == (0, {"local": ["running", "compose"]})


def test_an_exported_sandbox_is_local_only(project: Path) -> None:
    with subprocess.Popen([GAIA, "sandbox", "up", "--json"], stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        variables = json.loads(sandbox.stdout.readline())["variables"]
        done = subprocess.run(
            [GAIA, "status", "--json"], env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
        sandbox.terminate()

    found = {each["name"]: each for each in json.loads(done.stdout)["environments"]}
    assert found["local"]["state"] == "running"
    assert {app["service"] for app in found["local"]["apps"]} == {
        "gateway",
        "auth",
        "asset",
        "chat",
        "nats",
        "postgres",
    }
    assert {app["version"] for app in found["local"]["apps"] if app["service"] == "gateway"} == {"0.2"}
    # Nothing of it is taken for staging, which cannot be reached from a test.
    assert found["staging"]["state"] == "unknown"
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["stagign", "sandbox"])
def test_an_environment_that_cannot_be_observed_is_a_usage_error(gaia: Gaia, name: str) -> None:
    code, out, err = gaia("status", name)

    assert (code, out) == (4, "")
    assert f"cannot observe the environment {name!r}" in err


def test_environments_are_queried_at_the_same_time(
    gaia: Gaia, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    both_are_asked = threading.Barrier(2, timeout=20)
    answer = Says(body={"status": "healthy"}, first=both_are_asked.wait)
    with (project / "gaia.toml").open("a") as file:
        for name in ("one", "two"):
            file.write(f'[env.{name}]\nurl = "{serve(answer).url}"\nservices = ["gateway"]\n')

    assert gaia("status", "one", "two").code == 0


def test_only_configured_environments_are_observed(
    gaia: Gaia, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    (project / "gaia.toml").write_text("", encoding="utf-8")

    code, out, err = gaia("status")

    assert (code, out) == (4, "")
    assert err.startswith("gaia: the environments local, dev, staging and production are not configured. In gaia.toml")

    (project / "gaia.toml").write_text(
        f'[services.web]\n[env.staging]\nurl = "{serve(healthy()).url}"\n', encoding="utf-8"
    )

    assert rows(gaia("status").out) == {"staging": ["running", "health"]}


def test_any_platform_is_shown_in_its_own_order_with_its_own_health_checks(
    gaia: Gaia, project: Path, serve: Callable[..., ScriptedService]
) -> None:
    with listener(lambda peer: None) as queue:
        (project / "gaia.toml").write_text(
            "[services.web]\nhealthy = {}\ndepends_on = ['orders']\n"
            "[services.orders]\nhealth = '/ready'\nhealthy = { field = 'state', values = ['up'], partial = ['limping'] }\n"
            "depends_on = ['stock']\n[services.stock]\n[services.queue]\nkind = 'tcp'\n"
            f"[env.qa]\nwithout = ['stock']\n[env.qa.urls]\nqueue = 'tcp://127.0.0.1:{queue}'\n"
            f"web = '{serve(Says(body='a page')).url}'\norders = '{serve(Says(body={'state': 'limping'})).url}'\n"
        )
        code, out, err = gaia("status", "qa")

        assert (code, rows(out), err) == (0, {"qa": ["running", "health"]}, "")
        table = [line.split()[1:3] for line in out.partition("\n\n")[2].splitlines()[1:]]
        assert table == [["web", "healthy"], ["orders", "healthy"], ["queue", "connected"]]

        text = (project / "gaia.toml").read_text()
        (project / "gaia.toml").write_text(text.replace("without = ['stock']\n", ""))
        code, out, _ = gaia("status", "qa")
        assert code == 1
        assert "orders: reports 'limping'" in out


def test_nothing_shows_that_a_silent_service_of_this_machine_was_stopped(gaia: Gaia, project: Path) -> None:
    (project / "gaia.toml").write_text("[services.web]\n[env.here]\nurl = 'http://127.0.0.1:1'\n")

    code, out, _ = gaia("status", "here")

    assert (code, rows(out)) == (12, {"here": ["unknown", "health", "web:", "connection", "refused"]})


def test_an_overview_does_not_need_the_services_of_this_machine(gaia: Gaia, project: Path) -> None:
    server = ScriptedServer()
    local = '[services.web]\n[env.local]\nurl = "http://127.0.0.1:9"\n'
    try:
        (project / "gaia.toml").write_text(f'{local}[env.preview]\nurl = "{server.url}"\n')
        code, out, _ = gaia("status")
        assert (code, rows(out)["local"][0], rows(out)["preview"][0]) == (0, "unknown", "running")
        assert gaia("status", "local")[0] == 12
    finally:
        server.close()

    (project / "gaia.toml").write_text(local)
    assert gaia("status")[0] == 12
