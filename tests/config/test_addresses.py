"""Whose a host is: this machine's, that of a private network, or anybody's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.clients.http._transport import Transport
from pytest_gaia.clients.wire import proxy_for
from pytest_gaia.config.addresses import (
    database_url,
    endpoint_of,
    endpoints,
    http_url,
    is_loopback,
    is_private,
    matches,
    nats_url,
    patterns_of,
)
from pytest_gaia.errors import ConfigError
from pytest_gaia.observation.overview import _is_here
from tests.projects import gaia_environment

THIS_MACHINE = (
    "localhost", "LocalHost", "localhost.", "db.localhost", "A.LOCALHOST.", "localhost.localdomain", "ip6-localhost",
    "127.0.0.1", "127.8.9.10", "127.1", "127.0.1", "127.0.0.1.", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1",
    "0.0.0.0", "0", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::FFFF:7f00:1", "[::ffff:127.9.9.9]",
    "::1%lo", "::", "%6cocalhost", "ⓛocalhost", "127。0。0。1",
)  # fmt: skip
PRIVATE = (
    "auth-service", "gaia-db.internal", "Gaia-DB.INTERNAL.", "a.flycast", "printer.local", "10.1.2.3", "0x0a010203",
    "192.168.1.1", "[fd00::1]", "fe80::1", "::ffff:10.0.0.1",
)  # fmt: skip
ANYBODY = (
    "example.com", "localhost.example.com", "localhost.evil", "127.0.0.1.example.com", "127.example.com", "8.8.8.8",
    "notlocalhost.com", "my.internal.example.com", "2606:4700::1111", "[2606:4700::1111]", "::ffff:8.8.8.8",
    "134744072", "a..b", "\udcff.com",
)  # fmt: skip


@pytest.mark.parametrize(
    ("host", "loopback", "private"),
    [
        *((host, True, True) for host in THIS_MACHINE),
        *((host, False, True) for host in PRIVATE),
        *((host, False, False) for host in ANYBODY),
        ("", False, True),
        (None, False, True),
    ],
)
def test_a_host_is_this_machine_private_or_anybodys(host: str | None, loopback: bool, private: bool) -> None:
    assert (is_loopback(host), is_private(host)) == (loopback, private)


@pytest.mark.parametrize(
    ("host", "here"), [("localhost.example.org", False), ("127.0.0.1.nip.io", False), ("127.1", True), ("[::1]", True)]
)
def test_whoever_connects_asks_the_same_question(host: str, here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.org:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    url = f"http://{host}:80"

    assert (proxy_for(url) is None) is here
    assert _is_here(gaia_environment("local", urls={"gateway": url})) is here
    assert (Transport(url)._proxy is None) is here


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://Gateway.Example.org./base", {}, "gateway.example.org:443"),
        ("http://127.0.0.1:8666", {}, "127.0.0.1:8666"),
        ("http://[::1]", {}, "[::1]:80"),
        ("nats://user:p%40ss@broker", {}, "broker:4222"),
        ("tls://t0ken@broker:4223", {}, "broker:4223"),
        ("wss://broker", {}, "broker:443"),
        ("postgresql://gaia:s3cret@db/gaia", {"PGHOST": "other", "PGPORT": "6000"}, "db:6000"),
        ("postgres://gaia:s3cret@a:1,[::2],c/gaia?port=9", {}, "a:1,[::2]:5432,c:5432"),
        ("postgresql:///gaia", {}, "localhost:5432"),
        ("postgresql:///gaia", {"PGHOST": "db.example.org", "PGPORT": "6000"}, "db.example.org:6000"),
        ("postgresql://gaia:s3cret@/gaia?host=a,b:7&port=6", {"PGHOST": "c"}, "a:6,b:7"),
        ("postgresql:///gaia?host=/run/PostgreSQL", {}, "/run/PostgreSQL:5432"),
    ],
)
def test_evidence_names_where_a_client_connects_to_and_no_credentials(
    url: str, environ: dict[str, str], expected: str
) -> None:
    found = ",".join(map(str, endpoints(url, environ)))

    assert found == expected
    assert ",".join(str(endpoint_of(each)) for each in found.split(",")) == expected


@pytest.mark.parametrize("password", ["12/3", "12?3", "12#3"])
def test_half_a_password_is_never_a_port(password: str) -> None:
    for check, scheme in ((database_url, "postgresql"), (nats_url, "nats")):
        with pytest.raises(ConfigError, match="%2F") as error:
            check(f"{scheme}://gaia:{password}@db/gaia", "GAIA_X")
        assert "12" not in str(error.value)


@pytest.mark.parametrize("password", ["Top@Zuq", "Top@Zuq/9xy", "Top/Zuq@9xy", "Top Zuq", "12/Zuq@9xy"])
def test_a_password_that_is_not_encoded_is_refused_with_how_to_encode_it(password: str) -> None:
    for check, scheme in ((database_url, "postgresql"), (nats_url, "nats"), (http_url, "http")):
        with pytest.raises(ConfigError) as error:
            check(f"{scheme}://gaia:{password}@db:5432/gaia", "GAIA_X")
        assert str(error.value).startswith("GAIA_X: ")
        assert [part for part in re.split("[@/ ]", password) if part in str(error.value)] == []
        if scheme == "postgresql":
            assert "%40" in str(error.value)


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:p%40q:r@h/d?application_name=a@b", "postgresql://u@h:5432/d", "postgresql:///d?host=/tmp"]
)
def test_a_dsn_that_is_right_is_taken(dsn: str) -> None:
    assert database_url(dsn, "GAIA_X") == dsn


labels = st.lists(st.sampled_from(["a", "b", "ab", "a-b"]), min_size=1, max_size=4).map(".".join)


@given(labels, st.one_of(labels, labels.map("*.{}".format)))
def test_a_host_matches_exactly_its_patterns(host: str, pattern: str) -> None:
    assert (pattern in patterns_of(host)) == matches(host, (pattern.upper(),))
