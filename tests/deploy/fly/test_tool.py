from __future__ import annotations

import pytest

from pytest_gaia.deploy.fly.operations import Failure, classify, explain
from pytest_gaia.deploy.process import Finished

LEASE = "failed to get lease on VM 148e21ed: machine ID 148e21ed lease currently held by 9af6@tokens.fly.io, expires at"


def ended(*lines: str, code: int | None = 1, **how: object) -> Finished:
    return Finished(("fly", "status"), code, "", stderr_tail=lines, **how)  # type: ignore[arg-type]  # passed through


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("Error: no access token available. Please login with 'flyctl auth login'", "not-logged-in"),
        ("Error: No access token available. Please login with 'flyctl auth login'", "not-logged-in"),
        ("Error: You must be authenticated to view this.", "unauthorized"),
        ("Error: failed to list VMs: unauthorized (Request ID: 01J-fra)", "unauthorized"),
        ("Error: Not authorized to access this app", "unauthorized"),
        ('Error: Could not find App "gaia-auth-stagign"', "unknown-app"),
        ("Error: failed to list VMs: app not found (Request ID: 01J-fra)", "unknown-app"),
        ("Error: failed to list VMs: rate limit exceeded", "temporary"),
        ("Error: server returned a non-200 status code: 429", "temporary"),
        ("Error: server returned a non-200 status code: 504", "temporary"),
        ("Error: request returned non-2xx status: 503: <html><head>", "temporary"),
        (f"Error: failed to acquire leases: {LEASE} 2026-05-14", "temporary"),
        ('Error: Post "https://api.fly.io/graphql": dial tcp: lookup api.fly.io: no such host', "temporary"),
        ('Error: Get "https://api.machines.dev/v1": net/http: TLS handshake timeout', "temporary"),
        ("Error: failed to obtain lease: failed to get lease on VM 8e61: machine not found", "other"),
        ("Error: release command failed - aborting deployment", "other"),
        ("Error: smoke checks for 148e429f failed: the app appears to be crashing", "other"),
        ("Error: timeout reached waiting for health checks to pass for machine 1: context deadline exceeded", "other"),
        ('Error: could not find image "registry.fly.io/gaia-auth:503"', "other"),
        ("✖ Failed: nothing", "other"),
    ],
)
def test_a_failure_is_known_by_what_flyctl_says(line: str, failure: Failure) -> None:
    assert classify(ended("==> Verifying app config", line)) == failure


def test_what_an_app_logs_is_not_flyctls_error() -> None:
    log = (
        "2026-05-14 app[148e] GET /chat 429 rate limit exceeded",
        "401 unauthorized",
        "Error: release command failed",
    )

    assert classify(ended(*log)) == "other"


def test_the_last_error_counts_with_the_lines_that_follow_it() -> None:
    lines = ("Error: rate limit exceeded, trying again", "Error: could not deploy:", "  unhealthy")

    assert (classify(ended(*lines)), explain(ended(*lines))) == ("other", "could not deploy: unhealthy")


@pytest.mark.parametrize(
    ("finished", "text"),
    [
        (ended("Error: failed to list VMs: unauthorized (Request ID: 01J-fra)"), "failed to list VMs: unauthorized"),
        (ended("going down"), "going down"),
        (ended(code=126), "exit code 126 (deadline exceeded)"),
        (ended(code=127), "exit code 127 (canceled)"),
        (ended(code=3), "exit code 3 (crashed)"),
        (ended(), "exit code 1"),
        (ended("Error: " + "x" * 9999), "x" * 400),
        (ended(code=None, timed_out=True, elapsed=600.2), "time limit exceeded after 600 s"),
    ],
)
def test_a_failure_is_explained_in_one_line(finished: Finished, text: str) -> None:
    assert explain(finished) == text


def test_a_deadline_of_flyctls_own_passes_by_itself() -> None:
    assert classify(ended(code=126)) == "temporary"
