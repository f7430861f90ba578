"""Test files as the checks see them: which functions are tests, and which expressions are clients and responses."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

from pytest_gaia.config.platform import Platform
from pytest_gaia.preflight._suites.syntax import FUNCTIONS, Function, Scope, Source, is_generator, keyword


class Kind(NamedTuple):
    """What is known about an expression."""

    name: str
    """a key of ``METHODS``; ``content`` is what a response or a database contains; empty if only ``pending`` is known"""
    pending: bool = False
    """whether it is a coroutine, which has to be awaited"""


METHODS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "http": {
        **dict.fromkeys(("request", "get", "post", "put", "patch", "delete"), ("coroutine", "response")),
        **dict.fromkeys(("as_user", "with_key", "anonymous"), ("function", "http")),
        "stream": ("context", "stream"),
    },
    "response": {"expect": ("function", "expected"), **dict.fromkeys(("json", "field"), ("function", "content"))},
    "expected": {"expect": ("function", "expected"), **dict.fromkeys(("json", "field"), ("function", "content"))},
    "stream": {"collect": ("coroutine", "content")},
    "nats": {
        **dict.fromkeys(("open", "publish", "request"), ("coroutine", "")),
        "jetstream": ("function", "jetstream"),
        "subscribe": ("context", "events"),
    },
    "jetstream": dict.fromkeys(("publish", "info", "get", "last"), ("coroutine", "")),
    "events": dict.fromkeys(("wait_for", "expect_none"), ("coroutine", "")),
    "redis": {"command": ("coroutine", "")},
    "postgres": {
        **dict.fromkeys(("fetch", "fetchrow", "fetchval"), ("coroutine", "content")),
        **dict.fromkeys(("execute", "executemany"), ("coroutine", "")),
    },
    "content": dict.fromkeys(("get", "items", "values", "keys"), ("function", "content")),
}
"""kind → method → how it is used (``coroutine``, ``function`` or ``context``), and the kind of its result"""

_CLASSES = {
    "HttpClient": "http",
    "Response": "response",
    "EventStream": "stream",
    "Messaging": "nats",
    "JetStream": "jetstream",
    "EventLog": "events",
    "RedisClient": "redis",
    "Session": "postgres",
    "Services": "services",
    "Contract": "contract",
}
"""class of this package → kind"""

_FIXTURES = ("pytest.fixture", "pytest_asyncio.fixture")
_EXPECTING = ("expect", "expect_none")
"""methods that fail the test, whatever they belong to"""


@dataclass(frozen=True)
class Names:
    """Patterns of the settings of pytest that determine what is a test."""

    files: Sequence[str] = ("test_*.py", "*_test.py")
    classes: Sequence[str] = ("Test",)
    functions: Sequence[str] = ("test",)

    def file(self, name: str) -> bool:
        """Whether pytest reads tests from a file of this name."""
        return any(fnmatchcase(name, pattern) for pattern in self.files)

    def function(self, name: str) -> bool:
        """Whether a function of this name is a test."""
        return _begins(name, self.functions)

    def class_(self, name: str) -> bool:
        """Whether pytest reads tests from a class of this name."""
        return _begins(name, self.classes)


def _begins(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, each) if "*" in each else name.startswith(each) for each in patterns)


@dataclass
class SuiteFile(Source):
    """One Python file of the suites: a test file, a ``conftest.py``, or a module that they import."""

    suites: SuiteFiles = field(kw_only=True)
    _known: dict[tuple[Scope, str], Kind | None] = field(default_factory=dict)
    """kind of each name that was asked for"""
    _asserting: dict[Function, bool] = field(default_factory=dict)

    @cached_property
    def functions(self) -> dict[str, Function]:
        """The functions at the top of the module."""
        return {each.name: each for each in self.tree.body if isinstance(each, FUNCTIONS)}

    def is_test(self, function: ast.AST | None) -> bool:
        """Whether pytest runs a function as a test, if it is in a class also one that pytest does not read."""
        if not isinstance(function, FUNCTIONS) or not self.suites.names.file(self.base):
            return False
        scope = self.scope(function)
        in_class = isinstance(scope, ast.ClassDef) and not isinstance(self.scope(scope), FUNCTIONS)
        named = self.suites.names.function(function.name) and self.fixture(function) is None
        return named and (in_class or isinstance(scope, ast.Module))

    @cached_property
    def tests(self) -> list[Function]:
        """The tests of the file, in order."""
        found: list[Function] = [each for each in self.of(*FUNCTIONS) if self.is_test(each)]
        return sorted(found, key=lambda each: each.lineno)

    def has_empty_body(self, function: Function) -> bool:
        """Whether a function does nothing: its body is a docstring, ``pass``, ``...``, ``return`` or ``assert True``."""
        return all(_is_nothing(each) for each in function.body)

    def fixture(self, function: Function) -> str | None:
        """Return the name of the fixture that a function defines; None if it is not a fixture."""
        for decorator in function.decorator_list:
            if self.called(decorator) in _FIXTURES:
                name = keyword(decorator, "name")
                return str(name.value) if isinstance(name, ast.Constant) else function.name
        return None

    def marked(self, node: ast.AST, argument: str) -> bool:
        """Whether ``@pytest.mark.gaia(argument=…)`` is on a function around ``node``, its class or its module."""
        scopes = (each for each in (node, *self.around(node)) if isinstance(each, (*FUNCTIONS, ast.ClassDef)))
        marks = [mark for each in scopes for mark in each.decorator_list]
        for assigned in self.of(ast.Assign):
            if any(isinstance(each, ast.Name) and each.id == "pytestmark" for each in assigned.targets):
                value = assigned.value
                marks += value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        return any(self.called(each) == "pytest.mark.gaia" and keyword(each, argument) is not None for each in marks)

    # -- kinds of expressions

    def kind(self, node: ast.AST | None) -> Kind | None:
        """Return what is known about an expression; None if nothing is."""
        match node:
            case ast.Await():
                found = self.kind(node.value)
                return Kind(found.name) if found is not None and found.pending and found.name else None
            case ast.NamedExpr():
                return self.kind(node.value)
            case ast.Name():
                return self._named(node)
            case ast.Call():
                return self._call(node)
            case ast.Subscript():
                return self._item(node)
        return None

    def method(self, node: ast.AST | None) -> tuple[str, str] | None:
        """Return how the method of a client or a response is used, and the kind of its result."""
        owner = self.kind(node.value) if isinstance(node, ast.Attribute) else None
        if owner is None or owner.pending or not isinstance(node, ast.Attribute):
            return None
        return METHODS.get(owner.name, {}).get(node.attr)

    def _call(self, node: ast.Call) -> Kind | None:
        if (method := self.method(node.func)) is not None:
            how, result = method
            return Kind(f"context {result}") if how == "context" else Kind(result, how == "coroutine")
        if (owner := self.kind(node.func)) is not None and owner.name == "contract":
            return Kind("", pending=True)
        return self._result(*self.defined(node.func))

    def _result(self, file: SuiteFile, function: Function | None) -> Kind | None:
        """Return the kind of a call of ``function`` in ``file``."""
        if function is None or function.decorator_list or is_generator(function):
            return None
        name = file.annotated(function.returns) or ""
        pending = isinstance(function, ast.AsyncFunctionDef)
        return Kind(name, pending) if name or pending else None

    def defined(self, node: ast.AST) -> tuple[SuiteFile, Function | None]:
        """Return the function that a name refers to, and its file; None if it is unknown, or there may be several."""
        if not isinstance(node, ast.Name):
            return self, None
        for scope in self.scopes(node):
            bound = self.bindings(scope).get(node.id)
            if bound is not None:
                function = bound[0] if len(bound) == 1 else None
                if isinstance(function, FUNCTIONS):
                    return self, function
                break
        else:
            bound = None
        if bound is None and node.id in self.imports:
            module, _, name = self.imports[node.id].rpartition(".")
            other = self.suites.modules.get(module)
            if other is not None:
                return other, other.functions.get(name)
        return self, None

    def _item(self, node: ast.Subscript) -> Kind | None:
        owner = self.kind(node.value)
        if owner is None or owner.pending:
            return None
        if owner.name == "services" and isinstance(node.slice, ast.Constant):
            return self.suites.clients.get(str(node.slice.value).replace("-", "_"))
        return owner if owner.name == "content" else None

    def _named(self, node: ast.Name) -> Kind | None:
        for scope in self.scopes(node):
            bound = self.bindings(scope).get(node.id)
            if bound is not None:
                key = scope, node.id
                if key not in self._known:
                    # A name that is assigned from itself must not be followed forever.
                    self._known[key] = None
                    kinds = {self._of_binding(each, node.id, scope) for each in bound}
                    self._known[key] = kinds.pop() if len(kinds) == 1 else None
                return self._known[key]
        return None

    def _of_binding(self, node: ast.AST, name: str, scope: Scope) -> Kind | None:
        if isinstance(node, ast.arg):
            return self._of_parameter(node, name, scope)
        match self.parents[node]:
            case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign() | ast.NamedExpr() as bound:
                return self.kind(bound.value)
            case ast.withitem() as item if item.optional_vars is node:
                opened = self.kind(item.context_expr)
                is_context = opened is not None and opened.name.startswith("context ")
                return Kind(opened.name.removeprefix("context ")) if is_context and opened is not None else None
        return None

    def _of_parameter(self, node: ast.arg, name: str, scope: Scope) -> Kind | None:
        if node.annotation is not None:
            kind = self.annotated(node.annotation)
            return Kind(kind) if kind else None
        # pytest fills in parameters of tests and fixtures only; elsewhere a name proves nothing.
        if not isinstance(scope, FUNCTIONS) or not (self.is_test(scope) or self.fixture(scope)):
            return None
        return None if name in _parametrized(scope) else self.suites.fixture_kind(name)

    def annotated(self, node: ast.AST | None) -> str | None:
        """Return the kind for an annotation that names a class of this package."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
            full = self.imports.get(name, "")
        else:
            full = self.dotted(node)
        return _CLASSES.get(full.rpartition(".")[2]) if full.startswith("pytest_gaia") else None

    # -- what a function does

    def expects(self, nodes: Iterable[ast.AST]) -> bool:
        """Whether one of the nodes is an assertion, an expectation, or a call of a function that has one."""
        return any(map(self._expects, nodes))

    def _expects(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Raise):
            return self.called(node.exc) == "AssertionError"
        if not isinstance(node, ast.Call):
            return isinstance(node, ast.Assert)
        if isinstance(node.func, ast.Attribute):
            owner = self.kind(node.func.value)
            known = owner is not None and owner.name in ("response", "expected", "events")
            return node.func.attr in _EXPECTING or known or self.dotted(node.func) == "pytest.fail"
        file, function = self.defined(node.func)
        return function is not None and file.asserts(function)

    def asserts(self, function: Function) -> bool:
        """Whether a function has an assertion or an expectation, or calls another one of its project that has."""
        if function not in self._asserting:
            # Recursive functions must not be followed forever.
            self._asserting[function] = False
            self._asserting[function] = self.expects(self.inside(function))
        return self._asserting[function]


