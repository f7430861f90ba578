from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.deploy.contract import Machine, Observation, Reply
from pytest_gaia.deploy.hooks import PluginHook
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.secrets.masks import mask_of
from tests.deploy.executables import a_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.deploy.contract import Request


NO_NUMBER: Any = "seven"


def reply_of(given: object, phase: str = "deploy") -> Reply:
    return PluginHook(lambda _request, _log: given, "pytest_gaia_deploy").run(a_request(phase), lambda _: None)


def raising(error: BaseException) -> PluginHook:
    def call(_request: Request, _log: Callable[[str], None]) -> object:
        raise error

    return PluginHook(call, "pytest_gaia_deploy")


def test_a_reply_and_a_dict_mean_the_same() -> None:
    observation = Observation(app="a", exists=True, machines=(Machine(id="m", state="started"),), taken="now")
    plain = {
        "status": "done",
        "observation": {"app": "a", "exists": True, "machines": [{"id": "m", "state": "started"}], "taken": "now"},
    }

    assert reply_of(plain, "observe") == reply_of(Reply(status="done", observation=observation), "observe")


def test_a_dict_without_a_status_says_that_it_is_done() -> None:
    assert reply_of({}).status == "done"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (True, "bool is neither a Reply nor a dict"),
        ("done", "str is neither a Reply nor a dict"),
        ({"status": "ok"}, "Invalid enum value 'ok'"),
        ({"release": object()}, "release"),
        (Reply(status="done", version=NO_NUMBER), "Expected `int | null`, got `str`"),
        ({1: 2}, "Expected `str`"),
    ],
)
def test_nonsense_is_a_usage_error(given: object, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reply_of(given)

    message = str(caught.value)
    assert message.startswith("pytest_gaia_deploy: invalid reply for `deploy` of gateway in staging: ")
    assert complaint in message
    assert message.endswith("return a Reply, a dict with its fields, or None for requests of other environments.")


def test_a_request_that_nobody_answers_is_a_usage_error() -> None:
    with pytest.raises(ConfigError, match="every implementation returned None for `deploy` of gateway in staging"):
        reply_of(None)


@pytest.mark.parametrize("given", [{}, {"status": "unchanged"}, Reply(status="done")])
def test_to_observe_without_an_observation_proves_nothing(given: object) -> None:
    reply = reply_of(given, "observe")

    assert reply.status == "failed"
    assert "returned no observation" in reply.message


def test_what_it_raises_is_a_deployment_that_failed() -> None:
    reply = raising(ValueError("no quota")).run(a_request(), lambda _: None)

    assert reply.status == "failed"
    assert reply.message.startswith("pytest_gaia_deploy raised ValueError: no quota (at ")
    assert "test_inprocess.py:" in reply.message
    assert reply.tail == ("ValueError: no quota",)


@pytest.mark.parametrize("error", [ConfigError("fix it"), EnvironmentUnavailable("away"), KeyboardInterrupt()])
def test_errors_of_this_package_and_an_interrupt_go_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        raising(error).run(a_request(), lambda _: None)


def test_secrets_are_masked_in_lines_and_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIP_TOKEN", "correct-horse")
    lines: list[str] = []

    def call(_request: Request, log: Callable[[str], None]) -> object:
        log("using correct-horse")
        return {"message": "used correct-horse", "tail": ["correct-horse"]}

    reply = PluginHook(call, "pytest_gaia_deploy").run(a_request(), lines.append)

    mask = mask_of("correct-horse")
    assert (lines, reply.message, reply.tail) == ([f"using {mask}"], f"used {mask}", (mask,))
