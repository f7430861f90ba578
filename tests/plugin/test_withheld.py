"""Where writing is forbidden, the variables of the tests hold no credentials, and the clients still have them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.forking.runs import run_pytest
from tests.plugin.concurrency.conftest import counting
from tests.plugin.concurrency.runs import GAIA, Server, arguments, make_project, variables
from tests.slow import with_workers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["counting"]

SERVICES = """
[services.mail]
external = true
auth = { secret = "MAIL_KEY", header = "x-mail" }
[services.db]
kind = "postgres"
"""
GIVEN = {
    "GAIA_API_KEY": "key-of-small-7f3bqxz",
    "GAIA_OTHER_API_KEY": "key-of-other-7f3bqxz",
    "GAIA_SMALL_JWT_SECRET": "secret-of-small-7f3bqxz-secret-of-small",
    "GAIA_MAIL_MAIL_KEY": "key-of-mail-7f3bqxz",
    "GAIA_SMALL_DB_URL": "postgresql://reader:password-7f3bqxz@127.0.0.1:1/db",
}
SOURCE = f"""
import os
import subprocess
import sys

import pytest

GIVEN = {GIVEN!r}
SHOW = "import os; print(*os.environ)"

@pytest.mark.parametrize("number", range(4))
async def test_variables(shop, gaia_env, gaia_run, number):
    (await shop.get("/items")).expect(200)
    child = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout.split()
    for name in GIVEN:
        assert (name in os.environ) is (name in child) is gaia_env.writes, name
    assert "GAIA_NOTE" in child
    assert gaia_env.api_key.reveal() == GIVEN["GAIA_API_KEY"]
    assert gaia_env.jwt_secret.reveal() == GIVEN["GAIA_SMALL_JWT_SECRET"]
    assert gaia_env.credentials_of("shop")["x-api-key"].reveal() == GIVEN["GAIA_API_KEY"]
    assert gaia_env.url_of("db") == GIVEN["GAIA_SMALL_DB_URL"]
    assert GIVEN["GAIA_API_KEY"] not in repr(gaia_run)
    print("shown", *gaia_env.urls)
"""


@pytest.mark.parametrize("processes", [(), with_workers("-n2")])
@pytest.mark.parametrize("writes", ["false", "true"])
def test_only_where_writing_is_forbidden_credentials_leave_the_variables(
    tmp_path: Path, counting: Server, processes: tuple[str, ...], writes: str
) -> None:
    gaia = GAIA.replace("writes = true", f"writes = {writes}\nrequired = ['shop']") + SERVICES
    project = make_project(tmp_path, SOURCE, gaia=gaia)
    given = [*arguments(counting.url, 1), "--gaia-report-log=run.jsonl", "-vv", "-rA", *processes]
    done = run_pytest(project, *given, variables=variables() | GIVEN | {"GAIA_NOTE": "stays"})

    assert done.returncode == 0, done.stdout
    assert "shown shop" in done.stdout
    for text in (done.stdout, done.stderr, *(each.read_text() for each in project.glob("*.*") if each.is_file())):
        assert "7f3bqxz" not in text


def test_the_process_has_them_again_after_the_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_API_KEY", GIVEN["GAIA_API_KEY"])
    pytester.makefile(".toml", gaia='[services.shop]\n[env.small]\nurl = "http://127.0.0.1:1"\nrequired = []\n')
    pytester.makepyfile(
        """
        import os

        def test_it(gaia_env):
            os.environ["PASSED"] = str("GAIA_API_KEY" not in os.environ and gaia_env.api_key is not None)
        """
    )
    monkeypatch.setenv("PASSED", "no")

    pytester.runpytest_inprocess("--gaia-env=small")

    assert (os.environ["PASSED"], os.environ["GAIA_API_KEY"]) == ("True", GIVEN["GAIA_API_KEY"])
