"""``fly`` without faults: output, exit codes, and the effect of a deployment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fakes.asking import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_tools import FakeTools

APP = "gaia-auth-staging"
PROMOTED = "registry.fly.io/gaia-auth-dev@sha256:" + "a" * 64
FILE = """\
app = "gaia-auth-staging"
primary_region = "ams"

[deploy]
release_command = "alembic upgrade head"

[http_service]
internal_port = 8000

[[http_service.checks]]
path = "/health"
interval = "15s"

[[vm]]
memory = "2gb"
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "fly.auth.staging.toml"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def test_graphql_speaks_in_go_names_and_the_machines_api_in_snake_case(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, release=7)

    status = ask(fake_tools, "fly", "status", "-a", APP, "--json")
    (machine,) = ask(fake_tools, "fly", "machine", "list", "-a", APP, "--json")

    assert (status["Name"], status["Version"], status["Organization"]["Slug"]) == (APP, 7, "gaia")
    assert status["Machines"] == [machine]
    assert machine["config"]["metadata"]["fly_release_version"] == "7"
    assert machine["image_ref"]["digest"].startswith("sha256:")
    assert [check["status"] for check in machine["checks"]] == ["passing"]
    assert set(machine) >= {"id", "state", "region", "instance_id", "host_status", "config", "events"}


def test_releases_are_newest_first_and_at_most_25(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, release=30)

    releases = ask(fake_tools, "fly", "releases", "-a", APP, "--json")

    assert [each["Version"] for each in releases] == list(range(30, 5, -1))
    assert {each["DeploymentStrategy"] for each in releases} == {""}


def test_a_known_image_is_deployed_as_it_is(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, machines=2, release=41)

    done = fake_tools.run("fly", "deploy", "-a", APP, "--image", PROMOTED, "--yes", FLY_EMIT_RELEASE_JSON="1")

    emitted = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert (done.returncode, emitted["version"], emitted["image_ref"]) == (0, 42, PROMOTED)
    assert fake_tools.digests(APP) == {"sha256:" + "a" * 64}
    assert fake_tools.releases(APP)[-1]["status"] == "complete"


def test_without_the_variable_no_release_is_emitted(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)

    assert '{"id"' not in fake_tools.run("fly", "deploy", "-a", APP, "--image", PROMOTED).stdout


def test_a_build_follows_from_source_and_file_alone(fake_tools: FakeTools, file: str) -> None:
    fake_tools.app(APP)
    digests = []
    for change in (None, None, "v2"):
        if change:
            fake_tools.new_source(change)
        assert fake_tools.run("fly", "deploy", "-a", APP, "-c", file).returncode == 0
        digests.append(fake_tools.digests(APP))
    fake_tools.run("fly", "deploy", "-a", APP, "-c", file, "--no-cache")

    assert digests[0] == digests[1] != digests[2] != fake_tools.digests(APP)


def test_the_file_makes_the_machine(fake_tools: FakeTools, file: str) -> None:
    fake_tools.app(APP, machines=0)

    fake_tools.run("fly", "deploy", "-a", APP, "-c", file, "--ha=false")

    (machine,) = fake_tools.machines(APP)
    assert (machine["region"], machine["config"]["guest"]["memory_mb"]) == ("ams", 2048)
    assert [check["name"] for check in machine["checks"]] == ["servicecheck-00-http-8000"]


def test_services_checks_and_memory_belong_to_process_groups(fake_tools: FakeTools, tmp_path: Path) -> None:
    file = tmp_path / "fly.auth.staging.toml"
    vm = '[[vm]]\nmemory = "512mb"\nprocesses = ["worker"]\n'
    file.write_text(f'{FILE}\n{vm}[processes]\napp = "serve"\nworker = "work"\n', encoding="utf-8")
    fake_tools.app(APP, file={"processes": {"app": "", "old": ""}})

    fake_tools.run("fly", "deploy", "-a", APP, "-c", str(file), "--image", PROMOTED)

    seen = {each["config"]["metadata"]["fly_process_group"]: each for each in fake_tools.machines(APP)}
    assert {group: len(each["checks"]) for group, each in seen.items()} == {"app": 1, "worker": 0}
    assert {group: len(each["config"]["services"]) for group, each in seen.items()} == {"app": 1, "worker": 0}
    assert seen["worker"]["config"]["guest"]["memory_mb"] == 512


