"""``gaia suites``: output, exit codes, and usage errors. ``tests/preflight/test_suites.py`` tests the checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

SETTINGS = '[gaia]\nsuites = ["suites"]\n[services.orders]\n'
FORGOTTEN = "async def test_orders(orders):\n    orders.get('/orders')\n"
UNREAD = "async def test_reload(orders):\n    await orders.post('/reload')\n"
GOOD = "async def test_orders(orders):\n    (await orders.get('/orders')).expect(200)\n"
HINT = "Run `gaia suites check --explain CHECK` to see why a check matters, and how to fix its findings.\n"


@pytest.fixture
def suites(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project's suites: one error in ``orders``, one warning in ``admin``, nothing in ``good``."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    (project / "gaia.toml").write_text(SETTINGS, encoding="utf-8")
    for name, code in {"orders": FORGOTTEN, "admin": UNREAD, "good": GOOD}.items():
        folder = project / "suites" / name
        folder.mkdir(parents=True)
        (folder / f"test_{name}.py").write_text(code, encoding="utf-8")
    return project / "suites"


@pytest.mark.usefixtures("suites")
def test_findings_have_one_line_each_errors_first(gaia: Callable[..., Outcome]) -> None:
    shown = (
        "suites/orders/test_orders.py:2: error: missing-await: orders.get(…) is not awaited\n"
        "suites/admin/test_admin.py:2: warning: unread-response: the response of orders.post(…) is not used\n"
        f"1 error, 1 warning in 3 files.\n{HINT}"
    )
    assert gaia("suites", "check") == (1, shown, "")


@pytest.mark.usefixtures("suites")
def test_a_path_restricts_what_is_reported(gaia: Callable[..., Outcome]) -> None:
    assert gaia("suites", "check", "suites/good") == (0, "No findings in 1 file.\n", "")
    assert gaia("suites", "check", "suites/admin/test_admin.py").code == 0
    assert gaia("suites", "check", "suites/admin/test_admin.py", "--strict").code == 1


@pytest.mark.usefixtures("suites")
def test_documents_have_the_form_of_the_other_checks(gaia: Callable[..., Outcome]) -> None:
    found = json.loads(gaia("suites", "check", "--json").out)
    log = json.loads(gaia("suites", "check", "--format", "sarif").out)["runs"][0]
    annotations = gaia("suites", "check", "--format", "github").out

    assert list(found[0]) == ["check", "severity", "environment", "file", "line", "key", "what", "why", "fix"]
    assert log["tool"]["driver"]["name"] == "gaia suites check"
    assert [each["ruleId"] for each in log["results"]] == [each["check"] for each in found]
    assert "::error file=suites/orders/test_orders.py,line=2,title=gaia missing-await::" in annotations


@pytest.mark.usefixtures("suites")
def test_explain_shows_the_reason_the_fix_and_the_places(gaia: Callable[..., Outcome]) -> None:
    code, out, _ = gaia("suites", "check", "--explain", "missing-await")

    assert code == 0
    assert out.startswith("missing-await (error): A call is not awaited\n\nWithout `await` nothing is sent")
    assert "\nFix: write `await` before the call.\n" in out
    assert "\nsuites/orders/test_orders.py:2: orders.get(…) is not awaited\n" in out
    assert "# gaia: allow missing-await because REASON" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no file or folder 'nowhere'."),
        (["--explain", "missing-awiat"], "--explain: unknown check 'missing-awiat'; did you mean missing-await?"),
        (["--json", "--format", "sarif"], "--json and --format sarif exclude each other; give only one of them."),
        (["suites/broken.py"], "suites/broken.py:2: not valid Python: "),
        (["suites/latin.py"], "suites/latin.py: not UTF-8 (byte 3); save the file as UTF-8."),
        (["suites/zero.py"], "suites/zero.py:1: not valid Python: "),
    ],
)
def test_a_usage_error_exits_4(arguments: list[str], message: str, suites: Path, gaia: Callable[..., Outcome]) -> None:
    contents = {"broken.py": b"x = 1\ndef (:\n", "latin.py": b"x='\xe9'\n", "zero.py": b"x = 1\0\n"}
    if arguments[0].startswith("suites/"):
        name = arguments[0].removeprefix("suites/")
        (suites / name).write_bytes(contents[name])

    code, out, err = gaia("suites", "check", *arguments)

    assert (code, out) == (4, "")
    assert err.startswith(f"gaia: {message}")
    assert err.count("\n") == 1


def test_a_project_without_suites_is_a_usage_error(project: Path, gaia: Callable[..., Outcome]) -> None:
    (project / "gaia.toml").write_text("", encoding="utf-8")

    assert gaia("suites", "check") == (
        4,
        "",
        "gaia: no suites found. Set `suites` in [gaia] of gaia.toml, or name files or folders.\n",
    )
