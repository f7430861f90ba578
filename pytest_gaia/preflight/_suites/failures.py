"""Assertions that cannot fail or do not run, and code that catches their failures."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pytest_gaia.preflight._suites.model import Kind, SuiteFile
from pytest_gaia.preflight._suites.syntax import FUNCTIONS, LOOPS, Function, Loop, keyword
from pytest_gaia.preflight.findings import Found, check

_ALL = ("Exception", "BaseException")
_BROAD = (*_ALL, "AssertionError")
_OWN_ERRORS = ("GaiaError", "ServiceError", "UnexpectedResponse")
_PRINTING = ("print", "logging.", "warnings.warn", "log.", "logger.", "_log.", "LOG.", "LOGGER.")


@check("always-true", "error")
def always_true(file: SuiteFile) -> Iterator[Found]:
    """An assertion is always true.

    A tuple, a text or a generator is true whatever it contains: `assert (a == b, "text")` never fails.

    Fix: write the comparison that was meant, such as `assert a == b, "text"` without parentheses.
    """
    for node in file.of(ast.Assert):
        what = _truth(node.test)
        if what and not _is_empty_test(file, node):
            yield file.found(node, f"{what} is always true")


def _truth(node: ast.AST) -> str:
    match node:
        case ast.Tuple(elts=[_, *_]):
            return "a tuple that is not empty"
        case ast.List(elts=[_, *_]) | ast.Set() | ast.Dict(keys=[_, *_]):
            return "a literal that is not empty"
        case ast.JoinedStr(values=[ast.Constant(), *_]):
            return "a text"
        case ast.Constant(value=str() | bytes()) if node.value:
            return "a text"
        case ast.GeneratorExp():
            return "a generator"
        case ast.Lambda():
            return "a function"
    return ""


def _is_empty_test(file: SuiteFile, node: ast.AST) -> bool:
    function = file.function(node)
    return function is not None and file.is_test(function) and file.has_empty_body(function)


@check("unused-comparison", "error")
def unused_comparison(file: SuiteFile) -> Iterator[Found]:
    """A comparison is not asserted.

    The result of the comparison is dropped.

    Fix: write `assert` before it.
    """
    for node in file.of(ast.Expr):
        if isinstance(node.value, ast.Compare) and not _is_expected_to_raise(file, node):
            yield file.found(node, "the result of this comparison is not used")


def _is_expected_to_raise(file: SuiteFile, node: ast.AST) -> bool:
    opened = (item.context_expr for each in file.around(node) if isinstance(each, ast.With) for item in each.items)
    names = (file.called(each).rpartition(".")[2].lower() for each in opened)
    return any("raises" in name or "warns" in name for name in names)


@check("broad-except", "error")
def broad_except(file: SuiteFile) -> Iterator[Found]:
    """A failed expectation is caught and dropped.

    `except Exception` and `suppress(Exception)` also catch the errors of assertions and of requests, so the test passes.

    Fix: remove the handler, or catch the one error that may occur. If an expectation may fail: `with response.may_fail("why")`.
    """
    for node in file.of(ast.Try, ast.TryStar):
        if _may_fail(file, node.body):
            # Only the first broad handler gets the failure.
            handler, name = next(
                ((each, name) for each in node.handlers if (name := _broad(file, each.type))), (None, "")
            )
            if handler is not None and _drops(file, handler):
                yield file.found(handler, f"{name} drops the failure of an expectation or a request")
    for with_ in file.of(ast.With, ast.AsyncWith):
        for item in with_.items:
            call = item.context_expr
            if file.called(call) == "contextlib.suppress" and isinstance(call, ast.Call):
                caught = [name for each in call.args if (name := _broad(file, each))]
                if caught and _may_fail(file, with_.body):
                    yield file.found(
                        call,
                        f"suppress({caught[0].removeprefix('except ')}) drops the failure of an expectation or a request",
                    )


def _broad(file: SuiteFile, node: ast.expr | None) -> str:
    """Return how a handler reads that also catches failed expectations; empty for any other one."""
    if node is None:
        return "a bare except"
    for each in node.elts if isinstance(node, ast.Tuple) else [node]:
        name = file.dotted(each)
        is_own = name.startswith("pytest_gaia") and name.rpartition(".")[2] in _OWN_ERRORS
        if name in _BROAD or is_own:
            return f"except {name.rpartition('.')[2]}"
    return ""


def _drops(file: SuiteFile, handler: ast.ExceptHandler) -> bool:
    """Whether a handler certainly drops the exception: it does not raise, fail, return a value or keep anything."""
    return all(_is_idle(file, each, handler) for each in handler.body)


def _is_idle(file: SuiteFile, node: ast.stmt, handler: ast.ExceptHandler) -> bool:
    match node:
        case ast.Pass() | ast.Continue() | ast.Break() | ast.Return(value=None):
            return True
        case ast.Return():
            return file.is_test(file.function(handler))
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call() as call):
            name = file.called(call)
            return any(name == each or (each.endswith(".") and name.startswith(each)) for each in _PRINTING)
    return False


def _may_fail(file: SuiteFile, body: Sequence[ast.stmt]) -> bool:
    nodes = [node for each in body for node in (each, *file.inside(each))]
    return file.expects(nodes) or any(_is_request(file, each) for each in nodes)


def _is_request(file: SuiteFile, node: ast.AST) -> bool:
    kind = file.kind(node.value) if isinstance(node, ast.Await) else None
    return kind is not None and kind.pending


@check("broad-raises", "error")
def broad_raises(file: SuiteFile) -> Iterator[Found]:
    """`pytest.raises(Exception)` is around an expectation.

    It also catches the error of the expectation itself, and of a typing error in the test.

    Fix: name the class of the error, or give `match=`.
    """
    for with_ in file.of(ast.With, ast.AsyncWith):
        for item in with_.items:
            call = item.context_expr
            if file.called(call) != "pytest.raises" or keyword(call, "match") is not None:
                continue
            caught = call.args[0] if isinstance(call, ast.Call) and call.args else None
            names = [file.dotted(each) for each in (caught.elts if isinstance(caught, ast.Tuple) else [caught])]
            if set(names) & set(_ALL) and item.optional_vars is None and _may_fail(file, with_.body):
                yield file.found(call, f"pytest.raises({', '.join(names)}) accepts every error")


@check("return-in-finally", "error")
def return_in_finally(file: SuiteFile) -> Iterator[Found]:
    """A `finally` block ends with `return`, `break` or `continue`.

    It discards the exception that is being raised, such as that of a failed assertion.

    Fix: move it after the `try` statement.
    """
    for node in file.of(ast.Try, ast.TryStar):
        for each in node.finalbody:
            yield from (
                file.found(leaving, f"{_WORD[type(leaving)]} in finally discards exceptions")
                for leaving in _leaving(each)
            )


_WORD: dict[type[ast.AST], str] = {ast.Return: "return", ast.Break: "break", ast.Continue: "continue"}


def _leaving(node: ast.AST, *, in_loop: bool = False) -> Iterator[ast.AST]:
    """Yield the statements that leave a ``finally`` block."""
    if isinstance(node, ast.Return) or (isinstance(node, ast.Break | ast.Continue) and not in_loop):
        yield node
    if not isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _leaving(child, in_loop=in_loop or isinstance(node, (*LOOPS, ast.While)))


@check("empty-loop", "error")
def empty_loop(file: SuiteFile) -> Iterator[Found]:
    """A loop over nothing contains an assertion.

    The assertion never runs, and `all(…)` of nothing is true.

    Fix: loop over what the test is about.
    """
    for loop in file.of(*LOOPS):
        if _is_empty(loop.iter) and file.expects([*file.inside(loop)]):
            yield file.found(loop, "this loop never runs")
    for call in _asserted_all(file):
        if any(_is_empty(each) for each in _iterated(call)):
            yield file.found(call, "all(…) of nothing is true")


def _is_empty(node: ast.AST) -> bool:
    match node:
        case ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Dict(keys=[]) | ast.Constant(value="" | b""):
            return True
        case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "dict" | "frozenset"), args=[], keywords=[]):
            return True
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=0)]):
            return True
    return False


def _asserted_all(file: SuiteFile) -> Iterator[ast.Call]:
    """Yield the calls of ``all`` that an assertion consists of."""
    for node in file.of(ast.Assert):
        if isinstance(node.test, ast.Call) and file.called(node.test) == "all":
            yield node.test


def _iterated(call: ast.Call) -> list[ast.expr]:
    """Return what ``all(…)`` reads: the iterables of a comprehension, or its argument itself."""
    if len(call.args) != 1:
        return []
    (argument,) = call.args
    if isinstance(argument, ast.GeneratorExp | ast.ListComp):
        return [each.iter for each in argument.generators]
    return [argument]


@check("unguarded-loop", "warning")
def unguarded_loop(file: SuiteFile) -> Iterator[Found]:
    """A test asserts only in a loop over a list from a response.

    If the list is empty, the test asserts nothing and passes.

    Fix: assert first that the list is not empty, or which elements it has.
    """
    for test in file.tests:
        nodes = [each for each in file.inside(test) if not _is_of_a_response(file, each)]
        # Any error that the test raises may be an assertion, too.
        asserting = [each for each in nodes if isinstance(each, ast.Raise) or file.expects([each])]
        loops = [_loop_around(file, each, test) for each in asserting]
        if asserting and all(each is not None and _is_from_response(file, each) for each in loops):
            first = min((each for each in loops if each is not None), key=lambda each: each.lineno)
            yield file.found(first, "nothing is asserted if this list is empty")


def _is_of_a_response(file: SuiteFile, node: ast.AST) -> bool:
    """Whether it is an expectation about the response itself, such as ``expect``, ``json`` or ``field``."""
    return isinstance(node, ast.Call) and file.method(node.func) is not None


def _loop_around(file: SuiteFile, node: ast.AST, test: Function) -> Loop | ast.Call | None:
    """Return the outermost loop around an assertion, or the ``all(…)`` in it."""
    found: Loop | ast.Call | None = None
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Call) and file.called(node.test) == "all":
        found = node.test
    for each in file.around(node):
        if each is test:
            break
        if isinstance(each, LOOPS):
            found = each
    return found


def _is_from_response(file: SuiteFile, loop: Loop | ast.Call) -> bool:
    iterables = _iterated(loop) if isinstance(loop, ast.Call) else [loop.iter]
    return bool(iterables) and file.kind(_unwrapped(file, iterables[0])) in (Kind("content"), Kind("stream"))


def _unwrapped(file: SuiteFile, node: ast.expr) -> ast.expr:
    """Return what ``enumerate``, ``sorted`` and the like go through."""
    while (
        file.called(node) in ("enumerate", "sorted", "reversed", "list", "set", "tuple")
        and isinstance(node, ast.Call)
        and node.args
    ):
        node = node.args[0]
    return node


@check("uncalled-assertions", "error")
def uncalled_assertions(file: SuiteFile) -> Iterator[Found]:
    """A nested function contains assertions, and is never called.

    Its assertions never run.

    Fix: call the function (with `await`, if it is asynchronous), or move its code out of it.
    """
    for function in file.of(*FUNCTIONS):
        outer = file.function(function)
        if outer is None or function.decorator_list or not file.expects([*file.inside(function)]):
            continue
        if not [each for each in file.loads(function.name, outer) if function not in file.around(each)]:
            yield file.found(function, f"{function.name} is never called")
