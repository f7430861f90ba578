"""The stand-in for ``fly`` deploys, and says what it deployed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools


def test_a_deployment_of_a_known_image_makes_a_release_and_updates_every_machine(fake_tools: FakeTools) -> None:
    fake_tools.app("gaia-auth-staging", machines=2, release=41)
    wanted = "registry.fly.io/gaia-auth-dev@sha256:" + "a" * 64

    done = fake_tools.run(
        "fly",
        "deploy",
        "-a",
        "gaia-auth-staging",
        "--image",
        wanted,
        "--remote-only",
        "--yes",
        FLY_EMIT_RELEASE_JSON="1",
    )

    emitted = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert (done.returncode, emitted["version"], emitted["image_ref"]) == (0, 42, wanted)
    assert fake_tools.digests("gaia-auth-staging") == {"sha256:" + "a" * 64}
    assert [call.argv[0] for call in fake_tools.calls("fly")] == ["deploy"]
