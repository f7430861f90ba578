"""Failures are shown with details, but without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from pytest_gaia.run.sandbox import Sandbox
from tests.projects import gaia_platform
from tests.suites.conftest import run_suites

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "s3cret-of-the-user"  # not a real one


@pytest.fixture
def broken() -> Iterator[Sandbox]:
    """A platform that fails every request that contains a key, a token or a password."""
    sandbox = Sandbox.start(gaia_platform())
    try:
        sandbox.ready()
        sandbox.stack("main")
        sandbox.fault("main", "gateway", "reset", route="/api/v0.2/*")
        sandbox.fault("main", "gateway", "status", route="/api/v1/*", status=418)
        sandbox.fault("main", "auth", "reset", route="/auth/*")
        yield sandbox
    finally:
        sandbox.stop()


@pytest.mark.slow("suites")
def test_no_secret_is_shown_even_with_all_arguments_and_locals(broken: Sandbox) -> None:
    stack = broken.stack("main")
    secrets = {
        "GAIA_LOCAL_API_KEY": stack.api_key,
        "GAIA_LOCAL_JWT_SECRET": stack.jwt_secret,
        "GAIA_LOCAL_DATABASE_URL": stack.dsn,
        "GAIA_LOCAL_NATS_URL": stack.nats,
    }
    urls = [f"--gaia-url={service}={url}" for service, url in stack.urls.items()]
    account = ["--gaia-argument=a@example.com", f"--gaia-argument={PASSWORD}"]
    suites = [f"suites/{suite}" for suite in ("auth", "security", "database")]
    result = run_suites(*suites, "-q", "--gaia-env=local", *urls, *account, "--showlocals", variables=secrets)
    assert " failed" in result.stdout, result.stdout
    shown = result.stdout + result.stderr
    passwords = {name: urlsplit(url).password or url for name, url in secrets.items()}
    assert [name for name, value in {**passwords, "password": PASSWORD}.items() if value in shown] == []
