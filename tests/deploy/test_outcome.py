from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pytest_gaia.deploy.contract import Machine, Observation, Reply
from pytest_gaia.deploy.outcome import Wanted, classify, converged, digest_of, name_and_tag
from tests.deploy.executables import a_request

if TYPE_CHECKING:
    from pytest_gaia.deploy.outcome import Kind

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64
NEW_IMAGE = f"registry.fly.io/gaia-auth-dev@{NEW}"
DONE = Reply(status="done", version=42)
FAILED = Reply(status="failed", message="smoke checks failed")
PROMOTED = Wanted(NEW_IMAGE)


def machine(name: str = "m1", digest: str | None = NEW, version: int | None = 42, **how: Any) -> Machine:
    tag = {OLD: "deployment-OLD", NEW: "deployment-NEW"}.get(digest or "", "deployment-X")
    values = {"state": "started", "image": f"registry.fly.io/auth:{tag}", "checks": 1, "passing": 1, **how}
    return Machine(id=name, digest=digest, version=version, **values)


def observed(*machines: Machine, version: int | None = 42) -> Observation:
    return Observation(app="gaia-auth-staging", exists=True, machines=machines, version=version)


def old(*names: str) -> Observation:
    return observed(*(machine(name, OLD, 41) for name in names or ("m1",)), version=41)


def test_one_machine_that_runs_what_is_wanted_has_converged() -> None:
    assert converged(observed(machine()), Wanted(NEW_IMAGE, 42)) == ""


@pytest.mark.parametrize(
    ("seen", "wanted", "reason"),
    [
        (Observation(app="gaia-x", exists=False), PROMOTED, "gaia-x does not exist"),
        (observed(), PROMOTED, "gaia-auth-staging has no serving machine"),
        (observed(machine(digest=OLD)), PROMOTED, "machine m1 runs sha256:000000000000, not sha256:111111111111"),
        (observed(machine(digest=None)), PROMOTED, "machine m1 runs an unknown image, not sha256:111111111111"),
        (
            observed(machine(digest=OLD)),
            Wanted("registry.fly.io/auth:deployment-NEW"),
            "machine m1 runs registry.fly.io/auth:deployment-OLD, not registry.fly.io/auth:deployment-NEW",
        ),
        (observed(machine(version=41)), Wanted(NEW_IMAGE, 42), "machine m1 runs release 41, not 42"),
        (observed(machine(host_ok=False)), PROMOTED, "machine m1 is on a host that does not respond"),
        (observed(machine(state="suspended")), PROMOTED, "machine m1 is suspended, not started"),
        (observed(machine(state="replacing")), PROMOTED, "machine m1 is replacing, not started"),
        (observed(machine(cordoned=True)), PROMOTED, "machine m1 is cordoned, so it gets no requests"),
        (
            observed(machine(checks=0, passing=0)),
            PROMOTED,
            "machine m1 has no health check, so its health is unknown",
        ),
        (observed(machine(checks=2)), PROMOTED, "machine m1 passes 1 of 2 health checks"),
        (observed(machine(critical=1)), PROMOTED, "machine m1 is unhealthy: it passes 1 of 1 health checks"),
        (observed(machine(crashed=True)), PROMOTED, "machine m1 crashed or ran out of memory after it started"),
        (
            observed(machine(), machine("m2", OLD), machine("m3", OLD)),
            PROMOTED,
            "2 different images run: sha256:111111111111 ×1, sha256:000000000000 ×2",
        ),
        (
            observed(*(machine(f"m{number}", state="stopped") for number in range(5))),
            PROMOTED,
            "; ".join(f"machine m{number} is stopped, not started" for number in range(3)) + ", and 2 more",
        ),
    ],
)
def test_what_has_not_converged_has_a_reason(seen: Observation, wanted: Wanted, reason: str) -> None:
    assert converged(seen, wanted) == reason


GROUPS = Wanted(NEW_IMAGE, groups={"app": True, "worker": False})
WORKER: dict[str, Any] = {"group": "worker", "checks": 0, "passing": 0}


