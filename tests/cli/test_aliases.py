"""Old names of commands and options: what replaces them, and the notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia import wording
from pytest_gaia.cli.aliases import RENAMED, current
from pytest_gaia.cli.app import COMMANDS, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cli.conftest import Outcome

    Gaia = Callable[..., Outcome]

RULES = (
    ("policy prune", "expectations unused"),
    ("policy", "expectations"),
    ("gate ENV --bundle RELEASE", "release check RELEASE --env ENV"),
    ("bundle", "release"),
    ("both ENV --quick", "deploy ENV --test=smoke"),
    ("both ENV", "deploy ENV --test"),
    ("monitor ENV --interval=DURATION", "status ENV --watch DURATION"),
    ("monitor ENV", "status ENV --watch=5s"),
    ("promote --plan", "promote --dry-run"),
    ("promote --as TIME", "promote --at TIME"),
)


@pytest.fixture(autouse=True)
def _notices_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "_printed", set())
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def options_with_value(command: Sequence[str]) -> set[str]:
    return {("release", "check"): {"--at"}, ("deploy",): {"-s"}}.get(tuple(command), set())


@pytest.mark.parametrize(
    ("old", "new", "notices"),
    [
        ("env list --json", "env list --json", 0),
        ("envs ls", "env list", 0),
        ("policy list x", "expectations list x", 1),
        ("-q --color never policy prune run", "-q --color never expectations unused run", 1),
        ("bundle create --image a=b", "release create --image a=b", 1),  # glossary: ok
        ("gate production --bundle 3f9 --json", "release check 3f9 --env production --json", 1),
        ("gate --at 2027 --bundle=3f9 production", "release check 3f9 --env production --at 2027", 1),
        ("gate production", "release check --env production", 1),
        ("both dev --quick -s auth", "deploy dev --test=smoke -s auth", 1),
        ("both dev -s", "deploy dev -s --test full", 1),
        ("promote dev --plan --as=now", "promote dev --at now --dry-run", 2),
        ("promote dev --dry-run", "promote dev --dry-run", 0),
        ("promote dev --as 1 --as=2", "promote dev --at 1 --at 2", 1),
        ("monitor dev --interval 1m --for 2h", "status dev --watch 1m --for 2h", 1),
        ("monitor dev --for=2h", "status dev --watch=5s --for=2h", 1),
        ("deploy dev --test smoke", "deploy dev --test smoke", 0),
        ("deploy --test dev", "deploy --test full dev", 0),
        ("status dev --watch 1.5m", "status dev --watch 1.5m", 0),
        ("status --watch -q", "status --watch 5s -q", 0),
    ],
)
def test_an_old_command_line_is_rewritten(capsys: pytest.CaptureFixture[str], old: str, new: str, notices: int) -> None:
    words = current(old.split(), options_with_value, RULES)

    assert sorted(words) == sorted(new.split())
    assert words[:2] == new.split()[:2]
    assert capsys.readouterr().err.count("gaia: note: `gaia ") == notices


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_each_rule_names_a_command_and_options_that_exist(old: str, new: str) -> None:
    words = [word for word in new.split() if not word.isupper()]
    command = load(words[0])
    for word in words[1:]:
        if word.startswith("-"):
            assert word.partition("=")[0] in {
                name for each in command.params for name in (*each.opts, *each.secondary_opts)
            }, new
        elif "commands" in dir(command):
            command = command.commands[word]


def test_no_alias_hides_a_command() -> None:
    assert not {old for old, _ in RENAMED} & set(COMMANDS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gate staging --bundle 3f9a --edge", "release check 3f9a --env staging --pre-deploy"),
        ("checklist --bundle 3f9a", "release check 3f9a"),  # glossary: ok
        ("signoff review --env dev --bundle 3f9a --why x", "release approve 3f9a review --env dev --reason x"),
        ("waive soaked --env dev --bundle 3f9a --why x", "release waive 3f9a soaked --env dev --reason x"),
        ("signoff report --bundle 3f9a --env dev", "release report 3f9a --env dev"),
        ("promote dev --bundle 3f9a --plan", "promote dev 3f9a --dry-run"),
        ("bundle create --from-env dev", "release create --env dev"),  # glossary: ok
        ("ledger show --bundle 3f9a", "ledger list --release 3f9a"),
        ("key create ci --role ci", "key generate ci --role ci"),
    ],
)
def test_old_commands_of_releases_become_new_ones(old: str, new: str) -> None:
    from pytest_gaia.cli.app import split_extra

    assert split_extra(old.split()) == (new.split(), [])
