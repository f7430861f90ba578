"""The environment is asked once, before the first test, and a run without one ends with one message."""

from __future__ import annotations

import socket

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

CHECKS = "def test_one(): pass\ndef test_two(): pass\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("arguments", [(), with_workers("-n", "2"), ("-q",), ("-p", "no:xdist")], ids=" ".join)
def test_a_dead_gateway_ends_the_run_with_one_message(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    add_suite(project, "health", CHECKS)
    url = f"http://127.0.0.1:{free_port()}"

    result = project.runpytest_subprocess(f"--gaia-url=gateway={url}", *arguments)

    assert result.ret == 12
    text = result.stdout.str()
    assert text.count("is unreachable; no test ran") == 1
    assert f"gateway: {url} (--gaia-url): connection refused" in text
    # Given up long before the deadline.
    assert "tried: GET /health, 3 times in " in text
    assert "fix: check the network" in text
    assert "gaia verdict: INFRA" in text
    assert "passed" not in text
    assert "Traceback" not in text + result.stderr.str()


@pytest.mark.parametrize(
    ("variable", "value", "options", "problem"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", ["--gaia-url=https://gaia.invalid"], "SSL_CERT_FILE: no such file /nowhere/ca.pem"),
        ("HTTP_PROXY", "socks5://127.0.0.1:9", ["--gaia-url=http://gaia.invalid"], "HTTP_PROXY: expected the URL of a proxy"),
        ("GAIA_NATS_URL", "ws://127.0.0.1:9", ["--gaia-env=local"], "GAIA_NATS_URL: ws:// needs the package aiohttp"),
    ],
)  # fmt: skip
def test_what_would_fail_in_every_client_is_a_usage_error_before_the_first_test(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    options: list[str],
    problem: str,
) -> None:
    add_suite(project, "health", CHECKS)
    for name in ("NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)

    result = project.runpytest_subprocess(*options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert text.count(problem) == 1
    assert "passed" not in text
    assert "Traceback" not in text


def test_an_unknown_host_is_named(project: pytest.Pytester) -> None:
    add_suite(project, "health", CHECKS)

    result = project.runpytest_subprocess("--gaia-url=gateway=http://no-such-host.invalid")

    assert result.ret == 12
    result.stdout.fnmatch_lines(["*unknown host no-such-host.invalid*"])


def test_the_deadline_holds_for_a_host_that_never_answers(project: pytest.Pytester) -> None:
    add_suite(project, "health", CHECKS)
    project.makefile(
        ".toml",
        gaia='[gaia]\nsuites = ["suites"]\nplatform = "gaia"\n[env.quiet.timeouts]\nready = 1.0\nconnect = 0.3\n',
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = project.runpytest_subprocess("--gaia-env=quiet", f"--gaia-url=gateway={url}")

    assert result.ret == 12
    result.stdout.fnmatch_lines(["*no response in time*", "*deadline 1 s*"])


def test_a_service_of_any_project_is_probed_as_it_is_described(
    project: pytest.Pytester, server: ScriptedServer
) -> None:
    add_suite(project, "health", CHECKS)
    described = "[services.orders]\nhealth = '/ready'\n[services.orders.healthy]\n[env.shop.timeouts]\nready = 0.5\n"
    project.makefile(
        ".toml", gaia=f"[gaia]\nsuites = ['suites']\n{described}[env.shop.urls]\norders = '{server.url}/v1'\n"
    )

    server.answers["/v1/ready"] = [(200, b"yes")]
    assert project.runpytest_subprocess("--gaia-env=shop").ret == 0
    assert not [each for each in server.seen if "/health" in each]

    server.answers["/v1/ready"] = [(503, b"no")]
    result = project.runpytest_subprocess("--gaia-env=shop")
    assert result.ret == 12
    result.stdout.fnmatch_lines(
        [
            "gaia: environment shop (--gaia-env), services: orders",
            "*GET /v1/ready returned 503*",
            "*tried: GET /v1/ready, *",
        ]
    )
    result.stdout.no_fnmatch_line("*API key*")


def test_a_machine_that_wakes_is_not_a_dead_one(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", CHECKS)
    server.answers["/health"] = [(503, {}), (502, {}), (200, {"status": "healthy", "version": "7.1"})]

    result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: adhoc, version: 7.1", f"*gateway*started*{server.url}*attempt 3*"])


def test_a_200_that_says_degraded_is_shown_as_degraded(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", CHECKS)
    server.answers["/health"] = [(200, {"status": "degraded"})]

    result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}")

    result.stdout.fnmatch_lines(["*gateway*degraded*reports 'degraded'*"])


@pytest.mark.parametrize("arguments", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_the_table_is_shown_once(project: pytest.Pytester, server: ScriptedServer, arguments: tuple[str, ...]) -> None:
    add_suite(project, "health", CHECKS)

    result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", *arguments)

    result.assert_outcomes(passed=2)
    assert result.stdout.str().count("gaia: adhoc, version:") == 1
    result.stdout.fnmatch_lines(["*environment adhoc (--gaia-url)*"])


def test_a_proxy_does_not_capture_loopback(
    project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_suite(project, "health", CHECKS)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    assert project.runpytest_subprocess(f"--gaia-url=gateway={server.url}").ret == 0


@pytest.mark.parametrize("flag", ["--collect-only", "--fixtures", "--markers", "--help"])
def test_looking_asks_nobody(project: pytest.Pytester, server: ScriptedServer, flag: str) -> None:
    add_suite(project, "health", CHECKS)

    result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", flag)

    assert result.ret == 0
    assert server.seen == []


def test_a_test_that_leaves_a_variable_broken_does_not_break_the_end_of_the_run(
    project: pytest.Pytester, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://gaia.invalid/health"] = server.answers["/health"]
    add_suite(project, "health", "import os\ndef test_one(): os.environ['http_proxy'] = 'socks5://127.0.0.1:9'\n")

    result = project.runpytest_subprocess("--gaia-url=http://gaia.invalid")

    assert result.ret == 11
    result.stdout.fnmatch_lines(["gaia verdict: HOLD*final check*http_proxy: expected the URL of a proxy*"])
