"""``gaia deploy``, ``status`` and ``rollback`` of a project on Kubernetes, which has no deploy files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.fake_tools import FakeTools

    Gaia = Callable[..., Outcome]

PROJECT = """\
[gaia]
suites = ["checks"]

[platform]
name = "shop"
entry = "web"

[services.web]
url = "http://127.0.0.1:9"
depends_on = ["orders"]

[services.orders]
url = "http://127.0.0.1:9"
depends_on = ["queue"]

[services.queue]
kind = "amqp"
deploy = { kubernetes = "statefulset/rabbit" }

[services.bank]
url = "https://bank.example.com"
external = true

[env.qa]
role = "staging"
timeouts = { connect = 0.2, ready = 0.2 }

[env.qa.deploy]
hook = "kubernetes"
context = "qa-cluster"
namespace = "shop"
deadline = 60
"""
DEPLOY = '{ hook = "kubernetes", context = "qa-cluster", namespace = "shop" }'


def image(service: str, number: int) -> str:
    return f"registry.example.org/{service}@sha256:{str(number) * 64}"


def given(number: int, *services: str) -> list[str]:
    return [word for each in services for word in ("--image", f"{each}={image(each, number)}")]


@pytest.fixture
def shop(project: Path, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    (project / "gaia.toml").write_text(PROJECT, encoding="utf-8")
    monkeypatch.setattr("pytest_gaia.rollout.step.wait_for", lambda event, seconds: None)
    fake_tools.workload("deployment/web", image("web", 1))
    fake_tools.workload("deployment/orders", image("orders", 1))
    fake_tools.workload("statefulset/rabbit", image("queue", 1))
    return fake_tools


def rows(out: str) -> list[list[str]]:
    return [line.split()[:3] for line in out.splitlines()[1:]]


def test_all_services_are_deployed_in_order(shop: FakeTools, gaia: Gaia) -> None:
    code, out, err = gaia("deploy", "qa", *given(2, "web", "orders", "queue"))

    assert code == 0, err
    assert rows(out) == [
        ["queue", "statefulset/rabbit", "deployed"],
        ["orders", "deployment/orders", "deployed"],
        ["web", "deployment/web", "deployed"],
    ]


def test_a_dry_run_prints_the_exact_command(shop: FakeTools, gaia: Gaia) -> None:
    code, out, err = gaia("deploy", "qa", "-s", "orders", *given(2, "orders"), "--dry-run")

    assert code == 0, err
    assert out.strip() == (
        "kubectl --context qa-cluster --namespace shop set image deployment/orders "
        f"orders=registry.example.org/orders@sha256:{'2' * 64}"
    )


def test_a_dry_run_without_the_cluster_is_no_plan(shop: FakeTools, gaia: Gaia) -> None:
    shop.fault("kubectl", "down")

    code, out, err = gaia("deploy", "qa", "-s", "orders", *given(2, "orders"), "--dry-run")

    assert (code, out) == (12, "")
    assert "The connection to the server 10.0.0.1:6443 was refused" in err


def test_the_status_shows_what_runs(shop: FakeTools, gaia: Gaia) -> None:
    shop.fault("orders", "never-ready")
    with shop.state() as state:
        orders = next(each for each in state["kubernetes"]["workloads"] if each["name"] == "orders")
        orders["pods"][0]["stage"] = "running"

    _, out, err = gaia("status", "qa")

    assert not err
    assert "orders: machine orders-" in out
    assert "passes 0 of 1 health checks" in out


def test_a_rollback_returns_to_the_image_of_before(shop: FakeTools, gaia: Gaia) -> None:
    gaia("deploy", "qa", "-s", "orders", *given(2, "orders"))

    code, out, err = gaia("rollback", "qa", "--confirm", "qa")

    assert code == 0, err
    assert rows(out) == [["orders", "deployment/orders", "rolled"]]
    assert f"orders returns to {image('orders', 1)}" in err


def test_images_are_required(shop: FakeTools, gaia: Gaia) -> None:
    code, out, err = gaia("deploy", "qa", *given(2, "web"))

    assert (code, out) == (4, "")
    assert "--image queue=IMAGE@sha256:… --image orders=IMAGE@sha256:…. Nothing was changed." in err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('context = "qa-cluster"', 'context = "qa"', 'error: context "qa" does not exist'),
        ('namespace = "shop"', 'namespace = "sho"', "the namespace sho of context qa-cluster does not exist"),
        ("statefulset/rabbit", "statefulset/rabit", 'statefulsets.apps "rabit" not found in namespace shop'),
    ],
)
def test_a_wrong_name_is_one_error(
    shop: FakeTools, project: Path, gaia: Gaia, old: str, new: str, message: str
) -> None:
    (project / "gaia.toml").write_text(PROJECT.replace(old, new), encoding="utf-8")

    code, out, err = gaia("deploy", "qa", *given(2, "web", "orders", "queue"))

    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err
    assert not [call for call in shop.calls("kubectl") if "set" in call.argv]


def test_there_are_no_deploy_files_to_check(shop: FakeTools, gaia: Gaia) -> None:
    for words in ((), ("qa",)):
        code, out, err = gaia("config", "check", *words)

        assert (code, out, err) == (0, "No findings; the project has no deploy files.\n", "")


@pytest.mark.parametrize("command", [("logs", "qa"), ("scale", "qa", "orders", "--count", "2")])
def test_commands_that_the_hook_lacks_report_it(shop: FakeTools, gaia: Gaia, command: tuple[str, ...]) -> None:
    code, out, err = gaia(*command)

    assert (code, out) == (4, "")
    assert "qa is deployed by the hook 'kubernetes'" in err


@pytest.mark.parametrize(
    ("name", "settings"),
    [("live", 'role = "production"\nstage = { promote_from = "qa" }'), ("prod", "writes = true")],
)
def test_the_role_production_needs_a_confirmation(
    shop: FakeTools, project: Path, gaia: Gaia, name: str, settings: str
) -> None:
    text = f"{PROJECT}\n[env.{name}]\n{settings}\ndeploy = {DEPLOY}\n"
    (project / "gaia.toml").write_text(text, encoding="utf-8")

    code, out, err = gaia("deploy", name, "-s", "orders", *given(2, "orders"))

    assert (code, out) == (4, "")
    assert f"Pass --confirm {name}. Nothing was changed." in err
    assert not [call for call in shop.calls("kubectl") if "set" in call.argv]