@pytest.mark.parametrize(
    ("machines", "reason"),
    [
        ([{"group": "app"}, WORKER], ""),
        ([WORKER], "gaia-auth-staging has no machine in the process group app"),
        ([{"group": "app"}], "gaia-auth-staging has no machine in the process group worker"),
        ([{**WORKER, "group": "app"}, WORKER], "machine m0 has no health check, so its health is unknown"),
        ([{"group": "app"}, {**WORKER, "crashed": True}], "machine m1 crashed or ran out of memory after it started"),
        ([{"group": "app"}, {**WORKER, "state": "stopped"}], "machine m1 is stopped, not started"),
        ([{"group": "app"}, {**WORKER, "checks": 1}], "machine m1 passes 0 of 1 health checks"),
        # What no file names, and a hook that does not know groups, are held to the stricter rule.
        (
            [{"group": "app"}, WORKER, {**WORKER, "group": "cron"}],
            "machine m2 has no health check, so its health is unknown",
        ),
        ([{}, {"checks": 0, "passing": 0}], "machine m1 has no health check, so its health is unknown"),
        ([{}], ""),
    ],
)
def test_what_a_machine_must_show_depends_on_its_process_group(machines: list[dict[str, Any]], reason: str) -> None:
    seen = observed(*(machine(f"m{number}", **how) for number, how in enumerate(machines)))

    assert converged(seen, GROUPS) == reason


def test_a_later_release_will_do() -> None:
    assert converged(observed(machine(version=44), version=44), Wanted(NEW_IMAGE, 42)) == ""


def test_without_releases_the_image_decides() -> None:
    assert converged(observed(machine(version=None), version=None), Wanted(NEW_IMAGE, 42)) == ""


def test_containers_need_no_health_check() -> None:
    bare = observed(machine(checks=0, passing=0))

    assert converged(bare, Wanted(NEW_IMAGE, checks_required=False)) == ""


@pytest.mark.parametrize(
    ("tool", "before", "after", "wanted", "kind"),
    [
        # It went as it should.
        (DONE, old(), observed(machine()), Wanted(NEW_IMAGE, 42), "deployed"),
        (DONE, Observation(app="a", exists=False), observed(machine()), Wanted(NEW_IMAGE, 42), "deployed"),
        (DONE, old(), observed(machine()), Wanted("registry.fly.io/auth:deployment-NEW", 42), "deployed"),
        (DONE, old(), observed(machine()), Wanted(), "deployed"),
        # The same image with another configuration.
        (DONE, observed(machine(version=41), version=41), observed(machine()), Wanted(NEW_IMAGE, 42), "deployed"),
        # It ran before.
        (DONE, observed(machine()), observed(machine()), PROMOTED, "unchanged"),
        (Reply(status="unchanged"), observed(machine()), observed(machine()), PROMOTED, "unchanged"),
        # The tool failed after everything was done.
        (FAILED, old(), observed(machine()), PROMOTED, "deployed_with_tool_error"),
        (FAILED, old(), observed(machine()), Wanted(), "deployed_with_tool_error"),
        (Reply(status="retry"), old(), observed(machine()), PROMOTED, "deployed_with_tool_error"),
        # The tool reports success, but has not deployed.
        (DONE, old(), old(), Wanted(NEW_IMAGE, 42), "phantom"),
        (DONE, old(), old(), Wanted(None, 42), "phantom"),
        (Reply(status="unchanged"), old(), old(), PROMOTED, "phantom"),
        (DONE, old(), observed(machine(state="suspended")), Wanted(NEW_IMAGE, 42), "phantom"),
        (DONE, old(), observed(machine(critical=1, passing=0)), Wanted(NEW_IMAGE, 42), "phantom"),
        # … because it returned to the old image, without a word about the wanted version or image.
        (DONE, old(), observed(machine(digest=OLD, version=41)), Wanted(), "phantom"),
        (DONE, old(), observed(machine(digest=OLD, version=42)), Wanted("a/auth:deployment-NEW"), "phantom"),
        # It failed.
        (FAILED, old(), old(), PROMOTED, "failed"),
        (FAILED, old(), observed(machine(critical=1)), PROMOTED, "failed"),
        (FAILED, old(), observed(), PROMOTED, "failed"),
        # … before anything was done: what is wanted ran already, and perhaps not as it is wanted now.
        (FAILED, observed(machine()), observed(machine()), PROMOTED, "failed"),
        # … in its release command: there is a new release, and no machine of it.
        (FAILED, old(), observed(machine(digest=OLD, version=41), version=42), Wanted(), "failed"),
        # Half of it.
        (FAILED, old("m1", "m2"), observed(machine(), machine("m2", OLD, 41)), PROMOTED, "split"),
        (DONE, old("m1", "m2"), observed(machine(), machine("m2", OLD, 41)), Wanted(NEW_IMAGE, 42), "split"),
        (DONE, old("m1", "m2"), observed(machine(), machine("m2", NEW, 41)), Wanted(NEW_IMAGE, 42), "split"),
        (DONE, old("m1", "m2"), observed(machine(), machine("m2", None, 41)), Wanted(NEW_IMAGE, 42), "split"),
    ],
)
def test_the_outcome_follows_from_what_is_observed(
    tool: Reply, before: Observation, after: Observation, wanted: Wanted, kind: Kind
) -> None:
    outcome = classify(tool, before, after, wanted)

    assert outcome.kind == kind, outcome.reason
    assert outcome.good == (kind in ("deployed", "deployed_with_tool_error", "unchanged"))
    assert bool(outcome.reason) == (kind not in ("deployed", "unchanged"))


