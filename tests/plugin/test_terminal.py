"""What people see of a run: with a terminal and without, at any width, as much as they ask for."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOML = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.small]
[env.small.tolerance]
max_expectation_age_days = 100000
"""
EXPECTATION = """
reason = "the route is shadowed by another one, which takes everything that looks like a model for its own"
issue = "GAIA-1"
owner = "@models"
created = 2026-11-01
expires = 2099-01-01
environments = ["small"]
tests = ["suites/models/test_models.py::test_{name}"]
expect = "fail"
match = {{ status = 404 }}
"""
CHECKS = """
import pytest

def test_passes(): pass

async def test_shadowed(gateway):
    (await gateway.get("/shadowed")).expect(200)

async def test_healed(gateway):
    (await gateway.get("/health")).expect(200)

async def test_asks_twice(gateway):
    await gateway.get("/health")
    response = await gateway.get("/broken", params={"token": "sesame-open"})
    response.expect(
        200,
    )

def test_compares():
    assert {"a": 1} == {"a": 2}

@pytest.mark.gaia(requires=["nats"])
def test_event(): raise AssertionError("must not run")
"""
BROKEN = r"suites/models/test_models\.py::test_asks_twice"


@pytest.fixture(params=[(), with_workers("-n", "1")], ids=["one", "workers"])
def workers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    arguments: tuple[str, ...] = request.param
    return arguments


