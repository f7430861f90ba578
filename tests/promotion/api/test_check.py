"""Comparison of two snapshots: only compared documents count as proof."""

from __future__ import annotations

from datetime import date

import pytest

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import Platform, Service
from pytest_gaia.errors import ConfigError
from pytest_gaia.observation.documents import Fetched, Snapshot, fetch
from pytest_gaia.promotion.promote.checks import ApiCheck, compare, undecided
from tests.cli.documents import document
from tests.plugin.conftest import ScriptedServer, server

__all__ = ["server"]

LESS, MORE = document("/a"), document("/a", "/b")
OFF = Fetched("auth", problem="connection refused")
NONE = Fetched("auth", problem="GET /openapi.json returned 404", published=False)


def check(before: Snapshot, after: Snapshot) -> ApiCheck:
    return compare(before, after, date(2026, 11, 30))


def side(**documents: object) -> Snapshot:
    return {name: each if isinstance(each, Fetched) else Fetched(name, each) for name, each in documents.items()}  # type: ignore[arg-type]  # documents are dictionaries


@pytest.mark.parametrize(
    ("before", "after", "status", "code"),
    [
        (side(gateway=LESS), side(gateway=LESS), "proved", 0),
        (side(gateway=LESS), side(gateway=MORE, auth=LESS), "proved", 0),
        (side(gateway=MORE), side(gateway=LESS), "failed", 1),
        (side(gateway=LESS, auth=NONE), side(gateway=LESS, auth=OFF), "proved", 0),
        (side(gateway=LESS, auth=OFF), side(gateway=LESS, auth=LESS), "inconclusive", 11),
        (side(gateway=LESS, auth=LESS), side(gateway=LESS), "inconclusive", 11),
        (side(gateway=LESS, auth=LESS), side(gateway=LESS, auth=OFF), "inconclusive", 11),
        (side(gateway=LESS, auth=LESS), side(gateway=LESS, auth=NONE), "inconclusive", 11),
        (side(gateway=MORE, auth=OFF), side(gateway=LESS), "failed", 1),
        (side(auth=NONE), side(gateway=LESS, auth=LESS), "inconclusive", 11),
        ({}, side(gateway=LESS), "inconclusive", 11),
        (side(gateway=LESS), side(gateway={"openapi": "3.0", "paths": {"/a": 7}}), "inconclusive", 11),
        (side(gateway=LESS), side(gateway={"swagger": "2.0"}), "inconclusive", 11),
        (side(gateway=LESS), side(gateway=LESS | {"openapi": "3.2.0"}), "inconclusive", 11),
        (side(gateway=LESS), side(gateway=LESS | {"webhooks": {"new": {}}}), "inconclusive", 11),
        (side(gateway=MORE), side(gateway=LESS | {"webhooks": {"new": {}}}), "failed", 1),
    ],
)
def test_what_was_not_compared_proves_nothing(before: Snapshot, after: Snapshot, status: str, code: int) -> None:
    found = check(before, after)

    assert (found.status, found.exit_code) == (status, code)
    assert found.reason


def test_the_findings_hold_what_breaks_and_what_was_compared() -> None:
    found = check(side(gateway=MORE, auth=OFF), side(gateway=LESS, auth=LESS))

    breaking, unclear, compared = found.findings
    assert breaking == "breaking: gateway GET /b is gone"
    assert unclear == "auth: the older document is missing: connection refused"
    assert compared.startswith("compared: gateway sha256:")


def test_operations_that_are_gone_together_count_once_in_the_reason() -> None:
    old = document("/v1/a", "/v1/b", "/v1/c", "/d", "/e")

    found = check(side(gateway=old), side(gateway=document("/e")))

    assert found.reason == "breaks clients: gateway /v1/* (3 operations) is gone and 1 more"
    assert [each.row[2] for each in found.changes] == [*["/v1/* (3 operations)"] * 3, "GET /d"]
    # The ledger names each of them.
    assert [each for each in found.findings if each.startswith("breaking")] == [
        f"breaking: gateway GET {path} is gone" for path in ("/v1/a", "/v1/b", "/v1/c", "/d")
    ]


def test_a_version_that_is_not_known_is_said_with_its_side() -> None:
    found = check(side(gateway=LESS), side(gateway=LESS | {"openapi": "3.2.0"}))

    assert found.reason.startswith("gateway: cannot be compared: the newer document is OpenAPI 3.2.0; only 3.0 and 3.1")


def test_what_cannot_be_asked_is_undecided() -> None:
    assert (undecided("no service there").status, undecided("no service there").findings) == (
        "inconclusive",
        ("no service there",),
    )


def test_each_service_has_a_document_of_its_own(server: ScriptedServer) -> None:
    described = {
        "orders": Service("orders", openapi="/v2/openapi.json"),
        "billing": Service("billing", openapi=None),
        "web": Service("web", openapi="docs/web.json"),
        "bank": Service("bank", external=True),
        "away": Service("away"),
        "db": Service("db", kind="postgres"),
    }
    urls = dict.fromkeys(("orders", "billing", "web", "bank"), server.url)
    server.answers["/v2/openapi.json"] = [(200, LESS)]

    found = fetch(Environment("qa", platform=Platform(described, "shop", "orders"), urls=urls))

    assert found == {
        "orders": Fetched("orders", LESS),
        "billing": Fetched("billing", problem="openapi = false", published=False),
        # The file is the same for every environment, so it shows nothing about one of them.
        "web": Fetched("web", problem="docs/web.json is a file of the project, and does not show what runs there"),
    }
    assert server.seen == ["GET /v2/openapi.json"]
    assert check(found, found).status == "inconclusive"


def test_without_a_url_there_is_no_document() -> None:
    shop = Platform({"orders": Service("orders", variable="ORDERS")}, "shop", "orders")

    with pytest.raises(ConfigError, match=r"qa: no service has a URL .* or GAIA_ORDERS_URL\."):
        fetch(Environment("qa", platform=shop))
