"""Contract tests: what is sent, what is found, and how it is reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.plugin.conftest import add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

PRODUCT = {
    "type": "object",
    "required": ["sku", "price"],
    "properties": {"sku": {"type": "string"}, "price": {"type": "integer"}},
}


def responds(schema: dict[str, Any], **operation: Any) -> dict[str, Any]:
    """Return an operation whose response with status 200 has ``schema``."""
    content = {"application/json": {"schema": schema}}
    return {"responses": {"200": {"description": "", "content": content}}} | operation


SKU = {"name": "sku", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
AMOUNT = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}}}
SENDS = {"requestBody": {"required": True, "content": {"application/json": {"schema": AMOUNT}}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "orders", "version": "2"},
    "paths": {
        "/products": {"get": responds({"type": "array", "items": PRODUCT})},
        "/products/{sku}": {"get": responds(PRODUCT, parameters=[SKU])},
        "/products/{sku}/confirm": {"get": responds({}, parameters=[SKU])},
        "/quotes": {"post": responds({"type": "object"}, **SENDS)},
        "/orders": {"post": responds({"type": "object"}, **SENDS)},
    },
}
SERVICE = """\
[services.orders]
health = "/ready"
safe = ["POST /quotes"]
unsafe = ["GET /products/{sku}/confirm"]
auth = { header = "X-Token", secret = "TOKEN" }
"""
TEST = """
async def test_contract(gaia_contract):
    await gaia_contract("orders", examples=5)
"""
EXPECTED = """
reason = "the price is text"
issue = "SHOP-7"
owner = "@orders-team"
created = 2026-11-01
expires = 2099-01-01
environments = ["shop"]
tests = ["suites/orders/test_orders.py::test_contract"]
expect = "fail"
match = { status = 200, service = "orders", route = "/products" }
max_failures = 1
"""
TEA = {"sku": "tea", "price": 300}


@pytest.fixture
def orders(project: pytest.Pytester, server: ScriptedServer) -> ScriptedServer:
    """A server that conforms to ``DOCUMENT``, and a project that tests it."""
    project.makefile(
        ".toml", gaia=f'[gaia]\nsuites = ["suites"]\n{SERVICE}[env.shop]\nurls = {{ orders = "{server.url}" }}\n'
    )
    server.answers = {
        "/ready": [(200, {"status": "ok"})],
        "/openapi.json": [(200, DOCUMENT)],
        "/products": [(200, [TEA])],
        "/products/*": [(200, TEA)],
        "/quotes": [(200, {})],
        "/orders": [(200, {})],
    }
    scripted = server.next_answer

    def next_answer(path: str) -> tuple[int, Any]:
        found = urlsplit(path).path
        return scripted("/products/*" if found.startswith("/products/") else found)

    server.next_answer = next_answer  # type: ignore[method-assign]  # a function of this object alone
    return server


def sent(server: ScriptedServer) -> list[str]:
    """Return what the contract test sent."""
    return [each for each in server.seen if not each.endswith(("/ready", "/openapi.json"))]


# A module of the project with constants, which Hypothesis would use in generated values.
CONSTANTS = (
    "WORDS = ['from', 'the', 'project', 'itself', 'and', 'from', 'no', 'document'] + [f'{i}' for i in (71, 72, 73)]"
)


@pytest.mark.parametrize("arguments", [(), with_workers("-n", "2")], ids=" ".join)
def test_each_run_sends_the_same_requests_and_none_that_changes_something(
    project: pytest.Pytester, orders: ScriptedServer, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GAIA_SHOP_TOKEN", "token-of-the-environment")
    project.makepyfile(test_first=TEST.replace("5", "150"))
    result = project.runpytest_subprocess("--gaia-env=shop", "-q", *arguments)
    assert result.ret == 0
    first, orders.seen[:] = sent(orders), []
    project.makepyfile(constants=CONSTANTS, test_second=f"import constants\n{TEST.replace('5', '150')}")

    project.runpytest_subprocess("--gaia-env=shop", "test_second.py", *arguments).assert_outcomes(passed=1)

    assert sorted(first) == sorted(sent(orders))
    assert 250 < len(first) == len(set(first)) + first.count("POST /quotes") - 1
    assert {each.rpartition("/")[0] for each in first} == {"GET ", "GET /products", "POST "}
    assert orders.identities == {None, "token-of-the-environment"}


def test_a_violation_is_found_and_one_operation_can_be_expected_to_fail(
    project: pytest.Pytester, orders: ScriptedServer
) -> None:
    orders.answers["/products"] = [(200, [TEA, {"sku": "mug", "price": "12.50"}])]
    orders.answers["/products/*"] = [(200, {"sku": 1, "price": 2}), (500, {}), (200, TEA)]
    add_suite(project, "orders", f"{TEST}\ndef test_another(): pass\n")
    project.mkdir("suites/expectations")
    (project.path / "suites/expectations/price.toml").write_text(EXPECTED)

    result = project.runpytest_subprocess("--gaia-env=shop", "--gaia-report-log=run.jsonl", "-q")

    assert result.ret == 1
    # Any of the concurrent requests gets the first response, and is reported first.
    for violation in ('body.sku: 1 is not of type "string"', "Server error"):
        result.stdout.fnmatch_lines(
            [
                "*test_contract [[]GET /products/{sku}[]]*",
                ">*await gaia_contract(*",
                f"E   UnexpectedResponse: orders violates its OpenAPI document: {violation}",
                "*GET http://*/products/*",
            ]
        )
    lines = map(json.loads, (project.path / "run.jsonl").read_text().splitlines())
    test = next(each for each in lines if each["line"] == "test")
    failed = [each for each in test["phases"] if "failure" in each and "subtest" in each]
    assert sorted(
        (each["subtest"], *(each["failure"][key] for key in ("kind", "method", "route", "service", "status")))
        for each in failed
    ) == [
        ("GET /products", "http", "GET", "/products", "orders", 200),
        ("GET /products/{sku}", "http", "GET", "/products/{sku}", "orders", 200),
        ("GET /products/{sku}", "http", "GET", "/products/{sku}", "orders", 500),
    ]
    assert {each["route"] for each in test["exchanges"]} == {"/openapi.json", "/products", "/products/{sku}", "/quotes"}

    orders.answers["/products/*"] = [(200, TEA)]
    result = project.runpytest_subprocess("--gaia-env=shop", "-q")
    result.stdout.fnmatch_lines(["gaia verdict: PROMOTE on shop: 1 passed, 1 expected failure"])


WRITES = """
import pytest

