"""Names of services are data: the built-in platform behaves the same if every service has another name."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pytest_gaia.config.layers
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.config.platform import Operation
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import WriteRefused
from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.kept import Component, Release, keep_release
from pytest_gaia.rollout.plan import plan_rollout
from tests.cli.conftest import gaia, project
from tests.cli.evidence import LEDGER, Underway
from tests.cli.release.signoff_files import walk_kept
from tests.promotion.conftest import Keyring
from tests.promotion.pipeline import made_release
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.config.environment import Environment
    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

__all__ = ["gaia", "project"]

SHIPPED = Path(pytest_gaia.config.layers.__file__).parent / "platforms" / "gaia.toml"
NAMES = {
    "gateway": "edge",
    "auth": "identity",
    "asset": "catalog",
    "chat": "talk",
    "nats": "broker",
    "postgres": "store",
    "kb": "archive",
    "web": "pages",
    "redis": "memory",
}
SAME = {name: name for name in NAMES}
BUILT = ("gateway", "auth", "asset", "chat")


def renamed(names: dict[str, str]) -> str:
    """Return the built-in description as a project's own, with other names of services."""
    document = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    for table in document["services"].values():
        for key in ("depends_on", "via"):
            if key in table:
                table[key] = names[table[key]] if key == "via" else [names[each] for each in table[key]]
    document["platform"]["entry"] = names[document["platform"]["entry"]]
    without = document["platform"]["without"]
    document["platform"]["without"] = [names[each] for each in without]
    document["services"] = {names[name]: table for name, table in document["services"].items()}
    for table in document["env"].values():
        table |= {key: [names[each] for each in table[key]] for key in ("services", "required") if key in table}
        if "urls" in table:
            table["urls"] = {names[name]: url for name, url in table["urls"].items()}
        table["hosts"] = [_host(each, names) for each in table.get("hosts", [])]
    # Staging has all services here, to deploy more than one.
    document["env"]["staging"] |= {
        "services": [names[each] for each in NAMES if each not in without],
        "deploy": {"hook": "fly"},
    }
    document["gaia"] = {"platform": "none", "suites": ["checks"], "deploy_files": "deploy"}
    return "".join(_written((key,), value) for key, value in document.items())


def _host(host: str, names: dict[str, str]) -> str:
    return re.sub(r"^gaia-(\w+)-", lambda found: f"gaia-{names.get(found[1], found[1])}-", host)


def _written(key: tuple[str, ...], table: dict[str, Any]) -> str:
    """Return a table as TOML, with the tables in it."""
    nested = {name: each for name, each in table.items() if isinstance(each, dict)}
    plain = "".join(f"{json.dumps(name)} = {_value(each)}\n" for name, each in table.items() if name not in nested)
    below = "".join(_written((*key, name), each) for name, each in nested.items())
    return f"[{'.'.join(map(json.dumps, key))}]\n{plain}{below}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(name)} = {_value(each)}' for name, each in value.items())} }}"
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list) else json.dumps(value)


class Described:
    """A project of the platform with these names of services."""

    def __init__(self, folder: Path, names: dict[str, str]) -> None:
        self.folder = folder
        self.names = names
        self.text = renamed(names)
        (folder / "gaia.toml").write_text(self.text, encoding="utf-8")
        for environment in ("staging", "production"):
            write_fly_files(folder / "deploy", environment, *(names[each] for each in BUILT))
        self.project = Project(folder)

    def environment(self, name: str) -> Environment:
        return resolve(Options(project=self.project, environ={}, env=name))

    def back(self, text: str) -> str:
        """Return a text with the names of the built-in description."""
        old = {new: name for name, new in self.names.items()}
        return re.sub(r"[a-z]+", lambda found: old.get(found[0], found[0]), text)

    def release(self, *services: str) -> Release:
        digests = {self.names[each]: f"sha256:{number:064x}" for number, each in enumerate(services)}
        images = tuple(Component(name, f"registry/{name}@{digest}", digest) for name, digest in digests.items())
        return made_release(components=images)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Described, Described]:
    """The platform with its own names, and with other ones."""
    folders = [tmp_path / "as_built_in", tmp_path / "renamed"]
    for folder in folders:
        (folder / "checks" / "health").mkdir(parents=True)
    return Described(folders[0], SAME), Described(folders[1], NAMES)