def test_scaling_by_somebody_else_is_no_deployment() -> None:
    before = observed(machine())
    after = observed(machine(), machine("m2"))

    assert classify(FAILED, before, after, PROMOTED).kind == "failed"


def test_containers_that_were_made_anew_from_the_same_image_are_a_deployment() -> None:
    before = observed(machine("c1", version=None), version=None)
    after = observed(machine("c2", version=None), version=None)

    assert classify(Reply(status="done"), before, after, PROMOTED).kind == "deployed"


def test_a_reason_names_what_the_tool_said_and_what_was_seen() -> None:
    assert classify(FAILED, old(), old(), PROMOTED).reason == (
        "smoke checks failed; machine m1 runs sha256:000000000000, not sha256:111111111111"
    )


@pytest.mark.parametrize(
    ("phase", "asked", "said", "image"),
    [
        ("deploy", {"image": NEW_IMAGE}, "registry.fly.io/a:tag", NEW_IMAGE),
        ("deploy", {"image": "a:tag"}, f"a:tag@{NEW}", f"a:tag@{NEW}"),
        ("deploy", {"image": "a:tag"}, None, "a:tag"),
        ("deploy", {}, "a:deployment-1", "a:deployment-1"),
        ("deploy", {}, None, None),
        ("rollback", {"image": "a:1", "previous": NEW_IMAGE}, None, NEW_IMAGE),
    ],
)
def test_what_is_wanted_is_what_was_asked_for_or_what_the_tool_made_of_it(
    phase: str, asked: dict[str, str], said: str | None, image: str | None
) -> None:
    wanted = Wanted.of(a_request(phase, **asked), replace(DONE, image=said))

    assert (wanted.image, wanted.version) == (image, 42)


@pytest.mark.parametrize(
    ("reference", "digest", "name"),
    [
        ("auth", None, ("auth", "latest")),
        ("registry.fly.io/auth:v1", None, ("auth", "v1")),
        (f"localhost:5000/gaia/auth@{NEW}", NEW, ("auth", "latest")),
        (f"localhost:5000/gaia/auth:v1@{NEW}", NEW, ("auth", "v1")),
    ],
)
def test_references_have_a_name_a_tag_and_perhaps_a_digest(
    reference: str, digest: str | None, name: tuple[str, str]
) -> None:
    assert (digest_of(reference), name_and_tag(reference)) == (digest, name)
