"""A check that runs into a known defect is shown as such; any other failure of the same check stays red."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import ScriptedServer, add_suite

DEFECTS = """
[models-shadowed]
what = "the route is shadowed"
routes = ["/api/v0.2/models/capabilities"]
status = [404]
"""

CHECK = """
import pytest

def test_something_passes(): pass

@pytest.mark.gaia(defect="models-shadowed")
async def test_capabilities(gateway):
    answer = await gateway.get("/api/v0.2/models/capabilities")
    answer.expect(200)
    assert answer.json() == {"capabilities": ["chat"]}
"""


@pytest.fixture
def models(project: pytest.Pytester) -> pytest.Pytester:
    add_suite(project, "models", CHECK)
    (project.path / "suites" / "defects.toml").write_text(DEFECTS)
    return project


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", *arguments)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_the_defect_is_shown_and_does_not_fail_the_run(
    models: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    server.answers["/api/v0.2/models/capabilities"] = [(404, {"detail": "Not Found"})]

    result = run(models, server, "-x", *workers)

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "gaia: known defects met",
            "*1 × models-shadowed: the route is shadowed",
            "gaia verdict: PASS on adhoc: 1 passed, 1 known defect",
        ]
    )


@pytest.mark.parametrize("status", [500, 503, 403])
def test_another_status_is_not_excused(models: pytest.Pytester, server: ScriptedServer, status: int) -> None:
    server.answers["/api/v0.2/models/capabilities"] = [(status, {"detail": "broken"})]

    result = run(models, server)

    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*GET {server.url}/api/v0.2/models/capabilities*{status}*"])


def test_a_wrong_answer_is_not_excused(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers["/api/v0.2/models/capabilities"] = [(200, {"capabilities": []})]

    result = run(models, server)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["gaia verdict: FAIL on adhoc: 1 failed"])


def test_a_defect_that_no_file_lists_is_a_usage_error(models: pytest.Pytester, server: ScriptedServer) -> None:
    (models.path / "suites" / "defects.toml").write_text(DEFECTS.replace("models-shadowed", "models-hidden"))

    result = run(models, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*does not know 'models-shadowed': *models-hidden*"])


def test_where_the_defect_is_mended_the_check_passes(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers["/api/v0.2/models/capabilities"] = [(200, {"capabilities": ["chat"]})]

    run(models, server).assert_outcomes(passed=2)
