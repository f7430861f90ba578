"""Old names of keys and values in TOML files."""

from __future__ import annotations

import pytest

from pytest_gaia import wording
from pytest_gaia.config.layers import project_file
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.decoding import OldNames, with_new_names
from pytest_gaia.files.toml import key_lines, parse

OLD = OldNames(
    keys={"env.*.stage": "steps", "env.*.steps.from": "after", "env.*.steps.freeze.why": "reason"},
    values={"env.*.kind": {"open": "advisory"}, "tags": {"a": "b"}},
)
TEXT = """\
tags = ["a", "c"]
[env.dev]
kind = "open"
[env.dev.stage]
from = "local"
[[env.dev.stage.freeze]]
why = "holidays"
"""


@pytest.fixture(autouse=True)
def _no_notice_printed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "_printed", set())
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_old_keys_and_values_become_new_ones_with_one_notice_each(capsys: pytest.CaptureFixture[str]) -> None:
    document, lines = with_new_names(parse(TEXT, "x.toml"), key_lines(TEXT, "x.toml"), OLD, "x.toml")

    assert document == {
        "tags": ["b", "c"],
        "env": {"dev": {"kind": "advisory", "steps": {"after": "local", "freeze": [{"reason": "holidays"}]}}},
    }
    assert lines["env", "dev", "steps", "after"] == 5
    assert lines["env", "dev", "steps", "freeze", "[0]", "reason"] == 7
    notices = capsys.readouterr().err.splitlines()
    assert [notice.partition(";")[0] for notice in notices] == [
        'gaia: note: x.toml:1: tags = "a" is now tags = "b"',
        'gaia: note: x.toml:3: kind = "open" is now kind = "advisory"',
        "gaia: note: x.toml:4: the key `stage` is now `steps`",
        "gaia: note: x.toml:5: the key `from` is now `after`",
        "gaia: note: x.toml:7: the key `why` is now `reason`",
    ]


def test_a_key_under_both_names_is_an_error() -> None:
    text = '[env.dev.steps]\nafter = "a"\nfrom = "b"\n'

    with pytest.raises(ConfigError, match=r"x.toml:3: env.dev.steps.from: this key is now `after`, which is also set"):
        with_new_names(parse(text, "x.toml"), key_lines(text, "x.toml"), OLD, "x.toml")


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("env.dev.deploy", 'hook = "fly"\nanswers = 5', "consecutive_successes = 5"),
        ("env.dev", "writes = true\nmax_answer_mib = 5", "max_response_mib = 5"),  # glossary: ok
        ("env.dev.timeouts", "ready = 5\nanswer = 5", "response = 5"),
        ("env.dev.stage", 'soak = "1h"\nfrom = "local"', 'promote_from = "local"'),  # glossary: ok
        ("env.dev.stage", 'soak = "1h"\nevidence_age = "1d"', 'max_evidence_age = "1d"'),
        ("env.dev.stage", 'soak = "1h"\nsign = ["qa"]', 'required_approvals = ["qa"]'),
        ("[env.dev.slo]", 'route = "GET /"\nfail_ms = 5\nleast_samples = 9', "min_samples = 9"),
    ],
)
def test_gaia_toml_is_read_with_old_names(table: str, old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = project_file(f"[{table}]\n{old}\n", "gaia.toml")
    notice = capsys.readouterr().err
    kept = old.rpartition("\n")[0]
    after = project_file(f"[{table}]\n{kept}\n{new}\n", "gaia.toml")

    assert (before.environments, before.gaia) == (after.environments, after.gaia)
    assert f"`{new.partition(' ')[0]}`" in notice