@dataclass
class SuiteFiles:
    """All Python files of the suites together, so that names in one can be found in another."""

    platform: Platform
    names: Names = field(default_factory=Names)
    strict_xfail: bool = False
    """whether the settings of pytest make ``xfail`` strict"""
    files: list[SuiteFile] = field(default_factory=list)
    _kinds: dict[str, Kind | None] = field(default_factory=dict)

    def add(self, name: str, text: str) -> SuiteFile:
        """Parse one file. Raises ``SyntaxError`` if it is no valid Python."""
        file = SuiteFile(name, text, ast.parse(text), suites=self)
        self.files.append(file)
        return file

    @cached_property
    def modules(self) -> dict[str, SuiteFile]:
        """Dotted name → file; also for the last parts of the name, if only one file has them."""
        found: dict[str, list[SuiteFile]] = defaultdict(list)
        for file in self.files:
            parts = file.module.split(".")
            for start in range(len(parts)):
                found[".".join(parts[start:])].append(file)
        return {name: files[0] for name, files in found.items() if len(files) == 1}

    @cached_property
    def clients(self) -> dict[str, Kind]:
        """Fixture of a service → kind."""
        found = {}
        for service in self.platform.services.values():
            if service.kind in METHODS:
                found[service.identifier] = Kind(service.kind)
                if service.kind == "postgres":
                    found[f"{service.identifier}_fresh"] = Kind(service.kind)
        return found

    @cached_property
    def defined(self) -> dict[str, list[tuple[SuiteFile, Function]]]:
        """Name of a fixture → the functions of the project that define it."""
        found: dict[str, list[tuple[SuiteFile, Function]]] = defaultdict(list)
        for file in self.files:
            for function in file.of(*FUNCTIONS):
                if (name := file.fixture(function)) is not None:
                    found[name].append((file, function))
        return found

    @cached_property
    def classes(self) -> dict[str, tuple[SuiteFile, ast.ClassDef]]:
        """Name → one of the classes of this name."""
        return {each.name: (file, each) for file in self.files for each in file.of(ast.ClassDef)}

    def is_imported(self, file: SuiteFile) -> bool:
        """Whether another file imports something of ``file``."""
        parts = file.module.split(".")
        return any(".".join(parts[start:]) in self._imported for start in range(len(parts)))

    @cached_property
    def _imported(self) -> set[str]:
        """The dotted names that files import, and those of the modules around them."""
        names = (name.split(".") for each in self.files for name in each.imports.values())
        return {".".join(parts[:end]) for parts in names for end in range(1, len(parts) + 1)}

    @cached_property
    def bases(self) -> set[str]:
        """The names of classes that other classes inherit from."""
        return {
            file.dotted(base).rpartition(".")[2]
            for file in self.files
            for each in file.of(ast.ClassDef)
            for base in each.bases
        }

    def fixture_kind(self, name: str) -> Kind | None:
        """Return what is known about the value of a fixture; None if several definitions differ."""
        if name not in self._kinds:
            self._kinds[name] = None
            kinds = {_yielded(file, function) for file, function in self.defined.get(name, ())}
            own = self.clients.get(name) or _OWN_FIXTURES.get(name)
            self._kinds[name] = (kinds.pop() if len(kinds) == 1 else None) if kinds else own
        return self._kinds[name]


_OWN_FIXTURES = {"services": Kind("services"), "gaia_contract": Kind("contract")}


def _yielded(file: SuiteFile, function: Function) -> Kind | None:
    """Return the kind of the value of a fixture."""
    if function.returns is not None:
        inner = function.returns.slice if isinstance(function.returns, ast.Subscript) else function.returns
        name = file.annotated(inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner)
        return Kind(name) if name else None
    values = {file.kind(each.value) for each in file.inside(function) if isinstance(each, ast.Return | ast.Yield)}
    kind = values.pop() if len(values) == 1 else None
    return None if kind is None or kind.pending else kind


def _is_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Return(value=None) | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assert(test=ast.Constant(value=value)):
            return bool(value)
    return False


def _parametrized(function: Function) -> set[str]:
    """Return the parameters that ``parametrize`` fills in."""
    found: set[str] = set()
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "parametrize":
            names = mark.args[0] if mark.args else keyword(mark, "argnames")
            parts = names.elts if isinstance(names, ast.List | ast.Tuple) else [names]
            texts = (each.value for each in parts if isinstance(each, ast.Constant))
            found |= {name.strip() for text in texts for name in str(text).split(",")}
    return found