def test_no_old_name_is_left(pair: tuple[Described, Described]) -> None:
    platform = pair[1].project.platform

    assert not set(platform) & set(NAMES)
    assert platform.http == ("edge", "identity", "catalog", "talk", "archive", "pages")
    assert platform.entry == "edge"


@pytest.mark.parametrize("environment", ["local", "dev", "staging", "production"])
def test_the_guard_permits_the_same(pair: tuple[Described, Described], environment: str) -> None:
    built_in, other = (each.project.platform for each in pair)
    safe = {operation for service in built_in.services.values() for operation in service.safe}
    operations = [*sorted(safe, key=str), Operation("GET", "/x"), Operation("POST", "/x"), Operation("DELETE", "/x")]

    def permitted(described: Described) -> list[tuple[str, str, bool]]:
        guard = WriteGuard(described.environment(environment))
        asked = ((service, each) for service in described.project.platform.http for each in operations)
        return [(described.back(service), str(each), _permits(guard, service, each)) for service, each in asked]

    found = permitted(pair[0])
    assert permitted(pair[1]) == found
    assert {allowed for _, _, allowed in found} == {True, False}
    assert other.waves(other) == tuple(tuple(NAMES[each] for each in wave) for wave in built_in.waves(built_in))


def _permits(guard: WriteGuard, service: str, operation: Operation) -> bool:
    try:
        guard.check_http(service, operation.method, operation.path)
    except WriteRefused:
        return False
    return True


def test_services_are_deployed_in_the_same_order(pair: tuple[Described, Described]) -> None:
    def steps(described: Described) -> list[tuple[str, str]]:
        environment = described.environment("staging")
        rollout = plan_rollout(environment, environment.deployment, rootdir=described.folder)
        return [(described.back(each.service), described.back(each.app)) for each in rollout.steps]

    assert steps(pair[1]) == steps(pair[0])
    assert [service for service, _ in steps(pair[1])][-1] == "gateway"


@pytest.mark.parametrize("services", [BUILT, BUILT[:3]])
def test_the_gate_decides_the_same(pair: tuple[Described, Described], services: tuple[str, ...]) -> None:
    def checks(described: Described) -> list[tuple[str, str, str]]:
        promotion = Promotion.of(Project(described.folder), {})
        gate = evaluate(promotion.situation("staging", described.release(*services), datetime.now(UTC)))
        return [(each.id, each.finding.status, described.back(each.finding.reason)) for each in gate.checks]

    found = checks(pair[0])
    assert checks(pair[1]) == found
    pinned = next(check[1:] for check in found if check[0] == "images-pinned")
    lacking = ("pending", "no image of chat, which staging runs")
    assert pinned == (("passed", "4 images") if services == BUILT else lacking)


def test_a_release_is_approved_on_a_page_with_the_new_names(gaia: Gaia, project: Path) -> None:
    described = Described(project, NAMES)
    begun = datetime.now(UTC) - timedelta(hours=44)
    release = described.release(*BUILT)
    keep_release(project, release, {})
    pipeline = Underway(Keyring(project / "keys"), project / LEDGER, release=release, now=begun)
    walk_kept(pipeline, project)

    code, out, err = gaia("release", "check", pipeline.id, "-e", "production", "--json")
    assert (code, err, json.loads(out)["reasons"]) == (0, "", [])
    code, out, err = gaia("release", "report", pipeline.id, "--format", "json")
    assert (code, err) == (0, "")
    page = json.loads(out)
    assert page["decision"] == "GO"
    shown = {change["what"] for change in page["changes"].get("parts", [])} if page["changes"] else set()
    assert not [each for each in shown if each.partition("image of ")[2] in NAMES]
    written = re.findall(r"\b(?:edge|identity|catalog|talk|gateway|auth|asset)\b", out)
    assert {"edge", "identity", "catalog", "talk"} <= set(written)

    smaller = described.release(*BUILT[:3])
    keep_release(project, smaller, {})
    code, out, err = gaia("release", "check", smaller.short, "-e", "production", "--pre-deploy")
    assert code == 11
    assert "the release has no image of talk, which was deployed in production" in " ".join(out.split())