@pytest.mark.gaia(writes=MARKED)
async def test_contract(gaia_contract):
    await gaia_contract("orders", writes=True, examples=3)
"""


@pytest.mark.parametrize("permitted", [False, True])
def test_a_write_needs_the_marker_and_an_environment_that_permits_it(
    project: pytest.Pytester, orders: ScriptedServer, permitted: bool
) -> None:
    (project.path / "gaia.toml").write_text((project.path / "gaia.toml").read_text() + "\nwrites = true\n")
    project.makepyfile(WRITES.replace("MARKED", str(permitted)))

    result = project.runpytest_subprocess("--gaia-env=shop")

    assert ("POST /orders" in sent(orders)) is permitted
    assert not any(each.endswith("/confirm") for each in orders.seen)
    assert result.ret == (0 if permitted else 1)
    if not permitted:
        result.stdout.fnmatch_lines(
            [
                "*test_contract [[]POST /orders[]]*",
                "E   WriteRefused: write blocked, nothing was sent: POST /orders to orders.",
            ]
        )
        result.stdout.fnmatch_lines(["gaia verdict: REJECT on shop: 1 failed"])


@pytest.mark.parametrize("permitted", [False, True])
def test_a_generated_request_that_the_guard_refuses_is_not_sent(
    project: pytest.Pytester, orders: ScriptedServer, permitted: bool
) -> None:
    path = project.path / "gaia.toml"
    path.write_text(f"{path.read_text()}\nwrites = true\n".replace("/{sku}/confirm", "/tea"))
    sku = SKU | {"schema": {"enum": ["tea", "coffee"]}}
    document = DOCUMENT | {"paths": {"/products/{sku}": {"get": responds(PRODUCT, parameters=[sku])}}}
    orders.answers["/openapi.json"] = [(200, document)]
    project.makepyfile(WRITES.replace("MARKED", str(permitted)))

    result = project.runpytest_subprocess("--gaia-env=shop")

    assert result.ret == 1
    assert sent(orders) == ["GET /products/coffee"]
    result.stdout.fnmatch_lines(["*test_contract [[]GET /products/{sku}[]]*", "E   WriteRefused: *nothing was sent*"])


SECRET = {"name": "X-Token", "in": "header", "required": True, "schema": {"type": "string", "minLength": 9}}
LANGUAGE = {"name": "X-Language", "in": "header", "required": True, "schema": {"type": "string"}, "example": "de"}
LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer"}, "example": 7}


def test_the_examples_of_the_document_are_sent_first_with_our_credential(
    project: pytest.Pytester, orders: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAIA_SHOP_TOKEN", "token-of-the-environment")
    products = responds({"type": "array"}, parameters=[SECRET, LANGUAGE, LIMIT], security=[{"query": []}])
    schemes = {"query": {"type": "apiKey", "in": "query", "name": "key"}}
    document = DOCUMENT | {"paths": {"/products": {"get": products}}, "components": {"securitySchemes": schemes}}
    (project.path / "orders.yaml").write_text(json.dumps(document))
    gaia = (project.path / "gaia.toml").read_text()
    (project.path / "gaia.toml").write_text(
        gaia.replace("[services.orders]", '[services.orders]\nopenapi = "orders.yaml"')
    )
    project.makepyfile(TEST.replace("5", "1"))

    result = project.runpytest_subprocess("--gaia-env=shop", "-k", "contract")

    assert result.ret == 0
    assert sent(orders) == ["GET /products?limit=7"]
    assert orders.identities == {None, "token-of-the-environment"}
    assert "GET /openapi.json" not in orders.seen


ELSEWHERE = {"paths": {"/products": {"get": responds({"$ref": "http://other.example.com/product.json"})}}}
WRONG = {"paths": {"/products": {"get": responds({"$ref": "#/components/schemas/Product"})}}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"no JSON", "published an invalid OpenAPI document: Expecting value: line 1*"),
        ([], "published an invalid OpenAPI document: it is not an object"),
        ({"swagger": "1.2"}, "published an invalid OpenAPI document: *"),
        (
            DOCUMENT | {"openapi": "4.0.0"},
            "published an invalid OpenAPI document: * Open API 4.0.0, which * not supported",
        ),
        (DOCUMENT | {"paths": {}}, "published an invalid OpenAPI document: it has no operations"),
        (DOCUMENT | {"paths": [1]}, "published an invalid OpenAPI document: *"),
        (
            DOCUMENT | ELSEWHERE,
            "published an invalid OpenAPI document: it refers to http://other.example.com/product.json*",
        ),
    ],
)
def test_a_document_that_cannot_be_used_fails_with_one_message(
    project: pytest.Pytester, orders: ScriptedServer, document: object, message: str
) -> None:
    orders.answers["/openapi.json"] = [(200, document)]
    project.makepyfile(TEST)

    result = project.runpytest_subprocess("--gaia-env=shop")

    assert result.ret == 1
    result.stdout.fnmatch_lines([">*await gaia_contract(*", f"E   UnexpectedResponse: orders {message}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert sent(orders) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('"order"', "gaia_contract: unknown service 'order'; did you mean orders*"),
        ('"store"', "gaia_contract: store has no OpenAPI document (its kind is redis). Set `openapi`*"),
        ('"silent"', "gaia_contract: silent has no OpenAPI document (openapi = false). Set `openapi`*"),
        ('"lost"', "lost.json: the OpenAPI document cannot be read: No such file or directory."),
        ('"orders", examples=0', "gaia_contract: examples is 0, expected a number of requests, at least 1."),
        ('"orders", operations=["GET /product"]', "* matches no operation of orders, which has GET /products, *"),
    ],
)
def test_a_wrong_argument_fails_with_one_message(
    project: pytest.Pytester, orders: ScriptedServer, call: str, message: str
) -> None:
    others = (
        '[services.store]\nkind = "redis"\n[services.silent]\nopenapi = false\n[services.lost]\nopenapi = "lost.json"\n'
    )
    urls = f'[env.shop.urls]\norders = "{orders.url}"\nlost = "{orders.url}"\n'
    project.makefile(".toml", gaia=f'{SERVICE}{others}[env.shop]\nservices = ["orders", "lost"]\n{urls}')
    orders.answers["/health"] = [(200, {"status": "ok"})]
    project.makepyfile(TEST.replace('"orders", examples=5', call))

    result = project.runpytest_subprocess("--gaia-env=shop")

    assert result.ret == 1
    result.stdout.fnmatch_lines([">*await gaia_contract(*", f"E   ConfigError: {message}"])


HIDDEN = "import sys\nsys.modules['schemathesis'] = None"


@pytest.mark.parametrize(
    ("conftest", "gaia", "reason"),
    [
        (HIDDEN, "", "contract tests need the package schemathesis: pip install 'pytest-gaia[[]contract[]]'"),
        (
            "",
            'openapi = "/docs.json"',
            "orders publishes no OpenAPI document in shop: GET /docs.json returned 404. Set *",
        ),
        (
            "",
            'via = "front"',
            "orders has no URL of its own in shop, so its document does not describe its paths there",
        ),
    ],
)
def test_without_the_extra_a_url_or_a_document_the_test_is_not_applicable(
    project: pytest.Pytester, orders: ScriptedServer, conftest: str, gaia: str, reason: str
) -> None:
    name = "front" if "front" in gaia else "orders"
    project.makefile(
        ".toml",
        gaia=f'{SERVICE}{gaia}\n[services.front]\nhealth = "/ready"\n'
        f'[env.shop]\nservices = ["orders", "{name}"]\nurls = {{ {name} = "{orders.url}" }}\n',
    )
    project.makeconftest(conftest)
    project.makepyfile(TEST)

    result = project.runpytest_subprocess("--gaia-env=shop", "-rs")

    result.stdout.fnmatch_lines([f"*1 × {reason}", "gaia verdict: * 1 not applicable"])
    assert set(sent(orders)) <= {"GET /docs.json"}


@pytest.mark.own_interpreter
def test_a_run_without_contract_tests_does_not_import_schemathesis(
    project: pytest.Pytester, orders: ScriptedServer
) -> None:
    project.makeconftest("def pytest_unconfigure():\n    import sys\n    assert 'schemathesis' not in sys.modules")
    project.makepyfile("async def test_one(orders): (await orders.get('/products')).expect(200)")

    assert project.runpytest_subprocess("--gaia-env=shop").ret == 0
