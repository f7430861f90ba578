"""``gaia release``: releases of given images, and of images that run on the fakes of fly and docker."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.release.kept import FOLDER, read_release
from tests.repositories import Repository
from tests.rollout.deploy_files import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

GATEWAY = image("gateway", 7)
AUTH = image("auth", 8)


@pytest.fixture
def committed(operated: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """The project with its environments deployed, in git."""
    repository = Repository(operated, monkeypatch)
    repository.write(".gitignore", ".gaia/\n")
    repository.commit()
    return repository


def put(tools: FakeTools, service: str, reference: str, environment: str = "staging", **how: object) -> None:
    tools.app(f"gaia-{service}-{environment}", reference=reference, **how)  # type: ignore[arg-type]


def made(gaia: Gaia, *arguments: str) -> dict[str, object]:
    code, out, err = gaia("release", "create", "--json", *arguments)
    assert (code, err) == (0, "")
    document: dict[str, object] = json.loads(out)
    return document


def test_a_release_of_named_images(gaia: Gaia, committed: Repository) -> None:
    code, out, err = gaia("release", "create", "--image", f"gateway={GATEWAY}", "--image", f"auth={AUTH}")

    found = re.match(r"release ([0-9a-f]{12}) \(registry\) of commit ([0-9a-f]{10}), created", out)
    assert (code, err) == (0, "")
    assert found is not None
    assert committed.git("rev-parse", "HEAD").startswith(found[2])
    assert [line.split() for line in out.splitlines() if line.startswith(("auth", "gateway"))] == [
        ["auth", AUTH],
        ["gateway", GATEWAY],
    ]
    assert "dev@example.org (cannot approve this release)" in out
    assert out.endswith(f"next: gaia promote local {found[1]}\n")
    (path,) = (committed.folder / FOLDER).glob("*.json")
    assert f"saved in {FOLDER}/{path.name}\n" in out


def test_an_image_of_a_service_of_the_projects_own(gaia: Gaia, committed: Repository) -> None:
    committed.write(
        "deploy/fly.orders.staging.toml", 'app = "gaia-orders-staging"\n[http_service]\ninternal_port = 1\n'
    )
    committed.commit()

    release = made(gaia, "--image", f"orders={GATEWAY}", "--image", f"auth={AUTH}")

    assert [each["service"] for each in release["components"]] == ["auth", "orders"]  # type: ignore[attr-defined]  # JSON


def test_a_release_of_what_runs(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    put(fake_tools, "auth", AUTH, machines=2)
    put(fake_tools, "gateway", GATEWAY, state="suspended")

    release = made(gaia, "--env", "staging")

    assert release["kind"] == "registry"
    assert release["components"] == [
        {"service": "auth", "image": AUTH, "digest": AUTH.partition("@")[2]},
        {"service": "gateway", "image": GATEWAY, "digest": GATEWAY.partition("@")[2]},
    ]
    assert not fake_tools.calls("fly", "deploy")


def test_a_named_image_goes_before_what_runs(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    put(fake_tools, "gateway", GATEWAY)
    fake_tools.fault("gaia-auth-staging", "split")

    release = made(gaia, "--env", "staging", "--image", f"auth={AUTH}")

    assert [each["image"] for each in release["components"]] == [AUTH, GATEWAY]  # type: ignore[attr-defined]


def test_services_choose_what_is_taken(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    put(fake_tools, "gateway", GATEWAY)

    release = made(gaia, "--env", "staging", "--services", "gateway")

    assert [each["service"] for each in release["components"]] == ["gateway"]  # type: ignore[attr-defined]


def test_what_runs_two_images_is_no_release(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    put(fake_tools, "auth", AUTH, machines=2)
    with fake_tools.state() as cloud:
        cloud["apps"]["gaia-auth-staging"]["machines"][0]["image_ref"]["digest"] = GATEWAY.partition("@")[2]

    code, _, err = gaia("release", "create", "--env", "staging")

    assert code == 1
    assert "staging: what runs there cannot become a release: auth (gaia-auth-staging) runs 2 images: sha256:" in err
    assert "gateway" not in err
    assert not (committed.folder / FOLDER).exists()


def test_what_was_never_deployed_is_none_either(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    put(fake_tools, "auth", AUTH, machines=0)
    with fake_tools.state() as cloud:
        del cloud["apps"]["gaia-gateway-staging"]

    code, _, err = gaia("release", "create", "--env", "staging")

    assert code == 1
    assert (
        "auth (gaia-auth-staging) has no machine; gateway (gaia-gateway-staging) was never deployed. No release" in err
    )


def test_what_cannot_be_observed_is_exit_12(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    fake_tools.fault("*", "not-logged-in")

    code, _, err = gaia("release", "create", "--env", "staging")

    assert code == 12
    assert err.startswith("gaia: staging: the running images could not be observed. auth (gaia-auth-staging): ")
    assert "gateway (gaia-gateway-staging): " in err
    assert "fly auth login" in err


def test_images_of_compose_are_on_this_machine_alone(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    compose = str(committed.folder / "deploy" / "docker-compose.yml")
    done = fake_tools.run("docker", "compose", "--file", compose, "up", "--detach", "--wait")
    assert done.returncode == 0, done.stderr

    assert made(gaia, "--env", "local")["kind"] == "local"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a release needs images: --image SERVICE=REF@sha256:… for each, or --env ENV."),
        (("--image", f"gatway={GATEWAY}"), "--image: unknown service 'gatway'; did you mean gateway?"),
        (("--image", "gateway=r/gateway:1"), "--image gateway=r/gateway:1: add the digest (…@sha256:…)"),
        (("--image", "gateway=r/gateway@sha256:12"), "--image gateway: 'sha256:12' is not a digest"),
        (("--image", GATEWAY), "has no service"),
        (("--image", f"auth={AUTH}", "--image", f"auth={GATEWAY}"), "--image gives auth two images"),
        (("--services", "auth", "--image", f"auth={AUTH}"), "--services selects services that run in an environment"),
        (("--env", "stagign"), "unknown environment 'stagign'; did you mean staging?"),
        (("--env", "preview"), "preview has no deployment settings."),
        (("--env", "staging", "--services", "chat"), "chat has no deploy file for staging"),
        (
            ("--image", f"auth={AUTH}", "--output", "no/such/folder"),
            "--output no/such/folder: the file cannot be written: No",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_usage_errors(gaia: Gaia, committed: Repository, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = gaia("release", "create", *arguments)

    assert (code, out) == (4, "")
    assert message in err


def test_outside_of_git_and_with_changes_there_is_no_release(gaia: Gaia, operated: Path, committed: Repository) -> None:
    committed.write("new.py")
    code, _, err = gaia("release", "create", "--image", f"auth={AUTH}")
    assert code == 4
    assert err.startswith("gaia: the working tree has uncommitted changes: new.py. No release was created.")

    assert made(gaia, "--image", f"auth={AUTH}", "--allow-dirty")["kind"] == "local"

    subprocess.run(["rm", "-rf", ".git"], cwd=operated, check=True)
    code, _, err = gaia("release", "create", "--image", f"auth={AUTH}")
    assert code == 4
    assert "git reports none: not a git repository" in err


def test_the_output_is_a_release_that_every_command_takes(gaia: Gaia, committed: Repository) -> None:
    made(gaia, "--image", f"auth={AUTH}", "--output", "bundle.json")

    release = read_release(committed.folder / "bundle.json")

    assert json.loads(gaia("release", "show", "bundle.json", "--json").out)["id"] == release.id
    assert gaia("release", "check", "./bundle.json", "--env", "dev").code == 11


def test_releases_are_listed_and_shown(gaia: Gaia, committed: Repository) -> None:
    assert gaia("release", "list").err == "There is no release yet. To create one, run `gaia release create -h`.\n"
    assert json.loads(gaia("release", "list", "--json").out) == []
    first = made(gaia, "--image", f"auth={AUTH}")
    second = made(gaia, "--image", f"gateway={GATEWAY}")

    _, out, _ = gaia("release", "list")
    assert [line.split()[0] for line in out.splitlines()] == ["release", second["short"], first["short"]]
    assert [each["id"] for each in json.loads(gaia("release", "show", "--json").out)] == [second["id"], first["id"]]
    assert json.loads(gaia("release", "show", str(first["short"]), "--json").out) == first
    assert GATEWAY in gaia("release", "show", str(second["id"])).out
    code, _, err = gaia("release", "show", "0000")
    assert code == 4
    assert f"Known, newest first: {second['short']}, {first['short']}." in err


def test_a_release_that_is_what_it_was_made_of(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    for service, reference in (("auth", AUTH), ("gateway", GATEWAY)):
        put(fake_tools, service, reference)
    release = made(gaia, "--env", "staging")

    code, out, err = gaia("release", "verify", str(release["short"]), "--env", "staging")

    assert (code, err) == (0, "")
    assert out.endswith(f"release {release['short']} is unchanged\n")
    checks = json.loads(gaia("release", "verify", str(release["short"]), "--json").out)
    assert checks["same"] is True
    assert {each["status"] for each in checks["checks"]} == {"same"}


def test_drift_of_any_kind_is_hold(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    for service, reference in (("auth", AUTH), ("gateway", GATEWAY)):
        put(fake_tools, service, reference)
    release = made(gaia, "--env", "staging")
    put(fake_tools, "auth", image("auth", 9), release=2)
    committed.write("deploy/fly.auth.staging.toml", 'app = "gaia-auth-staging"\n')
    (committed.folder / FOLDER / str(release["id"]) / "configs" / "fly.gateway.production.toml").unlink()

    code, out, _ = gaia("release", "verify", str(release["short"]), "--env", "staging", "--json")

    document = json.loads(out)
    assert (code, document["exit_code"], document["same"]) == (11, 11, False)
    assert {each["what"] for each in document["checks"] if each["status"] == "differs"} == {
        "running auth",
        "deploy file fly.auth.staging.toml",
        "kept file fly.gateway.production.toml",
    }
    code, out, _ = gaia("release", "verify", str(release["short"]), "--env", "staging")
    assert code == 11
    assert "Create a new release (`gaia release create`), or restore the files and images." in out


def test_changed_checks_and_settings_are_not_those_of_the_release(gaia: Gaia, committed: Repository) -> None:
    release = made(gaia, "--image", f"auth={AUTH}")
    committed.write("checks/conftest.py", "collect_ignore = ['health']\n")
    committed.write("pytest.ini", "[pytest]\n")

    code, out, _ = gaia("release", "verify", str(release["short"]), "--json")

    assert code == 11
    assert [each["what"] for each in json.loads(out)["checks"] if each["status"] == "differs"] == [
        "file checks/conftest.py",
        "file pytest.ini",
    ]


def test_what_cannot_be_seen_is_no_proof(gaia: Gaia, committed: Repository, fake_tools: FakeTools) -> None:
    release = made(gaia, "--image", f"auth={AUTH}")
    fake_tools.fault("*", "unauthorised")

    code, out, _ = gaia("release", "verify", str(release["short"]), "--env", "staging")

    assert code == 12
    assert out.endswith("could not be observed: running auth. Run the command again.\n")


@pytest.mark.parametrize("command", ["create", "show", "verify"])
def test_help_teaches(gaia: Gaia, command: str) -> None:
    code, out, _ = gaia("release", command, "--help")

    assert code == 0
    assert f"gaia release {command} " in out
    assert "--json" in out


def test_a_project_with_other_stages_sees_only_those(gaia: Gaia, operated: Path, committed: Repository) -> None:
    preview = '[env.preview]\nurl = "https://preview.example.com"\n[env.preview.stage]\n'
    committed.write("gaia.toml", f"[services.gateway]\n{preview}")
    committed.commit()

    code, out, err = gaia("release", "create", "--image", f"gateway={GATEWAY}")
    assert (code, err) == (0, "")
    short = out.split()[1]
    assert out.endswith(f"next: gaia promote preview {short}\n")

    code, out, err = gaia("release", "check", short)
    assert (code, err) == (11, "")
    assert out.startswith("preview\n")
    assert "staging" not in out


LIVE = """
[services.orders]
url = "https://{unit}.example.com"
[env.qa]
role = "staging"
[env.live]
role = "production"
stage = { promote_from = "qa" }
"""


def test_stages_are_checked_by_their_role(gaia: Gaia, operated: Path, committed: Repository) -> None:
    committed.write("gaia.toml", LIVE)
    committed.commit()
    release = made(gaia, "--image", f"orders={GATEWAY}")

    code, out, err = gaia("release", "check", str(release["short"]), "--json")
    assert (code, err) == (11, "")
    asked = {stage: {check["id"] for check in checks} for stage, checks in json.loads(out).items()}
    assert asked == {
        "qa": {"no-experimental-features"},
        "live": {
            "staging-validated",
            "core-verified",
            "performance-acceptable",
            "security-review",
            "rollback-ready",
            "removed-operations",
        },
    }

    code, out, err = gaia("release", "check", str(release["short"]), "-e", "live")
    assert (code, err) == (11, "")
    assert "gaia release approve" in out
    code, _, err = gaia(
        "release", "approve", str(release["short"]), "security-review", "-e", "qa", "--role", "security"
    )
    assert (code, err.splitlines()[0]) == (4, "gaia: security-review: this is a check of live. Pass -e live.")
