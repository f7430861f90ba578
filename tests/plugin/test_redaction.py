"""Masks in test IDs and in pytest's own errors, and the secret scan at the end."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.secrets.masks import ordinal_mask
from pytest_gaia.verdict.evaluated import EXIT_CODES
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

KEY = "Wk81c0-+/9d31f0"
OTHER = "another-one-0815"
FILE = "suites/small/test_small.py"
SUITE = """
import os, pytest

KEY, OTHER = os.environ["THE_SAME"], os.environ["OTHER_TOKEN"]

@pytest.mark.parametrize("value", ["plain", KEY, OTHER, KEY + "!"])
def test_values(value):
    assert value != OTHER

@pytest.mark.parametrize("value", [OTHER], ids=["of " + OTHER])
def test_other(value):
    pass
"""
ONE, TWO = ordinal_mask(1), ordinal_mask(2)
IDS = [
    f"{FILE}::test_values[plain]",
    f"{FILE}::test_values[{ONE}]",
    f"{FILE}::test_values[{TWO}]",
    f"{FILE}::test_values[{ONE}!]",
    f"{FILE}::test_other[of {ONE}]",
]


@pytest.fixture
def small(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("GAIA_SMALL_API_KEY", KEY)
    monkeypatch.setenv("THE_SAME", KEY)
    monkeypatch.setenv("OTHER_TOKEN", OTHER)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    settings = project.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"-p", "no:cacheprovider", ', ""))
    project.makefile(
        ".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\ntopology = "gateway-only"\n'
    )
    folder = project.path / "suites" / "small"
    folder.mkdir()
    (folder / "test_small.py").write_text(SUITE)
    return project


def arguments(server: ScriptedServer, *more: str) -> tuple[str, ...]:
    return ("--gaia-env=small", f"--gaia-url=gateway={server.url}", *more)


def nodes(project: pytest.Pytester) -> dict[str, str]:
    verdict = json.loads((project.path / "verdict.json").read_text())
    return {test["node"]: test["outcome"] for test in verdict["tests"]}


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
def test_ids_are_masked_by_numbers(small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]) -> None:
    result = small.runpytest_subprocess(*arguments(server, "-v", "--gaia-verdict-file=verdict.json", *workers))

    assert nodes(small) == {node: "failed" if TWO in node else "passed" for node in IDS}
    assert KEY not in result.stdout.str()
    assert OTHER not in result.stdout.str()


def test_a_masked_id_selects_its_test(small: pytest.Pytester, server: ScriptedServer) -> None:
    small.runpytest_subprocess(*arguments(server))

    for selection in (IDS[2], "--lf"):
        result = small.runpytest_subprocess(*arguments(server, "-v", selection))
        result.assert_outcomes(failed=1)
        assert IDS[2] in result.stdout.str()


def test_a_plan_that_was_sealed_before_names_the_same_tests(small: pytest.Pytester, server: ScriptedServer) -> None:
    small.runpytest_subprocess(*arguments(server, "--collect-only", "--gaia-plan-out=plan.json"))

    result = small.runpytest_subprocess(*arguments(server, "--gaia-plan=plan.json", "--gaia-verdict-file=verdict.json"))

    assert sorted(nodes(small)) == sorted(IDS)
    assert "did not run" not in result.stdout.str()


def test_a_wrong_id_is_not_shown(small: pytest.Pytester, server: ScriptedServer) -> None:
    result = small.runpytest_subprocess(*arguments(server, f"{FILE}::test_values[{KEY}]"))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: not found: *::test_values*"])
    assert KEY not in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_an_error_inside_of_pytest_shows_none(
    small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    small.makeconftest("import os\ndef pytest_runtest_setup(item): pass\ndef pytest_runtest_logstart(nodeid):\n"
        "    raise RuntimeError('broken by ' + os.environ['OTHER_TOKEN'])")  # fmt: skip

    result = small.runpytest_subprocess(*arguments(server, *workers))

    shown = result.stdout.str() + result.stderr.str()
    assert re.search(r"broken by \*{3}[0-9a-f]{8}\*{3}", shown)
    assert OTHER not in shown


def test_an_expectation_that_quotes_a_masked_message_holds_in_every_run(
    small: pytest.Pytester, server: ScriptedServer
) -> None:
    expectations = small.path / "suites" / "expectations"
    expectations.mkdir()
    (small.path / FILE).write_text("import os\ndef test_a(): raise ValueError('key ' + os.environ['OTHER_TOKEN'])\n")
    first = small.runpytest_subprocess(*arguments(server))
    quoted = re.search(r"key \*{3}[0-9a-f]{8}\*{3}", first.stdout.str())
    assert quoted is not None
    (expectations / "small-key.toml").write_text(
        f'''reason = "known"\nissue = "GAIA-1"\nowner = "me"\nadded = 2026-01-01\nexpires = 2099-01-01
environments = ["small"]\ntests = ["{FILE}"]\nexpect = "fails"\nmatch = {{ kind = "error", message = "{quoted[0]}" }}\n'''
    )
    small.makefile(".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\ntopology = "gateway-only"\n'
        "[env.small.tolerance]\nmax_expectation_age_days = 100000\n")  # fmt: skip

    for _ in range(2):
        result = small.runpytest_subprocess(*arguments(server, "--gaia-verdict-file=verdict.json"))
        assert nodes(small) == {f"{FILE}::test_a": "expected failure"}, result.stdout.str()


BEHIND = """
import os, pathlib
def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        path = pathlib.Path("allure/extra.txt")
        path.parent.mkdir(exist_ok=True)
        path.write_text("fine\\nkey: " + os.environ["OTHER_TOKEN"] + "\\n")
