"""Situations of a Compose project: the same on a real engine and on the fake that everyday tests use."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from pytest_gaia.deploy.compose.hook import ComposeHook
from pytest_gaia.deploy.states import condition
from tests.deploy.executables import a_request
from tests.docker.places import OnFake, Place, State, plain, states

CHECK = "healthcheck: {test: [CMD, 'true'], interval: 1s, retries: 1}"
FAILING = "healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 1}"


def chat(command: str = "sleep 1000", *keys: str) -> str:
    """Return a compose file with the service chat."""
    return "services:\n" + service("chat", command, *keys)


def service(name: str, command: str = "sleep 1000", *keys: str) -> str:
    """Return a service of the image ``tiny``."""
    return "".join(
        f"  {line}\n" for line in (f"{name}:", "  image: tiny", f"  command: {command}", *(f"  {key}" for key in keys))
    )


RUNNING = State("running")
HEALTHY = State("running", health="healthy")
CREATED = State("created", began=False)
PORT = "ports: ['127.0.0.1:18000:8000']"
ALLOCATED = "Bind for 127.0.0.1:18000 failed: port is already allocated"
NOT_THERE = 'exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory'
MIGRATED = "depends_on: {migrate: {condition: service_completed_successfully}}"
WELL = "depends_on: {auth: {condition: service_healthy}}"
LATEST = 60
"""seconds after which the engine has restarted a container, and noticed its end"""

UP = "compose up --detach --wait --wait-timeout 60"


class Situation(NamedTuple):
    """A compose file, commands, and what is then true."""

    file: str
    states: dict[str, State]
    code: int = 0
    """exit code of the last command"""
    said: str = ""
    """part of its error message"""
    commands: tuple[str, ...] = (UP,)


def after(*commands: str) -> tuple[str, ...]:
    """Return commands after ``up``."""
    return (UP, *commands)


SITUATIONS = {
    "running": Situation(chat(), {"chat": RUNNING}),
    "healthy": Situation(chat("sleep 1000", CHECK), {"chat": HEALTHY}),
    "unhealthy": Situation(
        chat("sleep 1000", FAILING),
        {"chat": State("running", health="unhealthy")},
        1,
        "container P-chat-1 is unhealthy",
    ),
    "starting": Situation(
        chat("sleep 1000", FAILING.replace("retries: 1", "start_period: 600s")),
        {"chat": State("running", health="starting")},
        1,
        "application not healthy after 3s",
        (UP.replace("60", "3"),),
    ),
    "paused": Situation(chat(), {"chat": State("paused")}, commands=after("compose pause chat")),
    "paused, up": Situation(
        chat(),
        {"chat": State("paused")},
        1,
        "cannot start a paused container, try unpause instead",
        after("compose pause chat", UP),
    ),
    "unpaused": Situation(chat(), {"chat": RUNNING}, commands=after("compose pause chat", "compose unpause chat")),
    "stopped": Situation(chat(), {"chat": State("exited", 137, ended=True)}, commands=after("compose stop -t 0 chat")),
    "stopped, with a check": Situation(
        chat("sleep 1000", CHECK),
        {"chat": State("exited", 137, "unhealthy", ended=True)},
        commands=after("compose stop -t 0 chat"),
    ),
    "killed": Situation(chat(), {"chat": State("exited", 137, ended=True)}, commands=after("compose kill chat")),
    "started again": Situation(chat(), {"chat": State("running", ended=True)}, commands=after("compose kill chat", UP)),
    "down": Situation(chat(), {}, commands=after("compose down -t 0")),
    "restart loop": Situation(
        chat('sh -c "exit 3"', "restart: always"),
        {"chat": State("restarting", 3, restarted=True, ended=True)},
        commands=("compose up --detach",),
    ),
    "restarted twice": Situation(
        chat('sh -c "exit 3"', "restart: on-failure:2"),
        {"chat": State("exited", 3, restarted=True, ended=True)},
        commands=("compose up --detach",),
    ),
    "ended with 0": Situation(
        chat("'true'"), {"chat": State("exited", ended=True)}, 1, "container P-chat-1 exited (0)"
    ),
    "crashed": Situation(chat("'false'"), {"chat": State("exited", 1, ended=True)}, 1, "container P-chat-1 exited (1)"),
    "wrong command of a shell": Situation(
        chat('sh -c "exit 127"'), {"chat": State("exited", 127, ended=True)}, 1, "container P-chat-1 exited (127)"
    ),
    "wrong command": Situation(
        chat("/bin/nosuch"),
        {
            "chat": State(
                "created",
                127,
                error="failed to create shim task: OCI runtime create failed: runc create failed: "
                f"unable to start container process: {NOT_THERE}",
                began=False,
            )
        },
        1,
        f"{NOT_THERE}: unknown",
    ),
    "out of memory": Situation(
        chat('sh -c "sleep 0.3; tail /dev/zero"', "mem_limit: 8m"),
        {"chat": State("exited", 137, memory=True, ended=True)},
        commands=("compose up --detach",),
    ),
    "port in use": Situation(
        chat("sleep 1000", PORT) + service("other", "sleep 1000", PORT, "depends_on: [chat]"),
        {
            "chat": RUNNING,
            "other": State(
                "created",
                128,
                error=f"driver failed programming external connectivity on endpoint P-other-1 (ID): {ALLOCATED}",
                began=False,
            ),
        },
        1,
        ALLOCATED,
    ),
    "no image": Situation(
        chat("sleep 1000", "pull_policy: never").replace("tiny", "nosuch:1"), {}, 1, "No such image: nosuch:1"
    ),
    "a one-shot before": Situation(
        chat("sleep 1000", MIGRATED) + service("migrate", "'true'"),
        {"chat": RUNNING, "migrate": State("exited", ended=True)},
    ),
    "a failed one-shot before": Situation(
        chat("sleep 1000", MIGRATED) + service("migrate", 'sh -c "exit 2"'),
        {"chat": CREATED, "migrate": State("exited", 2, ended=True)},
        1,
        'service "migrate" didn\'t complete successfully: exit 2',
    ),
    "an unhealthy dependency": Situation(
        chat("sleep 1000", WELL) + service("auth", "sleep 1000", FAILING),
        {"chat": CREATED, "auth": State("running", health="unhealthy")},
        1,
        "dependency failed to start: container P-auth-1 is unhealthy",
    ),
    "without dependencies": Situation(
        chat("sleep 1000", WELL) + service("auth", "sleep 1000", FAILING),
        {"chat": RUNNING},
        commands=(f"{UP} --no-deps -- chat",),
    ),
    "several services": Situation(
        chat("sleep 1000", CHECK) + service("auth") + service("asset"),
        {"chat": HEALTHY, "auth": RUNNING},
        commands=(f"{UP} --no-deps -- chat auth",),
    ),
    "a profile that is off": Situation(chat() + service("tool", "sleep 1000", "profiles: [extra]"), {"chat": RUNNING}),
    "a profile that is on": Situation(
        chat() + service("tool", "sleep 1000", "profiles: [extra]"),
        {"chat": RUNNING, "tool": RUNNING},
        commands=("compose --profile extra up --detach --wait",),
    ),
    "an unknown service": Situation(chat(), {}, 1, "no such service: nosuch", ("compose up --detach nosuch",)),
    "an unknown command": Situation(chat(), {}, 16, 'unknown docker command: "compose nosuch"', ("compose nosuch",)),
}


WORDS = {
    "running": "healthy",
    "healthy": "healthy",
    "unhealthy": "unhealthy",
    "starting": "starting",
    "paused": "paused",
    "unpaused": "healthy",
    "stopped": "stopped",
    "stopped, with a check": "stopped",
    "killed": "killed",
    "started again": "healthy",
    "restart loop": "restarting",
    "restarted twice": "crashed",
    "ended with 0": "stopped",
    "crashed": "crashed",
    "wrong command of a shell": "crashed",
    "wrong command": "created",
    "out of memory": "out of memory",
    "port in use": "healthy",
    "a failed one-shot before": "created",
    "an unhealthy dependency": "created",
}
"""situation → the condition of chat, as the adapter sees it"""


@pytest.mark.parametrize("name", SITUATIONS)
def test_states_of_containers(place: Place, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    situation = SITUATIONS[name]
    (place.folder / "docker-compose.yml").write_text(situation.file)

    for command in situation.commands:
        ran = place.docker(*command.split())

    # Compose ends with 0 if its time is up between two of its own checks.
    if name != "starting" or ran.code:
        assert (ran.code, situation.said in plain(ran.err)) == (situation.code, True), ran.err
    # The engine restarts containers, and notices their ends, some time after the command.
    until = time.monotonic() + (0 if isinstance(place, OnFake) else LATEST)
    word = WORDS.get(name, "")
    while (found := (states(place), word and condition_of(place, "chat", monkeypatch))) != (situation.states, word):
        assert time.monotonic() < until, found
        time.sleep(0.1)


def condition_of(place: Place, app: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the condition of an app's only container, as the adapter observes it."""
    for variable, value in place.variables.items():
        monkeypatch.setenv(variable, value)
    config = str(place.folder / "docker-compose.yml")
    request = a_request("observe", environment="local", service=app, app=app, config=config)
    seen = ComposeHook().run(request, lambda _: None).observation
    assert seen is not None
    (machine,) = seen.machines
    return condition(machine, seen.taken).word
