"""What fails is shown with everything that helps, and with no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from pytest_gaia.run.stack import Stack
from tests.suites.conftest import run_suites

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "s3cret-of-the-user"  # of nobody


@pytest.fixture
def broken() -> Iterator[Stack]:
    """A platform on which every request that shows a key, a token or a password fails."""
    stack = Stack.start()
    try:
        stack.ready()
        stack.cell("main")
        stack.fault("main", "gateway", "reset", route="/api/v0.2/*")
        stack.fault("main", "gateway", "status", route="/api/v1/*", status=418)
        stack.fault("main", "auth", "reset", route="/auth/*")
        yield stack
    finally:
        stack.stop()


@pytest.mark.slow("suites")
def test_no_secret_is_shown_even_with_all_arguments_and_locals(broken: Stack) -> None:
    cell = broken.cell("main")
    secrets = {
        "GAIA_LOCAL_API_KEY": cell.api_key,
        "GAIA_LOCAL_JWT_SECRET": cell.jwt_secret,
        "GAIA_LOCAL_DATABASE_URL": cell.dsn,
        "GAIA_LOCAL_NATS_URL": cell.nats,
    }
    urls = [f"--gaia-url={service}={url}" for service, url in cell.urls.items()]
    account = ["--gaia-argument=a@example.com", f"--gaia-argument={PASSWORD}"]
    suites = [f"suites/{suite}" for suite in ("auth", "security", "database")]
    result = run_suites(*suites, "-q", "--gaia-env=local", *urls, *account, "--showlocals", variables=secrets)
    assert " failed" in result.stdout, result.stdout
    shown = result.stdout + result.stderr
    passwords = {name: urlsplit(url).password or url for name, url in secrets.items()}
    assert [name for name, value in {**passwords, "password": PASSWORD}.items() if value in shown] == []