"""


@pytest.mark.parametrize("workers", [(), with_workers("-n1")], ids=["alone", "workers"])
def test_a_secret_that_a_plugin_writes_fails_the_run(
    small: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    small.makeconftest(BEHIND)
    (small.path / FILE).write_text("def test_passes(): pass\n")

    result = small.runpytest_subprocess(
        *arguments(server, "--alluredir=allure", "--gaia-verdict-file=verdict.json", *workers)
    )

    assert result.ret == EXIT_CODES["HOLD"]
    verdict = json.loads((small.path / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["reasons"]) == ("HOLD", ["the run wrote secrets"])
    result.stderr.fnmatch_lines(["gaia: HOLD: the run wrote secrets in 1 place.*", "  allure/extra.txt:2: OTHER_TOKEN"])
    assert re.fullmatch(r"fine\nkey: \*{3}[0-9a-f]{8}\*{3}\n", (small.path / "allure" / "extra.txt").read_text())
    assert OTHER not in result.stderr.str() + result.stdout.str()


def test_what_a_worker_alone_has_learnt_is_looked_for(small: pytest.Pytester, server: ScriptedServer) -> None:
    (small.path / FILE).write_text(
        "import pathlib\ndef test_a(gaia_secret):\n"
        "    made = gaia_secret('-'.join(['made', 'up', '4711']))\n"
        "    with pathlib.Path('all.log').open('a') as log: log.write(made)\n"
    )

    result = small.runpytest_subprocess(*arguments(server, "-n1", "--log-file=all.log"))

    assert result.ret == EXIT_CODES["HOLD"]
    result.stderr.fnmatch_lines(["  all.log:1: a secret of gaia_secret"])
    assert "made-up-4711" not in (small.path / "all.log").read_text()


UNKNOWN = {
    "cookie": "Zq7-first-cookie",
    "sig": "Zq7-sig",
    "code": "Zq7-code",
    "session": "Zq7q3Xv-8LmPz1_TkW9dYb4Rg",
    "auth": "Zq7-auth",
    "token": "ghp_Zq70123456789abcdefghijABCDEFGHIJ01",
    "password": "Zq7@Zq7:Zq7",
    "key": "-----BEGIN PRIVATE KEY-----\n"
    + "Zq7Abc+/" * 8
    + "\n"
    + "Zq7Def+/" * 8
    + "\nZq7=\n-----END PRIVATE KEY-----",
}
UNKNOWN_SUITE = """
import json, pathlib

PLANT = json.loads(pathlib.Path(__file__).with_name("plant.json").read_text())

async def test_wire(gateway):
    parameters = PLANT["sig"], PLANT["code"]
    del parameters
    response = await gateway.get(
        "/sessions/" + PLANT["session"],
        params={"sig": PLANT["sig"], "code": PLANT["code"]},
        headers={"X-Internal-Auth": PLANT["auth"]},
    )
    response.expect(200)

def test_texts():
    print("token is", PLANT["token"])
    raise AssertionError("key: " + PLANT["key"] + " at postgresql://me:" + PLANT["password"] + "@127.0.0.1/d")

def test_repr():
    assert {"key": PLANT["key"], "at": PLANT["token"]} == {}
"""


def test_secrets_that_nobody_knows_are_masked_by_their_names_and_shapes(
    small: pytest.Pytester, server: ScriptedServer
) -> None:
    server.headers["Set-Cookie"] = f"session={UNKNOWN['cookie']}; HttpOnly"
    (small.path / FILE).write_text(UNKNOWN_SUITE)
    (small.path / FILE).with_name("plant.json").write_text(json.dumps(UNKNOWN))
    files = (
        "--junitxml=junit.xml",
        "--gaia-report-log=run.jsonl",
        "--gaia-verdict-file=verdict.json",
        "--alluredir=allure",
        "--log-file=all.log",
    )

    result = small.runpytest_subprocess(
        *arguments(server, "-vv", "-rA", "-olog_cli=true", "--log-level=DEBUG", "--log-file-level=DEBUG", *files)
    )

    result.assert_outcomes(failed=3)
    left = {
        str(path.relative_to(small.path)): path.read_bytes().decode(errors="replace")
        for path in small.path.rglob("*")
        if path.is_file()
    }
    texts = {name: text for name, text in left.items() if path_is_written(name)} | {"the terminal": result.stdout.str()}
    assert {"junit.xml", "run.jsonl", "verdict.json", "all.log"} <= set(texts)
    assert [(name, text[text.index("Zq7") - 60 :][:90]) for name, text in texts.items() if "Zq7" in text] == []
    assert "set-cookie" in texts["all.log"].lower()
    assert "has written secrets" not in result.stderr.str()


def path_is_written(name: str) -> bool:
    """Whether a run has written the file, and not the test."""
    return not name.startswith("suites/")
