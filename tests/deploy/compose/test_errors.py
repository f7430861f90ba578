from __future__ import annotations

import pytest

from pytest_gaia.deploy.compose.tool import is_temporary, usage_error_in


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "start"),
        ("permission denied while trying to connect to the Docker daemon socket", "group docker"),
        ("docker: 'compose' is not a docker command.\nSee 'docker --help'", "compose plugin"),
        ("unknown shorthand flag: 'f' in -f", "compose plugin"),
        ("unknown flag: --file", "compose plugin"),
        ("no such service: gatway", "not in the compose file"),
        ("no configuration file provided: not found", "is missing"),
        ("open /srv/docker-compose.yml: no such file or directory", "is missing"),
        ("yaml: line 3: mapping values are not allowed in this context", "malformed"),
        ("validating /srv/compose.yaml: services.gateway additional properties 'imge' not allowed", "malformed"),
        ('service "gateway" refers to undefined network gaia: invalid compose project', "malformed"),
        ("required variable KEY is missing a value: set it", "not set"),
        ("Error response from daemon: pull access denied for gaia/gateway", "docker login"),
        ("Error response from daemon: manifest for gaia/gateway:9 not found: manifest unknown", "does not exist"),
        ("unauthorized: authentication required", "login"),
    ],
)
def test_what_only_the_user_can_fix(said: str, meaning: str) -> None:
    assert meaning in usage_error_in(said)


@pytest.mark.parametrize(
    "said",
    [
        "toomanyrequests: You have reached your pull rate limit.",
        "received unexpected HTTP status: 503 Service Unavailable",
        "unexpected status code 502 Bad Gateway",
        "net/http: TLS handshake timeout",
        "dial tcp: lookup registry-1.docker.io: no such host",
        "dial tcp 10.0.0.1:443: i/o timeout",
        "read: connection reset by peer",
        'error during connect: Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.51/containers/create": EOF',
    ],
)
def test_what_may_go_away_by_itself(said: str) -> None:
    assert is_temporary(said)
    assert not usage_error_in(said)


@pytest.mark.parametrize(
    "said",
    [
        "container gaia-gateway-1 is unhealthy",
        "container gaia-gateway-1 exited (1)",
        'failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2',
        'exec: "run": stat run: no such file or directory: unknown',
        "driver failed programming external connectivity: Bind for 0.0.0.0:8666 failed: port is already allocated",
    ],
)
def test_what_is_a_deployment_that_failed(said: str) -> None:
    assert not usage_error_in(said)
    assert not is_temporary(said)
