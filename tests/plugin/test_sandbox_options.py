"""Options of the sandbox, and the error if it cannot start."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import add_suite
from tests.slow import with_workers

ASSETS = """
import pytest

@pytest.mark.gaia(requires=["asset"])
async def test_asset(gateway):
    (await gateway.get("/api/v1/assets/00000000-0000-4000-8000-000000000000")).expect(404)

async def test_health(gateway):
    assert (await gateway.get("/health")).expect(200).field("version") == "0.2"
"""


def test_a_service_that_is_left_out_fails_what_needs_it(project: pytest.Pytester) -> None:
    add_suite(project, "assets", ASSETS)

    result = project.runpytest_subprocess("--gaia-sandbox-without=asset")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*asset*stopped*as requested*", "E*gateway returned 503*", "*Service asset unavailable*"]
    )


def test_a_rehearsal_says_so_and_keeps_the_shape(project: pytest.Pytester) -> None:
    add_suite(
        project,
        "health",
        """
def test_shape(gaia_env):
    assert gaia_env.name == "staging"
    assert gaia_env.simulated
    assert not gaia_env.has("nats")
    assert set(gaia_env.urls) == {"gateway"}
    assert gaia_env.urls["gateway"].startswith("http://127.0.0.1:")
""",
    )

    result = project.runpytest_subprocess("--gaia-env=staging", "--gaia-simulate")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "gaia: environment staging (SIMULATED on the sandbox)*",
            "gaia verdict: HOLD on staging (SIMULATED on the sandbox): only 1 test ran; at least 50 required*",
        ]
    )


def test_an_unknown_service_is_a_usage_error(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--gaia-sandbox-without=assets")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown service 'assets'*did you mean asset*"])


NEWEST = """
import pytest

@pytest.mark.gaia(requires=["kb"])
async def test_search(kb):
    (await kb.post("/search", json={"message": "Mu"})).expect(200)

@pytest.mark.gaia(requires=["web"])
async def test_page(web):
    (await web.get("/")).expect(200)

@pytest.mark.gaia(requires=["chat"])
async def test_conversations(chat, gateway):
    (await chat.get("/conversations")).expect(200)
    (await gateway.get("/api/v0.3/conversations")).expect(200)
"""


@pytest.mark.parametrize("arguments", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_the_api_of_the_newest_release(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    add_suite(project, "newest", NEWEST)

    result = project.runpytest_subprocess("--gaia-sandbox-api=next", *arguments)

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["gaia: the sandbox offers the API next of the Gaia Platform"])


def test_the_api_of_the_newest_release_has_the_services_of_the_simulated_environment(project: pytest.Pytester) -> None:
    add_suite(project, "newest", NEWEST)

    result = project.runpytest_subprocess("--gaia-sandbox-api=next", "--gaia-env=staging", "--gaia-simulate")

    assert result.parseoutcomes() == {"not": 3}
    result.stdout.fnmatch_lines(["*staging (SIMULATED on the sandbox) has no kb service*"])


def test_the_current_api_has_no_service_of_the_newest_release(project: pytest.Pytester) -> None:
    add_suite(project, "newest", NEWEST)

    result = project.runpytest_subprocess()

    assert result.parseoutcomes() == {"not": 3}
    result.stdout.fnmatch_lines(["*the sandbox does not run kb with api current; use --gaia-sandbox-api=next*"])


def test_an_unknown_api_is_a_usage_error(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--gaia-sandbox-api=newest")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--gaia-sandbox-api: unknown API 'newest'; *current, next.*"])


@pytest.mark.parametrize("arguments", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_a_sandbox_that_cannot_start_ends_the_run_with_one_message(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    add_suite(project, "assets", ASSETS)
    monkeypatch.setenv("GAIA_PG_BIN", str(project.path))

    result = project.runpytest_subprocess(*arguments)

    assert result.ret == 12
    text = result.stdout.str()
    assert text.count("the sandbox did not start; no test ran") == 1
    assert "GAIA_PG_BIN" in text
    assert "Traceback" not in text
    assert "gaia verdict: INFRA" in text


def test_an_unknown_environment_gets_the_nearest_name(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--gaia-env=stagign")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *did you mean staging*"])
    assert "Traceback" not in result.stderr.str()


def test_another_environments_host_is_refused_before_the_first_request(project: pytest.Pytester) -> None:
    add_suite(project, "assets", ASSETS)

    result = project.runpytest_subprocess(
        "--gaia-env=staging", "--gaia-url=gateway=https://gaia-gateway-production.fly.dev"
    )

    assert result.ret == 12
    assert "production" in result.stderr.str()


def test_an_environment_that_names_a_suite_which_is_not_there_is_a_usage_error(project: pytest.Pytester) -> None:
    add_suite(project, "health", "def test_one(): pass\n")
    project.makefile(
        ".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.staging]\nsuites = ["helth"]\n'
    )

    result = project.runpytest_subprocess("--gaia-env=staging", "--gaia-simulate")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: gaia.toml:5: env.staging.suites: unknown suite 'helth'; did you mean health? *"]
    )


def test_a_project_file_that_is_a_folder_is_a_usage_error(project: pytest.Pytester) -> None:
    add_suite(project, "health", "def test_one(): pass\n")
    (project.path / "gaia.toml").unlink()
    (project.path / "gaia.toml").mkdir()

    result = project.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: gaia.toml: cannot be read: Is a directory."])