def test_a_deploy_file_may_be_json(fake_tools: FakeTools, tmp_path: Path) -> None:
    file = tmp_path / "fly.auth.staging.json"
    file.write_text(json.dumps({"app": APP, "vm": [{"memory": "1gb"}]}), encoding="utf-8")
    fake_tools.app(APP, machines=0)

    fake_tools.run("fly", "deploy", "-a", APP, "-c", str(file), "--ha=false")

    assert [each["config"]["guest"]["memory_mb"] for each in fake_tools.machines(APP)] == [1024]


def test_the_first_deployment_makes_two_machines_by_default(fake_tools: FakeTools, file: str) -> None:
    fake_tools.app(APP, machines=0)

    fake_tools.run("fly", "deploy", "-a", APP, "-c", file, "--primary-region", "lhr")

    assert [machine["region"] for machine in fake_tools.machines(APP)] == ["lhr", "lhr"]


def test_a_process_group_that_serves_nothing_gets_a_standby(fake_tools: FakeTools, tmp_path: Path) -> None:
    file = tmp_path / "fly.auth.staging.toml"
    file.write_text(f'{FILE}\n[processes]\napp = "serve"\nworker = "work"\n', encoding="utf-8")
    fake_tools.app(APP, machines=0)

    fake_tools.run("fly", "deploy", "-a", APP, "-c", str(file))

    workers = [each for each in fake_tools.machines(APP) if each["group"] == "worker"]
    assert [(each["state"], each["config"].get("standbys")) for each in workers] == [
        ("started", None),
        ("stopped", [workers[0]["id"]]),
    ]


def test_the_machine_of_a_release_command_is_listed_and_is_no_part_of_the_status(
    fake_tools: FakeTools, file: str
) -> None:
    fake_tools.app(APP)
    fake_tools.run("fly", "deploy", "-a", APP, "-c", file)

    listed = ask(fake_tools, "fly", "machine", "list", "-a", APP, "--json")
    groups = {each["config"]["metadata"]["fly_process_group"] for each in listed}

    assert groups == {"app", "fly_app_release_command"}
    assert len(ask(fake_tools, "fly", "status", "-a", APP, "--json")["Machines"]) == 1


def test_sleeping_machines_are_updated_and_not_started(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, state="suspended")
    (before,) = fake_tools.machines(APP)

    assert fake_tools.run("fly", "deploy", "-a", APP, "--image", PROMOTED).returncode == 0
    assert [each["state"] for each in fake_tools.machines(APP)] == ["suspended"]
    assert fake_tools.digests(APP) == {"sha256:" + "a" * 64}

    assert fake_tools.run("fly", "machine", "start", before["id"], "-a", APP).returncode == 0
    waited = fake_tools.run("fly", "machine", "wait", before["id"], "-a", APP, "--state", "started", "-w", "2m")
    assert (waited.returncode, fake_tools.machines(APP)[0]["checks"][0]["status"]) == (0, "passing")


def test_waiting_for_a_state_that_does_not_come_fails(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, state="stopped")
    identity = fake_tools.machines(APP)[0]["id"]

    waited = fake_tools.run("fly", "machine", "wait", identity, "-a", APP, "--state", "started")

    assert (waited.returncode, "deadline_exceeded" in waited.stderr) == (1, True)


def test_scaling_adds_and_removes_machines_and_sets_memory(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, machines=1)

    assert fake_tools.run("fly", "scale", "count", "3", "-a", APP, "--yes").returncode == 0
    assert fake_tools.run("fly", "scale", "memory", "4096", "-a", APP).returncode == 0
    machines = fake_tools.machines(APP)
    assert [(each["config"]["guest"]["memory_mb"], each["region"]) for each in machines] == [(4096, "lhr")] * 3
    assert len(fake_tools.digests(APP)) == 1

    assert fake_tools.run("fly", "scale", "count", "app=1", "-a", APP, "--yes").returncode == 0
    assert len(fake_tools.machines(APP)) == 1


def test_one_process_group_is_scaled(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, file={"processes": {"web": "serve", "worker": "work"}})

    assert "requires specifying a group" in fake_tools.run("fly", "scale", "memory", "512", "-a", APP).stderr
    fake_tools.run("fly", "scale", "memory", "512", "-a", APP, "--process-group", "worker")
    fake_tools.run("fly", "scale", "count", "2", "-a", APP, "--process-group", "worker", "--yes")

    sizes = sorted((each["group"], each["config"]["guest"]["memory_mb"]) for each in fake_tools.machines(APP))
    assert sizes == [("web", 2048), ("worker", 512), ("worker", 512)]


