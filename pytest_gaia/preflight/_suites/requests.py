"""Requests, tasks and processes whose result is lost, and what replaces the clients of this package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from pytest_gaia.preflight._suites.model import Kind, SuiteFile
from pytest_gaia.preflight._suites.syntax import FUNCTIONS, is_constant, keyword
from pytest_gaia.preflight.findings import Found, check

_MOST_STATUSES = 3
_TRUTH = (ast.Assert, ast.If, ast.IfExp, ast.While, ast.BoolOp, ast.UnaryOp)


@check("missing-await", "error")
def missing_await(file: SuiteFile) -> Iterator[Found]:
    """A call is not awaited.

    Without `await` nothing is sent and nothing is checked: the call only creates a coroutine, which counts as true.

    Fix: write `await` before the call.
    """
    for call in file.of(ast.Call):
        kind = file.kind(call)
        if kind is not None and kind.pending and _is_forgotten(file, call):
            yield file.found(call, f"{_shown(call.func)}(…) is not awaited")


def _is_forgotten(file: SuiteFile, call: ast.Call) -> bool:
    """Whether a coroutine is certainly not awaited."""
    parent = file.parents[call]
    if isinstance(parent, ast.Return):
        return file.is_test(file.function(call))
    used_as_value = (*_TRUTH, ast.Attribute, ast.Compare, ast.Subscript, ast.FormattedValue)
    return isinstance(parent, used_as_value) or file.is_dropped(call)


@check("unread-response", "warning")
def unread_response(file: SuiteFile) -> Iterator[Found]:
    """A response is not checked.

    Any status passes, also 404 and 500. Fixtures that create or delete data this way hide that they did not.

    Fix: write `.expect(200)`, or assert what the response contains.
    """
    for node in file.of(ast.Await):
        if file.kind(node) == Kind("response") and _is_client_call(file, node.value) and file.is_dropped(node):
            yield file.found(node, f"the response of {_shown(_function(node.value))}(…) is not used")


def _is_client_call(file: SuiteFile, node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and file.method(node.func) is not None


def _function(node: ast.AST) -> ast.AST:
    return node.func if isinstance(node, ast.Call) else node


@check("truth-of-response", "error")
def truth_of_response(file: SuiteFile) -> Iterator[Found]:
    """A condition tests whether a response is true.

    Every response would be true, whatever its status is. Therefore it raises `TypeError`, unless `expect` accepted it.

    Fix: write `.expect(200)`, or compare `response.status`.
    """
    for node in _conditions(file):
        if file.kind(node) == Kind("response") and not _is_expected(file, node):
            yield file.found(node, f"{_shown(node)} has no truth value")


def _is_expected(file: SuiteFile, node: ast.AST) -> bool:
    """Whether ``expect`` is called on a response in the same function."""
    calls = (each.func for each in ast.walk(file.scope(node)) if isinstance(each, ast.Call))
    owners = [each.value for each in calls if isinstance(each, ast.Attribute) and each.attr == "expect"]
    return isinstance(node, ast.Name) and any(isinstance(each, ast.Name) and each.id == node.id for each in owners)


def _conditions(file: SuiteFile) -> Iterator[ast.AST]:
    """Yield the expressions whose truth matters, without the operators that join them."""
    statements = (*file.of(ast.Assert, ast.If), *file.of(ast.IfExp, ast.While))
    open_nodes: list[ast.AST] = [each.test for each in statements]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.BoolOp):
            open_nodes.extend(node.values)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            open_nodes.append(node.operand)
        else:
            yield node


@check("not-called", "error")
def not_called(file: SuiteFile) -> Iterator[Found]:
    """A method is named, but not called.

    The expression `response.expect` does nothing, and is always true.

    Fix: add parentheses, such as `response.expect(200)`.
    """
    conditions = {id(each) for each in _conditions(file)}
    for node in file.of(ast.Attribute):
        is_value = isinstance(file.parents[node], ast.Expr) or id(node) in conditions
        if is_value and file.method(node) is not None:
            yield file.found(node, f"{_shown(node)} is not called")


@check("many-statuses", "warning")
def many_statuses(file: SuiteFile) -> Iterator[Found]:
    """An expectation accepts many statuses.

    A test that accepts success and failure cannot fail. More than three statuses are rarely all correct.

    Fix: name the status that is correct here, or write one test for each case.
    """
    for call in file.of(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "expect":
            count = sum(_size(file, each) for each in call.args)
            if count > _MOST_STATUSES and all(map(_may_be_status, call.args)):
                yield file.found(call, f"expect(…) accepts {count} statuses")
    for compared in file.of(ast.Compare):
        owner = compared.left.value if isinstance(compared.left, ast.Attribute) else None
        is_status = isinstance(compared.left, ast.Attribute) and compared.left.attr == "status"
        if is_status and file.kind(owner) == Kind("response") and isinstance(compared.ops[0], ast.In):
            count = _length(file, compared.comparators[0])
            if count > _MOST_STATUSES:
                yield file.found(compared, f"the comparison accepts {count} statuses")


def _may_be_status(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred) or (isinstance(node, ast.Constant) and type(node.value) is int)


def _size(file: SuiteFile, argument: ast.expr) -> int:
    return _length(file, argument.value) if isinstance(argument, ast.Starred) else 1


def _length(file: SuiteFile, node: ast.AST) -> int:
    """Return the number of elements of a literal or a range; 0 if it is unknown."""
    if isinstance(node, ast.Name):
        assigned = [each for each in file.tree.body if isinstance(each, ast.Assign)]
        values = [each.value for each in assigned if [file.dotted(target) for target in each.targets] == [node.id]]
        return _length(file, values[0]) if len(values) == 1 and not isinstance(values[0], ast.Name) else 0
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return sum(_size(file, each) for each in node.elts)
    if file.called(node) == "range" and isinstance(node, ast.Call):
        bounds = [each.value for each in node.args if isinstance(each, ast.Constant) and type(each.value) is int]
        return len(range(*bounds)) if len(bounds) == len(node.args) in (1, 2, 3) and 0 not in bounds[2:] else 0
    return 0


@check("lost-task", "error")
def lost_task(file: SuiteFile) -> Iterator[Found]:
    """The result of a task is not used.

    An exception in the task, such as a failed assertion, is lost, and the test passes.

    Fix: keep the task and await it (or call `.result()` of a future), or use `asyncio.TaskGroup`.
    """
    for call in file.of(ast.Call):
        if _starts_task(file, call) and file.is_dropped(call):
            yield file.found(call, f"no code takes the result of {_shown(call.func)}(…)")


_TASKS = ("asyncio.create_task", "asyncio.ensure_future", "asyncio.run_coroutine_threadsafe")
_EXECUTORS = ("ThreadPoolExecutor", "ProcessPoolExecutor")
_LOOPS = ("asyncio.get_running_loop", "asyncio.get_event_loop")


def _starts_task(file: SuiteFile, call: ast.Call) -> bool:
    if file.called(call) in _TASKS:
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    name, made = call.func.attr, file.called(_made_by(file, call.func.value))
    if name in ("submit", "map"):
        return made.rpartition(".")[2] in _EXECUTORS
    # A task group is not a loop: it raises the exceptions of its tasks.
    return name in ("create_task", "run_in_executor") and made in _LOOPS


def _made_by(file: SuiteFile, node: ast.AST) -> ast.AST | None:
    """Return the call whose value a name has, if only one is assigned to it; a call itself."""
    if isinstance(node, ast.Call):
        return node
    if not isinstance(node, ast.Name):
        return None
    stores = [each for each in ast.walk(file.scope(node)) if isinstance(each, ast.Name) and each.id == node.id]
    bound = [file.parents[each] for each in stores if isinstance(each.ctx, ast.Store)]
    if len(bound) != 1:
        return None
    match bound[0]:
        case ast.Assign(value=value) | ast.withitem(context_expr=value):
            return value
    return None


@check("ignored-gather", "warning")
def ignored_gather(file: SuiteFile) -> Iterator[Found]:
    """The results of `gather(return_exceptions=True)` or of `asyncio.wait` are not used.

    Neither raises the exceptions of its calls, so their failures are lost.

    Fix: leave out `return_exceptions=True`, raise the exceptions among the results, or await each task.
    """
    for node in file.of(ast.Await):
        call, name = node.value, file.called(node.value)
        keeps = is_constant(keyword(call, "return_exceptions"), value=True)
        if not isinstance(call, ast.Call) or not (name == "asyncio.wait" or (name == "asyncio.gather" and keeps)):
            continue
        if file.is_dropped(node) and not _has_tasks_used_later(file, call):
            yield file.found(node, f"exceptions of the calls in {name}(…) are dropped")


def _has_tasks_used_later(file: SuiteFile, call: ast.Call) -> bool:
    """Whether the scope uses the tasks of ``gather`` or ``wait`` elsewhere: their results may be taken there."""
    given: list[ast.expr] = []
    for each in call.args:
        given += each.elts if isinstance(each, ast.List | ast.Set | ast.Tuple) else [each]
    names = [each.value if isinstance(each, ast.Starred) else each for each in given]
    return any(len(file.loads(each.id, file.scope(call))) > 1 for each in names if isinstance(each, ast.Name))


_PROCESSES = {
    "subprocess.run": "add check=True",
    "subprocess.call": "write subprocess.run(…, check=True)",
    "subprocess.Popen": "keep the process and check its return code",
    "os.system": "write subprocess.run(…, check=True)",
}


@check("unchecked-process", "error")
def unchecked_process(file: SuiteFile) -> Iterator[Found]:
    """The result of a process is not checked.

    A process that fails, such as a script with checks of its own, does not fail the test.

    Fix: add `check=True`, or assert the return code.
    """
    for call in file.of(ast.Call):
        name = file.called(call)
        if name in _PROCESSES and keyword(call, "check") is None and file.is_dropped(call):
            yield file.found(call, f"the return code of {name}(…) is not checked", _PROCESSES[name])
        if _is_process(file, call) and not _is_exit_read(file, call):
            yield file.found(call, "the exit code of this process is not checked", "assert that its exitcode is 0")


def _is_process(file: SuiteFile, call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return file.called(call) == "multiprocessing.Process"
    owner = call.func.value
    maker = owner.func if isinstance(owner, ast.Call) else owner
    return call.func.attr == "Process" and file.dotted(maker) in ("multiprocessing", "multiprocessing.get_context")


def _is_exit_read(file: SuiteFile, call: ast.Call) -> bool:
    """Whether a process is used for more than to start it and to wait for it, so that its exit code may be read."""
    parent = file.parents[call]
    if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name):
        return not isinstance(parent, ast.Attribute)
    uses = [file.parents[each] for each in file.loads(parent.targets[0].id, file.scope(call))]
    return any(not isinstance(each, ast.Attribute) or each.attr not in ("start", "join") for each in uses)


_NETWORK = re.compile(
    r"(?:requests|httpx|aiohttp|urllib3|urllib\.request|http\.client|asyncpg|psycopg2?|psycopg_pool|nats|redis"
    r"|pycurl|grpc|websockets?|pymongo|pika|aio_pika|kafka|aiokafka|paramiko|telnetlib|ftplib|smtplib)(?:\.|$)"
    r"|socket\.(?:socket|create_connection)$|asyncio\.open_connection$"
)
_HARMLESS = re.compile(
    r"(?:Error|Exception|Exceptions|Timeout|Violation|Warning|errors|exceptions|codes)$|\.(?:errors|exceptions)\."
    r"|^httpx\.(?:Response|Request|URL|Headers|Limits|Auth|ASGITransport)$"
)


@check("network-import", "warning")
def network_import(file: SuiteFile) -> Iterator[Found]:
    """A test uses a network library of its own.

    Its requests are neither recorded as evidence nor checked by the write guard, and its failures do not name the service.

    Fix: use the fixture of the service, or give the reason for a direct connection: `@pytest.mark.gaia(direct="…")`.
    """
    seen = set()
    for node in sorted(file.of(ast.Name, ast.Attribute), key=lambda each: each.lineno):
        name = "" if isinstance(file.parents[node], ast.Attribute) else file.imported(node)
        is_network = _NETWORK.match(name) is not None and _HARMLESS.search(name) is None
        if not is_network or _is_annotation(file, node) or file.marked(node, "direct"):
            continue
        library = _NETWORK.match(name)
        key = library[0].strip(".") if library else name
        if key not in seen:
            seen.add(key)
            yield file.found(node, f"{name} connects without a client of pytest-gaia")


def _is_annotation(file: SuiteFile, node: ast.AST) -> bool:
    child = node
    for parent in file.around(node):
        if isinstance(parent, ast.arg | ast.AnnAssign) and parent.annotation is child:
            return True
        if isinstance(parent, FUNCTIONS) and parent.returns is child:
            return True
        if isinstance(parent, ast.stmt):
            return False
        child = parent
    return False


@check("private-attribute", "error")
def private_attribute(file: SuiteFile) -> Iterator[Found]:
    """A private attribute of a client is used.

    What it sends is neither recorded as evidence nor checked by the write guard, and the next version may not have it.

    Fix: use the public methods of the client.
    """
    for node in file.of(ast.Attribute):
        if node.attr.startswith("_") and not node.attr.startswith("__"):
            kind = file.kind(node.value)
            if kind is not None and not kind.pending and kind.name not in ("", "content"):
                yield file.found(node, f"{_shown(node)} is private")


_PATCHED = re.compile(r"(?:httpx|httpcore|pytest_gaia|asyncpg|nats|redis)(?:\.|$)")
_MOCKS = ("respx", "responses", "pytest_httpx", "aioresponses", "requests_mock", "vcr", "httpretty")
_MOCKING_FIXTURES = ("httpx_mock", "respx_mock")


@check("patched-client", "error")
def patched_client(file: SuiteFile) -> Iterator[Found]:
    """This package, or a library of its clients, is patched or mocked.

    The test then compares the responses of the patch, not those of the service, and its pass is evidence of nothing.

    Fix: use the client as it is, or mark the test `@pytest.mark.gaia(offline=True)` if it tests no service.
    """
    for node, text in _patches(file):
        if not file.marked(node, "offline"):
            yield file.found(node, text)


def _patches(file: SuiteFile) -> Iterator[tuple[ast.AST, str]]:
    for call in file.of(ast.Call):
        target = _target(file, call)
        if _PATCHED.match(target):
            yield call, f"{target} is patched"
    for assigned in file.of(ast.Assign):
        for each in assigned.targets:
            target = file.imported(each) if isinstance(each, ast.Attribute) else ""
            if _PATCHED.match(target):
                yield assigned, f"{target} is replaced"
    yield from _mocks(file)


def _mocks(file: SuiteFile) -> Iterator[tuple[ast.AST, str]]:
    for function in file.of(*FUNCTIONS):
        for each in function.args.args:
            if each.arg in _MOCKING_FIXTURES:
                yield function, f"the fixture {each.arg} replaces the responses of services"
    for node in file.of(ast.Import, ast.ImportFrom):
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        if module.partition(".")[0] in _MOCKS:
            yield node, f"{module.partition('.')[0]} replaces the responses of services"


def _target(file: SuiteFile, call: ast.Call) -> str:
    """Return what a call patches; empty if it patches nothing."""
    function = call.func
    name = file.dotted(function)
    patches = name == "setattr" or (isinstance(function, ast.Attribute) and function.attr in ("setattr", "delattr"))
    patches = patches or re.search(r"(?:^|\.)patch(?:\.object|\.multiple)?$", name) is not None
    if not patches or not call.args:
        return ""
    first = call.args[0]
    if isinstance(first, ast.Constant):
        return first.value if isinstance(first.value, str) else ""
    owner = file.imported(first)
    attribute = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else ""
    return f"{owner}.{attribute!s}" if owner else ""


def _shown(node: ast.AST) -> str:
    """Return an expression on one short line."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
