"""Tests that pytest does not run, and code that changes which tests run or how they end."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pytest_gaia.preflight._suites.model import Names, SuiteFile
from pytest_gaia.preflight._suites.syntax import FUNCTIONS, Function, is_constant, is_generator, keyword, parameters
from pytest_gaia.preflight.findings import Found, check


@check("duplicate-test", "error")
def duplicate_test(file: SuiteFile) -> Iterator[Found]:
    """Two tests of one scope have the same name.

    Python keeps only the second one, so the first never runs.

    Fix: rename one of them.
    """
    scopes: list[ast.Module | ast.ClassDef] = [file.tree, *file.of(ast.ClassDef)]
    for scope in scopes:
        first: dict[str, int] = {}
        for each in scope.body:
            if file.is_test(each) or (isinstance(each, ast.ClassDef) and _tests_of(file, each)):
                assert isinstance(each, (*FUNCTIONS, ast.ClassDef))
                if each.name in first:
                    yield file.found(each, f"{each.name} replaces the one in line {first[each.name]}")
                first.setdefault(each.name, each.lineno)


def _tests_of(file: SuiteFile, node: ast.ClassDef) -> list[ast.stmt]:
    """Return the tests in the body of a class."""
    return [each for each in node.body if file.is_test(each)]


@check("uncollected-class", "error")
def uncollected_class(file: SuiteFile) -> Iterator[Found]:
    """Pytest does not run the tests of a class.

    Pytest reads tests from classes whose name begins with `Test` and that have no `__init__`. The others are ignored.

    Fix: rename the class, and prepare data in fixtures instead of `__init__`.
    """
    names = file.suites.names
    for node in file.of(ast.ClassDef):
        if not _tests_of(file, node) or not _is_plain(file, node):
            continue
        if not names.class_(node.name):
            prefix = " or ".join(names.classes)
            yield file.found(node, f"the name of the class {node.name}, which has tests, does not begin with {prefix}")
        for each in node.body:
            if isinstance(each, FUNCTIONS) and each.name in ("__init__", "__new__"):
                yield file.found(each, f"{node.name} has tests and {each.name}")


def _is_plain(file: SuiteFile, node: ast.ClassDef) -> bool:
    """Whether nothing may make a class of tests of it: a base class, such as that of unittest, or code that uses it."""
    is_used = node.name in file.suites.bases or file.loads(node.name, file.tree)
    return not is_used and _has_known_bases(file, node, frozenset())


def _has_known_bases(file: SuiteFile, node: ast.ClassDef, seen: frozenset[str]) -> bool:
    for base in node.bases:
        name = file.dotted(base).rpartition(".")[2]
        found = file.suites.classes.get(name)
        if name != "object" and (found is None or name in seen or not _has_known_bases(*found, seen | {name})):
            return False
    return True


@check("uncollected-test", "warning")
def uncollected_test(file: SuiteFile) -> Iterator[Found]:
    """Pytest does not collect a function that has the name of a test.

    Pytest reads tests from files called `test_*.py`, and runs functions called `test*`, unless its settings name others.

    Fix: rename the file or the function, so that both match the settings of pytest.
    """
    names, usual = file.suites.names, Names()
    functions = [each for each in _top_level(file) if isinstance(each, FUNCTIONS) and file.fixture(each) is None]
    if names.file(file.base):
        for each in functions:
            if usual.function(each.name) and not names.function(each.name) and not file.loads(each.name, file.tree):
                yield file.found(each, f"{each.name} does not match python_functions")
    elif not file.suites.is_imported(file):
        for each in functions:
            if names.function(each.name) and not file.loads(each.name, file.tree):
                yield file.found(each, f"{each.name} is in a file whose name does not match python_files")


@check("disabled-test", "error")
def disabled_test(file: SuiteFile) -> Iterator[Found]:
    """Tests are removed from the collection.

    Neither the summary nor the verdict counts a test that is deleted or that has `__test__ = False`.

    Fix: remove the line. To declare a known failure, write an expectation.
    """
    tests = {each.name for each in file.tests} | {each.name for each in file.of(ast.ClassDef) if _tests_of(file, each)}
    for assigned in file.of(ast.Assign):
        if not is_constant(assigned.value, value=False):
            continue
        for target in assigned.targets:
            if isinstance(target, ast.Name) and target.id == "__test__" and _disables(file, file.scope(assigned)):
                yield file.found(assigned, "__test__ = False disables the tests here")
            if isinstance(target, ast.Attribute) and target.attr == "__test__" and file.dotted(target.value) in tests:
                yield file.found(assigned, f"__test__ = False disables {file.dotted(target.value)}")
    yield from _deleted(file, tests)


def _deleted(file: SuiteFile, tests: set[str]) -> Iterator[Found]:
    for deleted in file.of(ast.Delete):
        for target in deleted.targets:
            if isinstance(target, ast.Name) and target.id in tests and isinstance(file.scope(deleted), ast.Module):
                yield file.found(deleted, f"{target.id} is deleted before pytest runs it")


def _disables(file: SuiteFile, scope: ast.AST) -> bool:
    if isinstance(scope, ast.ClassDef):
        return bool(_tests_of(file, scope)) and scope.name not in file.suites.bases
    return isinstance(scope, ast.Module) and bool(file.tests)


@check("empty-test", "error")
def empty_test(file: SuiteFile) -> Iterator[Found]:
    """A test has no content.

    It passes whatever the services do.

    Fix: write the test, or remove it.
    """
    for test in file.tests:
        if file.has_empty_body(test):
            yield file.found(test, f"{test.name} does nothing")


@check("generator-test", "error")
def generator_test(file: SuiteFile) -> Iterator[Found]:
    """A test contains `yield`.

    Pytest does not run generators, so no line of the test runs.

    Fix: use `@pytest.mark.parametrize`, or make the function a fixture.
    """
    for test in file.tests:
        if is_generator(test):
            yield file.found(test, f"{test.name} is a generator")


_OWN = (
    *("gaia_run", "gaia_env", "gaia_deployments", "gaia_argument", "gaia_loop", "gaia_clients", "gaia_contract"),
    *("gaia_tokens", "gaia_sandbox", "gaia_secret", "services"),
)
"""fixtures of every run; ``tests/preflight/test_suites.py`` compares them with the plugin"""


@check("overridden-fixture", "error")
def overridden_fixture(file: SuiteFile) -> Iterator[Found]:
    """A fixture of this package, or of a service, is replaced.

    Tests that request it do not get the client that records evidence and checks writes.

    Fix: give the fixture another name. A fixture that extends the original requests it as a parameter.
    """
    own = {*_OWN, *file.suites.clients}
    for function in file.of(*FUNCTIONS):
        name = file.fixture(function)
        if name in own and name not in [each.arg for each in parameters(function)]:
            yield file.found(function, f"{name} replaces the fixture of pytest-gaia")


_HOOKS = {
    "collect_ignore": "leaves out files",
    "collect_ignore_glob": "leaves out files",
    "pytest_ignore_collect": "leaves out files",
    "pytest_pycollect_makeitem": "decides which functions are tests",
    "pytest_pyfunc_call": "decides how a test is called",
}


@check("collection-hook", "error")
def collection_hook(file: SuiteFile) -> Iterator[Found]:
    """A hook changes which tests exist, or how they are called.

    A test that a hook leaves out is missing from the summary, and one that a hook calls may not run at all.

    Fix: remove the hook. To leave out tests, use markers, `requires` or `-m`, which the summary counts.
    """
    for each in _top_level(file):
        is_empty = isinstance(each, ast.Assign) and _is_empty_list(each.value)
        for name in (name for name in _defined(each) if name in _HOOKS):
            if file.is_conftest and not is_empty:
                yield file.found(each, f"{name} {_HOOKS[name]}")
        if isinstance(each, FUNCTIONS):
            yield from _removals(file, each)
            yield from _rewritten(file, each)
    for call in file.of(ast.Call):
        if file.dotted(call.func).endswith("pluginmanager.unregister"):
            yield file.found(call, "a plugin of pytest is unregistered")


def _top_level(file: SuiteFile) -> Iterator[ast.stmt]:
    """Yield the statements at the top of a module, and those below conditions there."""
    open_nodes: list[ast.stmt] = list(file.tree.body)
    while open_nodes:
        node = open_nodes.pop(0)
        yield node
        if isinstance(node, ast.If | ast.Try):
            handled = [each for handler in getattr(node, "handlers", ()) for each in handler.body]
            open_nodes = [*node.body, *node.orelse, *handled, *open_nodes]


def _defined(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [node.name]
        case ast.Assign():
            return [each.id for each in node.targets if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            return [name]
        case ast.AugAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _removals(file: SuiteFile, hook: Function) -> Iterator[Found]:
    """Yield where the hook of collected tests removes some of them."""
    if hook.name != "pytest_collection_modifyitems":
        return
    text = "this hook removes collected tests"
    if any(file.called(each).endswith("pytest_deselected") for each in file.of(ast.Call)):
        # They are counted as deselected.
        return
    for node in file.inside(hook):
        method = node.func if isinstance(node, ast.Call) else None
        if isinstance(method, ast.Attribute) and _is_items(method.value) and method.attr in ("remove", "pop", "clear"):
            yield file.found(node, text)
        if isinstance(node, ast.Assign | ast.Delete):
            sliced = [each for each in node.targets if isinstance(each, ast.Subscript) and _is_items(each.value)]
            sorts = isinstance(node, ast.Assign) and file.called(node.value) in ("sorted", "list", "reversed")
            if sliced and not sorts:
                yield file.found(node, text)


def _is_items(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "items"


def _rewritten(file: SuiteFile, hook: Function) -> Iterator[Found]:
    """Yield where a hook around a test replaces its function, or its result."""
    if not hook.name.startswith("pytest_runtest_"):
        return
    for node in file.inside(hook):
        for each in node.targets if isinstance(node, ast.Assign) else ():
            value = node.value.value if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) else None
            if isinstance(each, ast.Attribute) and each.attr == "outcome" and value in ("passed", "skipped"):
                yield file.found(node, f"this hook changes the result of tests to {value!r}")
            if (
                isinstance(each, ast.Attribute)
                and each.attr in ("obj", "runtest")
                and file.dotted(each.value) == "item"
            ):
                yield file.found(node, "this hook replaces the function of tests")


@check("unconditional-skip", "warning")
def unconditional_skip(file: SuiteFile) -> Iterator[Found]:
    """A test is always skipped.

    It tests nothing in any environment, and no one is asked to bring it back.

    Fix: remove the test, or the skip. To declare a known failure, write an expectation, which expires.
    """
    for node in file.of(ast.Attribute):
        if file.dotted(node) == "pytest.mark.skip" and _is_applied(file, node):
            yield file.found(node, "the mark skip has no condition")
    for call in file.of(ast.Call):
        if (text := _skips(file, call)) is not None:
            yield file.found(call, text)
    for raised in file.of(ast.Raise):
        if file.called(raised.exc).rpartition(".")[2] == "NotApplicable" and _is_unconditional(file, raised):
            yield file.found(raised, "NotApplicable is raised without a condition")


def _skips(file: SuiteFile, call: ast.Call) -> str | None:
    name = file.called(call)
    if name in ("pytest.skip", "pytest.xfail") and _is_unconditional(file, call):
        return f"{name}(…) has no condition"
    if name == "pytest.mark.skipif" and call.args and is_constant(call.args[0], value=True):
        return "the condition of skipif is always true"
    if name == "pytest.mark.parametrize" and len(call.args) > 1 and _is_empty_list(call.args[1]):
        return "parametrize has no values, so the test is skipped"
    return None


def _is_empty_list(node: ast.expr) -> bool:
    return isinstance(node, ast.List | ast.Tuple) and not node.elts


def _is_applied(file: SuiteFile, node: ast.AST) -> bool:
    """Whether a mark is on a test, on a class or on a module, with or without a reason."""
    parent = file.parents[node]
    mark = parent if isinstance(parent, ast.Call) and parent.func is node else node
    around = file.parents[mark]
    if isinstance(around, ast.List | ast.Tuple):
        around = file.parents[around]
    if isinstance(around, ast.Assign):
        return [file.dotted(each) for each in around.targets] == ["pytestmark"]
    return isinstance(around, (*FUNCTIONS, ast.ClassDef)) and mark in around.decorator_list


def _is_unconditional(file: SuiteFile, node: ast.AST) -> bool:
    """Whether a statement is at the top of a test, a fixture or a module, where nothing before it can end the function."""
    statement = node if isinstance(node, ast.stmt) else file.parents[node]
    if not isinstance(statement, ast.Expr | ast.Raise):
        return False
    scope = file.parents[statement]
    if isinstance(scope, FUNCTIONS):
        may_run = file.is_test(scope) or file.fixture(scope) is not None
        before = scope.body[: scope.body.index(statement)] if statement in scope.body else []
        return may_run and not any(isinstance(each, ast.Return) for other in before for each in ast.walk(other))
    return isinstance(scope, ast.Module)


@check("loose-xfail", "error")
def loose_xfail(file: SuiteFile) -> Iterator[Found]:
    """A hook or a fixture marks tests `xfail` without `strict=True`.

    The tests may then fail in any way and pass in any way, without an owner and an expiry date.

    Fix: write an expectation, or add `strict=True`.
    """
    loose = (False,) if file.suites.strict_xfail else (False, None)
    for call in file.of(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_marker" and call.args:
            mark = call.args[0]
            named = file.called(mark) == "pytest.mark.xfail" or is_constant(mark, value="xfail")
            stated = keyword(mark, "strict")
            value = stated.value if isinstance(stated, ast.Constant) else None
            is_known = stated is None or isinstance(stated, ast.Constant)
            if named and is_known and value in loose:
                yield file.found(call, "this code adds xfail without strict=True")


@check("process-exit", "error")
def process_exit(file: SuiteFile) -> Iterator[Found]:
    """Code ends the process of pytest, or runs after its end.

    It runs without the summary, the verdict and the exit code, or changes them.

    Fix: end the run with `pytest.exit(…, returncode=1)`, and clean up in fixtures.
    """
    for call in file.of(ast.Call):
        name = file.called(call)
        if name in ("os._exit", "os.abort", "atexit.register"):
            yield file.found(call, f"{name}(…) is called")
        if name == "pytest.exit":
            code = keyword(call, "returncode") or (call.args[1] if len(call.args) > 1 else None)
            if isinstance(code, ast.Constant) and code.value == 0:
                yield file.found(call, "pytest.exit(…) ends the run with exit code 0", "use another exit code")
    for decorator in _decorators(file):
        if file.dotted(decorator) == "atexit.register":
            yield file.found(decorator, "atexit.register is called")


def _decorators(file: SuiteFile) -> Sequence[ast.expr]:
    return [each for function in file.of(*FUNCTIONS) for each in function.decorator_list]