def test_scaling_asks_without_yes(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)

    refused = fake_tools.run("fly", "scale", "count", "2", "-a", APP)

    assert (refused.returncode, len(fake_tools.machines(APP))) == (1, 1)
    assert "must be specified when not running interactively" in refused.stderr


def test_secrets_are_names_and_digests(fake_tools: FakeTools) -> None:
    fake_tools.app(APP, secrets=["DATABASE_URL"])

    (secret,) = ask(fake_tools, "fly", "secrets", "list", "-a", APP, "--json")

    assert (secret["name"], len(secret["digest"])) == ("DATABASE_URL", 16)


def test_a_log_ends_only_if_it_is_asked_to(fake_tools: FakeTools) -> None:
    fake_tools.app(APP)
    fake_tools.logged(APP, "one", "two")
    with fake_tools.state() as cloud:
        cloud["follow_seconds"] = 0

    assert fake_tools.run("fly", "logs", "-a", APP, "--no-tail").stdout == "one\ntwo\n"
    assert fake_tools.run("fly", "logs", "-a", APP).stdout == "one\ntwo\n"


def test_a_token_never_reaches_the_record_of_calls(fake_tools: FakeTools) -> None:
    fake_tools.run("fly", "version", "--json", FLY_API_TOKEN="fo1_secret", NO_COLOR="1")

    (call,) = fake_tools.calls("fly")
    assert (call.env, call.exit) == ({"FLY_API_TOKEN": "set", "NO_COLOR": "1"}, 0)
    assert "fo1_secret" not in (fake_tools.folder / "state.json").read_text()


def test_flyctl_is_the_same_tool(fake_tools: FakeTools) -> None:
    assert fake_tools.run("flyctl", "version").stdout == fake_tools.run("fly", "version").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "-a", "nobody"], 'Error: failed to get app: Could not find App "nobody"'),  # glossary: ok
        (["machine", "list", "-a", "nobody"], "Error: failed to list VMs: app not found"),  # glossary: ok
        (["logs", "-a", "nobody"], "Error: 404 Not Found"),  # glossary: ok
        (["status"], "Error: the config for your app is missing an app name"),
        (["deploy", "--bogus"], "Error: unknown flag: --bogus"),
        (["deploy", "-Z"], "Error: unknown shorthand flag: 'Z' in -Z"),
        (["deploy", "-a"], "Error: flag needs an argument: 'a' in -a"),
        (["deploy", "--image"], "Error: flag needs an argument: --image"),
        (
            ["deploy", "-a", APP, "--wait-timeout", "5x"],
            "invalid duration value 5x used for --wait-timeout flag: valid",
        ),
        (["deploy", "--ha=perhaps"], 'Error: invalid argument "perhaps" for "--ha" flag'),
        (["promote"], 'Error: unknown command "promote" for "flyctl"'),
        (["status", "-a", APP, "--json", "--watch"], "Error: --watch and --json are not supported together"),
        (["machine", "start", "12ab", "-a", APP], f"Error: machine 12ab was not found in app '{APP}'"),
        (
            ["scale", "count", "2", "-a", APP, "-g", "web", "--yes"],
            "unknown process groups [web] but valid names are [app]",
        ),
        (["deploy", "-a", APP, "--image", "registry.fly.io/gaia-auth-dev:gone"], "could not find image"),
        (["deploy", "-a", APP, "-c", "no.toml"], "failed loading app config from no.toml: open no.toml: no such file"),
        (["scale", "memory", "1000", "-a", APP], "memory must be a multiple of 256"),
    ],
)
def test_usage_errors_end_with_1_and_the_tool_s_own_words(
    fake_tools: FakeTools, words: list[str], message: str
) -> None:
    fake_tools.app(APP)

    done = fake_tools.run("fly", *words)

    assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_a_malformed_file_is_an_error_and_no_release(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.app(APP)
    (tmp_path / "fly.toml").write_text("app = [")

    done = fake_tools.run("fly", "deploy", "-a", APP, "-c", str(tmp_path / "fly.toml"))

    assert (done.returncode, "failed loading app config" in done.stderr) == (1, True)
    assert len(fake_tools.releases(APP)) == 1
