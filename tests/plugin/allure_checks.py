"""A suite with every outcome, for runs with ``--alluredir``."""

from __future__ import annotations

from tests.plugin.expectations import SHADOWED

KEY = "sk-live-0123456789abcdef"


def expectation(match: str, *tests: str) -> str:
    named = ", ".join(f'"suites/small/test_small.py::test_{test}"' for test in tests)
    return f"{SHADOWED}tests = [{named}]\nmatch = {{ {match} }}\n"


EXPECTATIONS = {
    "shadowed": expectation('message = "as always"', "expected", "expected_and_torn", "expected_part"),
    "missing": expectation("status = 404", "expected_by_status"),
    "fixed": expectation("status = 404", "unexpected"),
    "otherwise": expectation("status = 404", "otherwise"),
}
CHECKS = """
import allure, pytest, subprocess

def test_passes(): pass
def test_fails(): assert 1 == 2, "broken"
def test_breaks(): raise ValueError("broken")
async def test_exchanges(gateway):
    await gateway.get("/api/items?page=2")
    raise AssertionError("broken")
async def test_exchanges_and_passes(gateway): await gateway.get("/health")
def test_expected(): raise AssertionError("as always")
async def test_expected_by_status(gateway): (await gateway.get("/api/items")).expect(200)
@pytest.fixture
def torn():
    yield
    raise RuntimeError("torn")
def test_expected_and_torn(torn): raise AssertionError("as always")
def test_expected_part(subtests):
    with subtests.test("one"): raise AssertionError("as always")
    with subtests.test("two"): pass
def test_unexpected(): pass
def test_otherwise(): assert False, "something else"
@pytest.mark.xfail(reason="not yet")
def test_native(): raise AssertionError("as always")
@pytest.mark.skip(reason="later")
def test_skipped(): pass
@pytest.mark.gaia(requires=["postgres"])
def test_does_not_apply(): pass
@pytest.mark.parametrize("value", [b"one", b"two"])
def test_alike(value): pass
@pytest.mark.parametrize("key", ["sk-live-0123456789abcdef", "sk-live-0123456789abcdef0"])
def test_keys(key): pass
class TestThings:
    def test_in_class(self): pass
@allure.epic("Mine")
@allure.feature("My feature")
@allure.label("env", "mine")
def test_marked(): pass
def test_tells_secrets(capsys):
    allure.dynamic.title("with sk-live-0123456789abcdef")
    allure.dynamic.parameter("given", "sk-live-0123456789abcdef")
    allure.dynamic.description("about sk-live-0123456789abcdef")
    allure.dynamic.link("http://host/?token=sk-live-0123456789abcdef", name="sk-live-0123456789abcdef")
    with allure.step("step sk-live-0123456789abcdef"):
        allure.attach("text sk-live-0123456789abcdef", "attached")
        allure.attach(b"bytes sk-live-0123456789abcdef", "attached")
        allure.attach(b"\\xff\\xfe", "no text")
    open("given.txt", "w").write("file sk-live-0123456789abcdef")
    allure.attach.file("given.txt", "given")
    print("printed sk-live-0123456789abcdef")
    raise AssertionError("raised sk-live-0123456789abcdef")
@pytest.fixture
def leaking():
    raise RuntimeError("fixture sk-live-0123456789abcdef")
def test_leaks_in_a_fixture(leaking): pass
"""
