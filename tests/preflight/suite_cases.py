"""Test files that a check of ``gaia suites check`` reports, and similar ones that it does not."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """The name of a check, code with ``# wrong`` on each line that it reports, and the name of the file."""

    check: str
    code: str
    file: str = "test_orders.py"


def test(check: str, body: str) -> Case:
    """Return a case that is the body of a test of the services ``orders``, ``db`` and ``bus``."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return Case(check, f"{IMPORTS}async def test_it(orders, db, bus, services):\n{lines}")


IMPORTS = "import asyncio, contextlib, os, subprocess\nimport pytest\n"
CONFTEST = "suites/conftest.py"

WRONG = [
    test("missing-await", "orders.get('/x')  # wrong"),
    test("missing-await", "response = orders.get('/x')  # wrong"),
    test("missing-await", "assert orders.get('/x')  # wrong"),
    test("missing-await", "orders.get('/x').expect(200)  # wrong"),
    test("missing-await", "if not orders.get('/x'):  # wrong\n    raise ValueError"),
    test("missing-await", "return orders.get('/x')  # wrong"),
    test("missing-await", "services['orders'].get('/x')  # wrong"),
    test("missing-await", "db.execute('DELETE FROM x')  # wrong"),
    test("missing-await", "bus.publish('x', 1)  # wrong"),
    test("missing-await", "async with bus.subscribe('x') as events:\n    events.expect_none()  # wrong"),
    test("missing-await", "async with orders.stream('/x') as events:\n    events.collect()  # wrong"),
    test("missing-await", "other = orders.anonymous()\nother.get('/x')  # wrong"),
    test("missing-await", "async def ask():\n    return 1\nask()  # wrong"),
    Case("missing-await", "async def ask(): ...\ndef test_it():\n    ask()  # wrong\n"),
    Case("missing-await", "from suites.asking import ask\nasync def test_it(orders):\n    ask(orders)  # wrong\n"),
    Case("missing-await", "async def test_it(admin):\n    admin.get('/x')  # wrong\n"),
    Case(
        "missing-await",
        "from pytest_gaia import HttpClient\nasync def check(one: HttpClient):\n    one.get('/x')  # wrong\n",
    ),
    Case("missing-await", "def test_it(gaia_contract):\n    gaia_contract('orders')  # wrong\n"),
    test("unread-response", "await orders.get('/x')  # wrong"),
    test("unread-response", "_ = await orders.anonymous().get('/x')  # wrong"),
    Case(
        "unread-response",
        "import pytest\n@pytest.fixture\nasync def order(orders):\n    yield\n    await orders.delete('/x')  # wrong\n",
        CONFTEST,
    ),
    test("truth-of-response", "assert await orders.get('/x')  # wrong"),
    test("truth-of-response", "response = await orders.get('/x')\nassert response, 'text'  # wrong"),
    test("truth-of-response", "response = await orders.get('/x')\nassert response and True  # wrong"),
    test("truth-of-response", "if not await orders.get('/x'):  # wrong\n    pytest.fail('down')"),
    test("not-called", "response = await orders.get('/x')\nresponse.expect  # wrong"),
    test("not-called", "response = await orders.get('/x')\nassert response.json  # wrong"),
    test("many-statuses", "(await orders.get('/x')).expect(200, 201, 202, 404)  # wrong"),
    test("many-statuses", "(await orders.get('/x')).expect(*range(200, 600))  # wrong"),
    test("many-statuses", "response = await orders.get('/x')\nassert response.status in range(200, 500)  # wrong"),
    Case("many-statuses", "ANY = (200, 201, 400, 404)\nasync def test_it(x):\n    x.expect(*ANY)  # wrong\n"),
    test("lost-task", "asyncio.create_task(work())  # wrong"),
    test("lost-task", "task = asyncio.ensure_future(work())  # wrong"),
    test("lost-task", "loop = asyncio.get_running_loop()\nloop.run_in_executor(None, work)  # wrong"),
    test(
        "lost-task",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor() as pool:\n    pool.submit(work)  # wrong",
    ),
    test("ignored-gather", "await asyncio.gather(one(), two(), return_exceptions=True)  # wrong"),
    test("ignored-gather", "task = asyncio.create_task(work())\nawait asyncio.wait([task])  # wrong"),
    test("unchecked-process", "subprocess.run(['true'])  # wrong"),
    test("unchecked-process", "os.system('true')  # wrong"),
    Case(
        "unchecked-process",
        "import multiprocessing\ndef test_it():\n    one = multiprocessing.Process(target=x)  # wrong\n"
        "    one.start()\n    one.join()\n",
    ),
    test("private-attribute", "orders._link.transport  # wrong"),
    Case("network-import", "import requests\ndef test_it():\n    requests.get('http://x')  # wrong\n"),
    Case("network-import", "from httpx import AsyncClient\ndef test_it():\n    AsyncClient()  # wrong\n"),
    Case("network-import", "import urllib.request\ndef test_it():\n    urllib.request.urlopen('x')  # wrong\n"),
    Case("network-import", "import socket\ndef test_it():\n    socket.create_connection('x')  # wrong\n"),
    Case("network-import", "import asyncpg\nasync def test_it():\n    await asyncpg.connect('x')  # wrong\n"),
    Case("network-import", "import psycopg as pg\nX = pg.connect  # wrong\n", CONFTEST),
    Case(
        "patched-client",
        "import httpx\ndef test_it(monkeypatch):\n    monkeypatch.setattr(httpx.AsyncClient, 'send', x)  # wrong\n",
    ),
    Case(
        "patched-client",
        "def test_it(monkeypatch):\n    monkeypatch.setattr('pytest_gaia.clients.guard.x', 1)  # wrong\n",
    ),
    Case("patched-client", "from unittest import mock\n@mock.patch('httpx.get')  # wrong\ndef test_it(x): ...\n"),
    Case("patched-client", "from pytest_gaia import HttpClient\nHttpClient.get = None  # wrong\n", CONFTEST),
    Case("patched-client", "import respx  # wrong\n"),
    Case("patched-client", "def test_it(httpx_mock):  # wrong\n    assert x\n"),
    test("always-true", "assert (a == b, 'text')  # wrong"),
    test("always-true", "a = 1\nassert 'text'  # wrong"),
    test("always-true", "assert (each for each in a)  # wrong"),
    test("unused-comparison", "response = await orders.get('/x')\nresponse.status == 200  # wrong"),
    test("broad-except", "try:\n    (await orders.get('/x')).expect(200)\nexcept Exception:  # wrong\n    pass"),
    test("broad-except", "try:\n    assert x\nexcept:  # wrong\n    print('no')"),
    test("broad-except", "try:\n    await orders.get('/x')\nexcept (ValueError, Exception):  # wrong\n    return"),
    test(
        "broad-except", "for x in y:\n    try:\n        assert x\n    except AssertionError:  # wrong\n        continue"
    ),
    test("broad-except", "with contextlib.suppress(Exception):  # wrong\n    assert x"),
    Case(
        "broad-except",
        "def must(x):\n    assert x\ndef test_it():\n    try:\n        must(1)\n    except Exception:  # wrong\n        pass\n",
    ),
    test("broad-raises", "with pytest.raises(Exception):  # wrong\n    (await orders.get('/x')).field('y')"),
    test("return-in-finally", "try:\n    assert x\nfinally:\n    return  # wrong"),
    test("return-in-finally", "for x in y:\n    try:\n        assert x\n    finally:\n        continue  # wrong"),
    test("empty-loop", "for x in []:  # wrong\n    assert x"),
    test("empty-loop", "assert all(x for x in ())  # wrong"),
    test("unguarded-loop", "for x in (await orders.get('/x')).expect(200).json():  # wrong\n    assert x['id']"),
    test(
        "unguarded-loop",
        "content = (await orders.get('/x')).json()\nfor _, x in enumerate(content['lines']):  # wrong\n    assert x",
    ),
    test("unguarded-loop", "response = await orders.get('/x')\nassert all(x for x in response.json())  # wrong"),
    test("unguarded-loop", "for row in await db.fetch('SELECT 1'):  # wrong\n    assert row"),
    test("uncalled-assertions", "def check():  # wrong\n    assert x"),
    Case("duplicate-test", "def test_it():\n    assert x\ndef test_it():  # wrong\n    assert y\n"),
    Case("duplicate-test", "class TestIt:\n    def test_a(self): x()\n    def test_a(self): y()  # wrong\n"),
    Case("uncollected-class", "class Orders:  # wrong\n    def test_it(self):\n        assert x\n"),
    Case("uncollected-class", "class Base: ...\nclass Orders(Base):  # wrong\n    def test_it(self): x()\n"),
    Case("uncollected-class", "class TestIt:\n    def __init__(self): ...  # wrong\n    def test_it(self): x()\n"),
    Case("uncollected-test", "def test_it(): x()  # wrong\n", "suites/orders.py"),
    Case("uncollected-test", "async def test_it(): x()  # wrong\n", CONFTEST),
    Case("disabled-test", "class TestIt:\n    __test__ = False  # wrong\n    def test_it(self): x()\n"),
    Case("disabled-test", "def test_it(): x()\ntest_it.__test__ = False  # wrong\n"),
    Case("disabled-test", "def test_it(): x()\ndel test_it  # wrong\n"),
    Case("disabled-test", "__test__ = False  # wrong\ndef test_it(): x()\n"),
    Case("empty-test", "def test_it():  # wrong\n    '''Text.'''\n"),
    Case("empty-test", "def test_it(orders):  # wrong\n    assert True\n"),
    Case("empty-test", "class TestIt:\n    async def test_it(self, orders): ...  # wrong\n"),
    Case("generator-test", "def test_it():  # wrong\n    yield 1\n"),
    Case("overridden-fixture", "import pytest\n@pytest.fixture\ndef orders():  # wrong\n    return 1\n", CONFTEST),
    Case("overridden-fixture", "from pytest import fixture\n@fixture(name='gaia_env')\ndef env(): x()  # wrong\n"),
    Case("overridden-fixture", "import pytest\n@pytest.fixture\ndef db_fresh(): x()  # wrong\n", CONFTEST),
    Case("collection-hook", "collect_ignore = ['test_x.py']  # wrong\n", CONFTEST),
    Case("collection-hook", "if True:\n    collect_ignore_glob = ['*']  # wrong\n", CONFTEST),
    Case("collection-hook", "def pytest_ignore_collect(): ...  # wrong\n", CONFTEST),
    Case("collection-hook", "def pytest_pyfunc_call(): ...  # wrong\n", CONFTEST),
    Case("collection-hook", "def pytest_pycollect_makeitem(): ...  # wrong\n", CONFTEST),
    Case("collection-hook", "def pytest_collection_modifyitems(items):\n    items.pop()  # wrong\n", CONFTEST),
    Case(
        "collection-hook",
        "def pytest_collection_modifyitems(items):\n    items[:] = [x for x in items if y]  # wrong\n",
        CONFTEST,
    ),
    Case("collection-hook", "def pytest_runtest_setup(item):\n    item.obj = print  # wrong\n", CONFTEST),
    Case(
        "collection-hook", "def pytest_configure(config):\n    config.pluginmanager.unregister(x)  # wrong\n", CONFTEST
    ),
    Case(
        "collection-hook",
        "def pytest_runtest_makereport(item):\n    report = yield\n    report.outcome = 'passed'  # wrong\n",
        CONFTEST,
    ),
    Case("unconditional-skip", "import pytest\n@pytest.mark.skip  # wrong\ndef test_it(): x()\n"),
    Case("unconditional-skip", "import pytest\npytestmark = [pytest.mark.skip('later')]  # wrong\n"),
    Case("unconditional-skip", "import pytest\n@pytest.mark.skipif(True, reason='x')  # wrong\ndef test_it(): x()\n"),
    test("unconditional-skip", "pytest.skip('later')  # wrong"),
    Case("unconditional-skip", "import pytest\n@pytest.mark.parametrize('x', [])  # wrong\ndef test_it(x): y()\n"),
    test("unconditional-skip", "from pytest_gaia.errors import NotApplicable\nraise NotApplicable('x')  # wrong"),
    Case(
        "loose-xfail",
        "import pytest\ndef pytest_collection_modifyitems(items):\n"
        "    for each in items:\n        each.add_marker(pytest.mark.xfail)  # wrong\n",
        CONFTEST,
    ),
    Case("loose-xfail", "import pytest\ndef test_it(request):\n    request.node.add_marker('xfail')  # wrong\n"),
    Case("process-exit", "import os\ndef test_it():\n    os._exit(0)  # wrong\n"),
    Case("process-exit", "import atexit\natexit.register(print)  # wrong\n", CONFTEST),
    Case("process-exit", "import pytest\ndef test_it():\n    pytest.exit('x', returncode=0)  # wrong\n"),
    Case("unexplained-allowance", "import respx  # gaia: allow patched-client # wrong\n"),
    Case("unused-allowance", "import os  # gaia: allow patched-client because it is # wrong\n"),
    Case("unused-allowance", "import respx  # gaia: allow no-such, patched-client because it is # wrong\n"),
]

RIGHT = [
    test("missing-await", "response = orders.get('/x')\n(await response).expect(200)"),
    test("missing-await", "responses = await asyncio.gather(*(orders.get(x) for x in 'ab'))\nassert responses"),
    test("missing-await", "calls = [orders.get('/x')]\nassert await asyncio.gather(*calls)"),
    test("missing-await", "orders = (await orders.get('/x')).json()\nif orders.get('total'):\n    assert 0"),
    Case("missing-await", "def total(orders):\n    return 1 if orders.get('total') else 0\n"),
    Case(
        "missing-await",
        "import pytest\n@pytest.mark.parametrize('orders', [{}])\ndef test_it(orders):\n    orders.get('x')\n",
    ),
    Case("missing-await", "def ask(): ...\ndef test_it():\n    ask()\n"),
    test("unread-response", "(await orders.get('/x')).expect(200)"),
    test("unread-response", "response = await orders.get('/x')\nassert response.status == 200"),
    test("unread-response", "await db.execute('DELETE FROM x')"),
    test("truth-of-response", "response = await orders.get('/x')\nassert response.status == 200"),
    test("truth-of-response", "assert (await orders.get('/x')).expect(200)"),
    test("truth-of-response", "response = (await orders.get('/x')).expect(200)\nassert response"),
    test("truth-of-response", "response = await orders.get('/x')\nresponse.expect(200)\nassert response"),
    test("truth-of-response", "assert (await orders.get('/x')).json()"),
    test("not-called", "(await orders.get('/x')).expect(200)"),
    test("many-statuses", "(await orders.get('/x')).expect(200, 204, 404)"),
    test("many-statuses", "(await orders.get('/x')).expect(*range(200, 203))"),
    test("many-statuses", "distribution.expect(f, 1, 2, 3)"),
    test("lost-task", "task = asyncio.create_task(work())\nawait task"),
    test("lost-task", "async with asyncio.TaskGroup() as group:\n    group.create_task(work())"),
    test("lost-task", "form.submit()"),
    test("ignored-gather", "results = await asyncio.gather(one(), return_exceptions=True)\nassert not results"),
    test(
        "ignored-gather",
        "await asyncio.gather(*tasks, return_exceptions=True)\nassert [each.result() for each in tasks]",
    ),
    test("ignored-gather", "task = asyncio.create_task(work())\nawait asyncio.wait([task])\ntask.result()"),
    test("unchecked-process", "subprocess.run(['true'], check=True)"),
    Case(
        "unchecked-process",
        "from multiprocessing import Process\ndef test_it():\n    one = Process(target=x)\n"
        "    one.start()\n    assert one.exitcode == 0\n",
    ),
    test("private-attribute", "self._link\norders.service\nx = (await orders.get('/x')).json()\nx['a']._b"),
    test("unchecked-process", "done = subprocess.run(['true'])\nassert done.returncode == 0"),
    Case(
        "network-import",
        "import asyncpg\ndef test_it(db):\n    with pytest.raises(asyncpg.UniqueViolationError): ...\n",
    ),
    Case("network-import", "from urllib.parse import quote\nimport socket\nX = quote(socket.gethostname())\n"),
    Case("network-import", "import httpx\ndef f(x: httpx.Response) -> httpx.Response: ...\n"),
    Case("network-import", "import redis as lib\ndef redis(x): ...\ndef test_it(httpx):\n    redis(httpx.get)\n"),
    Case("network-import", "def test_it(redis, requests):\n    redis.get('x')\n    requests.append(1)\n"),
    Case(
        "network-import",
        "import requests, pytest\n@pytest.mark.gaia(direct='no client for SOAP')\n"
        "def test_it():\n    requests.get('http://x')\n",
    ),
    Case("patched-client", "def test_it(monkeypatch):\n    monkeypatch.setattr('suites.naming.PREFIX', 'x')\n"),
    Case(
        "patched-client", "async def test_it(orders):\n    await orders.patch('/x')\n    orders.patch('/x', json=1)\n"
    ),
    Case(
        "patched-client",
        "import pytest\n@pytest.mark.gaia(offline=True)\ndef test_it(httpx_mock):\n    assert httpx_mock\n",
    ),
    test("always-true", "assert a == b, 'text'"),
    test("always-true", "assert ()"),
    test("always-true", "if x:\n    assert True"),
    test("unused-comparison", "x = a == b\nassert x"),
    test("unused-comparison", "with pytest.raises(TypeError):\n    a < b"),
    test("broad-except", "try:\n    assert x\nexcept Exception:\n    raise ValueError from None"),
    test("broad-except", "try:\n    assert x\nexcept Exception as error:\n    errors.append(error)"),
    test("broad-except", "try:\n    int(x)\nexcept Exception:\n    pass"),
    test("broad-except", "try:\n    assert x\nexcept ValueError:\n    pass"),
    test("broad-except", "try:\n    assert x\nexcept AssertionError:\n    raise\nexcept Exception:\n    pass"),
    test("broad-except", "with contextlib.suppress(KeyError):\n    assert x"),
    test("broad-raises", "with pytest.raises(Exception, match='no'):\n    assert x"),
    test("broad-raises", "with pytest.raises(Exception):\n    int('x')"),
    test("return-in-finally", "try:\n    assert x\nfinally:\n    for x in y:\n        break"),
    test("empty-loop", "for x in (1,):\n    assert x"),
    test("empty-loop", "x = []\nx.append(1)\nfor y in x:\n    assert y"),
    test(
        "unguarded-loop", "content = (await orders.get('/x')).json()\nassert content\nfor x in content:\n    assert x"
    ),
    test("unguarded-loop", "for x in (1, 2):\n    assert x"),
    test("unguarded-loop", "for x in await something():\n    assert x"),
    test("unguarded-loop", "for x in (await orders.get('/x')).json():\n    print(x)"),
    test("uncalled-assertions", "def check():\n    assert x\ncheck()"),
    test("uncalled-assertions", "def check():\n    assert x\nfor_each(check)"),
    test("uncalled-assertions", "@app.get('/')\ndef check():\n    assert x"),
    Case("duplicate-test", "if x:\n    def test_it(): x()\nelse:\n    def test_it(): y()\n"),
    Case("duplicate-test", "class TestA:\n    def test_it(self): x()\nclass TestB:\n    def test_it(self): x()\n"),
    Case("uncollected-class", "class Base:\n    def test_it(self): x()\nclass TestIt(Base): ...\n"),
    Case("uncollected-class", "from library import Base\nclass Orders(Base):\n    def test_it(self): x()\n"),
    Case("uncollected-class", "import unittest\nclass Orders(unittest.TestCase):\n    def test_it(self): x()\n"),
    Case("uncollected-class", "class Orders:\n    def test_it(self): x()\n", "suites/orders.py"),
    Case("uncollected-class", "class Orders:\n    def test_it(self): x()\nTestIt = type('TestIt', (Orders,), {})\n"),
    Case("uncollected-test", "def test_it(): x()\n", "suites/asked.py"),
    Case("uncollected-test", "import pytest\n@pytest.fixture\ndef test_data(): x()\n", CONFTEST),
    Case(
        "disabled-test",
        "class TestBase:\n    __test__ = False\n    def test_it(self): x()\nclass TestIt(TestBase):\n    __test__ = True\n",
    ),
    Case("disabled-test", "from library import TestClient\nTestClient.__test__ = False\n"),
    Case("empty-test", "def test_it():\n    raise NotImplementedError\n"),
    Case("empty-test", "def test_it(): ...\n", "suites/asked.py"),
    Case("generator-test", "import pytest\n@pytest.fixture\ndef test_data():\n    yield 1\n"),
    Case("overridden-fixture", "import pytest\n@pytest.fixture\ndef orders(orders):\n    return orders\n", CONFTEST),
    Case("overridden-fixture", "def orders(): ...\n", CONFTEST),
    Case("collection-hook", "collect_ignore = []\n", CONFTEST),
    Case("collection-hook", "def pytest_collection_modifyitems(items):\n    items.sort()\n", CONFTEST),
    Case(
        "collection-hook",
        "def pytest_collection_modifyitems(config, items):\n    config.hook.pytest_deselected(items=[])\n    items[:] = []\n",
        CONFTEST,
    ),
    test("unconditional-skip", "if x:\n    pytest.skip('later')"),
    test("unconditional-skip", "if x:\n    return\npytest.skip('later')"),
    Case(
        "unconditional-skip",
        "import pytest\n@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.skip)])\ndef test_it(x): y()\n",
    ),
    Case("unconditional-skip", "import pytest\ndef need(x):\n    pytest.skip('no')\n"),
    Case("loose-xfail", "import pytest\ndef f(item):\n    item.add_marker(pytest.mark.xfail(strict=True))\n", CONFTEST),
    Case("process-exit", "import pytest\ndef test_it():\n    pytest.exit('x', returncode=1)\n"),
    Case("unexplained-allowance", "import respx  # gaia: allow patched-client because it tests the mock\n"),
    Case("unused-allowance", "# gaia: allow patched-client because it tests the mock\nimport respx\n"),
]
