"""One project on a real engine or on the fake of ``ci/fakes``, so that both can be compared."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tests.docker.engine import Ran

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.engine import Project
    from tests.fake_tools import FakeTools


class Place(Protocol):
    """A folder with a Compose project, and the ``docker`` that runs it."""

    @property
    def folder(self) -> Path:
        """The folder."""

    def docker(self, *words: str) -> Ran:
        """Run ``docker`` in the folder."""

    @property
    def name(self) -> str:
        """The name of the project."""

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which this process runs the same ``docker``."""


class OnFake(NamedTuple):
    """A project on the fake."""

    folder: Path
    tools: FakeTools

    @property
    def name(self) -> str:
        """The name of the project: that of the folder."""
        return self.folder.name

    @property
    def variables(self) -> dict[str, str]:
        """None: the fake is the first ``docker`` on the path."""
        return {}

    def docker(self, *words: str) -> Ran:
        """Run ``docker`` in the folder."""
        done = self.tools.run("docker", *words, folder=self.folder)
        return Ran(done.returncode, done.stdout, done.stderr)


class State(NamedTuple):
    """What ``docker inspect`` prints of a container, without ids and times."""

    status: str
    code: int = 0
    health: str = ""
    memory: bool = False
    """whether it ran out of memory"""
    restarted: bool = False
    error: str = ""
    began: bool = True
    ended: bool = False


def states(place: Place | Project) -> dict[str, State]:
    """Return service → state of its only container."""
    labels = ("project=" + place.name, "oneoff=False")
    filters = [f"--filter=label=com.docker.compose.{each}" for each in labels]
    listed = place.docker("ps", "--all", "--quiet", "--no-trunc", *filters)
    assert listed.code == 0, listed.err
    inspected = place.docker("container", "inspect", *listed.out.split()) if listed.out else Ran(0, "[]", "")
    return {_labels(each)["service"]: _state(each) for each in json.loads(inspected.out)}


def _labels(container: dict[str, Any]) -> dict[str, str]:
    start = "com.docker.compose."
    return {key.removeprefix(start): value for key, value in container["Config"]["Labels"].items()}


def _state(container: dict[str, Any]) -> State:
    state = container["State"]
    assert (state["Paused"], state["Restarting"]) == (state["Status"] == "paused", state["Status"] == "restarting")
    return State(
        state["Status"],
        code=state["ExitCode"],
        health=state.get("Health", {}).get("Status", ""),
        memory=state["OOMKilled"],
        restarted=container["RestartCount"] > 0,
        error=_sentence(state["Error"]),
        began=not state["StartedAt"].startswith("0001"),
        ended=not state["FinishedAt"].startswith("0001"),
    )


def _sentence(text: str) -> str:
    return plain(text).partition(": unknown")[0]


def plain(text: str) -> str:
    """Return a message without ids, and with P for the name of a project."""
    return re.sub(r"\bp[0-9a-f]{10}\b", "P", re.sub(r"\b[0-9a-f]{64}\b", "ID", text))