@pytest.fixture
def models(project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite in which a test passes, and others fail in every way."""
    project.makefile(".toml", gaia=TOML)
    add_suite(project, "models", CHECKS)
    add_suite(project, "health", "def test_fine(): pass\n")
    expectations = project.path / "suites" / "expectations"
    expectations.mkdir()
    (expectations / "models-shadowed.toml").write_text(EXPECTATION.format(name="shadowed"))
    (expectations / "models-healed.toml").write_text(EXPECTATION.format(name="healed"))
    server.answers["/broken?token=sesame-open"] = [(500, {"detail": "broken"})]
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return project


@pytest.fixture
def shown(models: pytest.Pytester, server: ScriptedServer) -> Callable[..., str]:
    """Run the checks without a terminal; give what they wrote."""

    def run(*arguments: str) -> str:
        result = models.runpytest_subprocess("--gaia-env=small", f"--gaia-url=gateway={server.url}", *arguments)
        assert result.ret == 1
        return str(result.stdout)

    return run


def on_a_terminal(folder: Path, columns: int, *arguments: str) -> str:
    """Run pytest on a terminal of its own; give all that it wrote, control characters too."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.environ.pop("COLUMNS", None)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    written = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            # The error of Linux for a closed peer.
            break
        if not chunk:
            break
        written += chunk
    os.close(terminal)
    os.waitpid(process, 0)
    return written.decode()


def test_each_test_has_the_word_of_its_classification_and_its_expectation(
    shown: Callable[..., str], workers: tuple[str, ...]
) -> None:
    text = shown("-v", *workers)

    word = r"([A-Z]+(?: [A-Z]+)*(?: \([\w-]+\))?)"
    backwards = [(name, said) for said, name in re.findall(rf"(?m)^\[gw0\].*\] {word} \S+::(\w+)", text)]
    assert dict(backwards if workers else re.findall(rf"(?m)^\S+::(\w+) {word}", text)) == {
        "test_fine": "PASSED",
        "test_passes": "PASSED",
        "test_shadowed": "EXPECTED FAILURE (models-shadowed)",
        "test_healed": "UNEXPECTED PASS (models-healed)",
        "test_asks_twice": "FAILED",
        "test_compares": "FAILED",
        "test_event": "NOT APPLICABLE",
    }
    assert re.search(r"2 failed, 2 passed, .*1 expected failure", text)
    assert "gaia: selected 7 tests of 2 suites: health 1, models 6" in text
    assert "gaia: suite models is done: 6 tests; " in text
    assert "      suites/models/test_models.py::test_shadowed\n" in text


def test_a_failure_on_the_wire_is_its_line_and_its_exchange(
    shown: Callable[..., str], workers: tuple[str, ...]
) -> None:
    text = shown(*workers)

    failure = text[text.index("_ test_asks_twice _") : text.index("_ test_compares _")]
    assert re.search(
        r">       response\.expect\(\n            200,\n        \)\n"
        r"E   UnexpectedResponse: gateway returned 500, expected 200\n\n"
        r"suites/models/test_models\.py:\d+: UnexpectedResponse\n"
        r"-+ exchange with gateway -+\n"
        r"  GET http://\S+/broken\?token=\S+\n",
        failure,
    )
    assert "< 500 Internal Server Error" in failure
    assert "sesame-open" not in text
    assert re.search(r"-+ other exchanges of the test -+\nGET \S+/health .* → 200", failure)
    assert "pytest_gaia" not in failure
    # Its own page for a comparison: pytest's difference.
    assert "E       AssertionError: assert {'a': 1} == {'a': 2}" in text
    assert re.search(rf"FAILED {BROKEN} - UnexpectedRe", text)


@pytest.mark.parametrize("style", ["--tb=long", "--full-trace", "-vv", "--tb=short", "--tb=native"])
def test_who_asks_for_a_traceback_gets_it(shown: Callable[..., str], style: str) -> None:
    text = shown(style, "-k", "asks_twice or passes")

    assert "exchange with gateway" not in text
    assert "< 500 Internal Server Error" in text
    assert {
        "--tb=long": "gateway = <HttpClient gateway of small>",
        "--full-trace": "pytest_gaia/clients/http/responses.py",
        "-vv": "gateway = <HttpClient gateway of small>",
        "--tb=short": "in test_asks_twice",
        "--tb=native": "Traceback (most recent call last)",
    }[style] in text


def test_a_line_each_is_a_line_each(shown: Callable[..., str]) -> None:
    text = shown("--tb=line", "-k", "asks_twice or passes")

    assert re.search(r"test_models\.py:\d+: UnexpectedResponse: gateway returned 500, expected 200\n", text)
    assert "< 500" not in text


def test_without_a_terminal_it_is_plain_and_fits(shown: Callable[..., str], workers: tuple[str, ...]) -> None:
    text = shown("--tb=no", *workers)

    assert not set(text) & {"\x1b", "\r", "\b"}
    footer = text[text.index("gaia: expected failures") :].splitlines()
    assert max(map(len, footer)) <= 80
    assert [line for line in text.splitlines() if line.startswith("gaia verdict: REJECT on small: 2 failed")]
    assert text.rstrip().splitlines()[-1].endswith("1 not applicable")


def test_quiet_is_one_line(shown: Callable[..., str]) -> None:
    lines = shown("-q", "--tb=no").splitlines()

    assert [line for line in lines if line.startswith("gaia")] == [lines[-1]]
    assert lines[-1] == (
        "gaia verdict: REJECT on small: 2 failed, 2 passed, 1 expected failure, 1 unexpected pass, 1 not applicable"
    )


def test_what_is_asked_for_by_letters_is_named(shown: Callable[..., str]) -> None:
    expected, inapplicable = shown("-rx", "--tb=no"), shown("-rs", "--tb=no")

    named = "\n      suites/models/test_models.py::test_"
    assert (f"{named}shadowed" in expected, f"{named}event" in expected) == (True, False)
    assert (f"{named}shadowed" in inapplicable, f"{named}event" in inapplicable) == (False, True)


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_has_colours_and_no_line_that_is_too_long(
    models: pytest.Pytester, server: ScriptedServer, columns: int
) -> None:
    arguments = ("--gaia-env=small", f"--gaia-url=gateway={server.url}", "--tb=no")
    text = on_a_terminal(models.path, columns, *arguments)

    assert "\x1b[31mgaia verdict: REJECT on small:" in text
    assert "\x1b[33mx" in text
    assert "\x1b[31mX" in text
    assert re.search(r"\x1b\[31m(\x1b\[1m)?1 unexpected pass", text)
    footer = re.sub(r"\x1b\[[0-9;]*m", "", text[text.index("gaia: expected failures") :])
    assert max(len(line) for line in footer.splitlines()) <= columns


def test_no_color_is_plain_on_a_terminal_too(
    models: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    text = on_a_terminal(models.path, 80, "--gaia-env=small", f"--gaia-url=gateway={server.url}", "--tb=no")

    assert "gaia verdict: REJECT on small:" in text
    assert "\x1b" not in text


def test_what_is_waited_for_is_shown_for_a_moment_and_taken_away(
    models: pytest.Pytester, server: ScriptedServer
) -> None:
    server.answers["/health"] = [*((503, {}),) * 3, (200, {"status": "healthy"})]

    text = on_a_terminal(models.path, 80, "--gaia-env=small", f"--gaia-url=gateway={server.url}", "-k", "passes")

    waited = re.findall(r"\r(gaia: readiness of small: waiting for gateway … \d s of [\d.]+ s) *", text)
    assert waited
    assert re.search(r"\r +\r(\x1b\[33m)?gaia: small, version", text)


def test_waiting_is_told_in_lines_where_there_is_no_terminal(shown: Callable[..., str], server: ScriptedServer) -> None:
    server.answers["/health"] = [*((503, {}),) * 7, (200, {"status": "healthy"})]

    text = shown("-k", "passes or compares")

    assert re.search(r"(?m)^gaia: readiness of small: waiting for gateway, at most [\d.]+ s$", text)
    assert re.search(r"(?m)^gaia: readiness of small: took \d+\.\d s$", text)


def test_forced_colours_and_a_terminal_that_is_switched_off(
    models: pytest.Pytester, server: ScriptedServer, shown: Callable[..., str]
) -> None:
    assert "\x1b[31mgaia verdict" in shown("--color=yes", "--tb=no")
    arguments = ("--gaia-env=small", f"--gaia-url=gateway={server.url}", "-p", "no:terminal")
    result = models.runpytest_subprocess(*arguments, "-o", "addopts=-p no:anyio")

    assert result.ret == 1
    assert "Traceback" not in f"{result.stdout}{result.stderr}"
