"""The syntax tree of one Python file, with what a tree alone does not have: parents, scopes and full names."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias, TypeVar, overload

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.findings import Found

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = Function | ast.Lambda | ast.ClassDef | ast.Module
Loop: TypeAlias = ast.For | ast.AsyncFor
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOPS = (ast.For, ast.AsyncFor)
_SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)

_N = TypeVar("_N", bound=ast.AST)
_M = TypeVar("_M", bound=ast.AST)


@dataclass
class Source:
    """One Python file: its syntax tree, with the parent, the scope and the full name of each node."""

    name: str
    """path relative to the project"""
    text: str
    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    """local name → dotted name of what is imported"""
    _nodes: dict[type[ast.AST], list[Any]] = field(default_factory=lambda: defaultdict(list))
    _bound: dict[Scope, dict[str, list[ast.AST]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        open_nodes: list[ast.AST] = [self.tree]
        while open_nodes:
            node = open_nodes.pop()
            self._nodes[type(node)].append(node)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                open_nodes.append(child)
        for node in self.of(ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                self.imports[each.asname or top] = each.name if each.asname else top
        for imported in self.of(ast.ImportFrom):
            module = self._module_of(imported)
            self.imports |= {each.asname or each.name: f"{module}.{each.name}" for each in imported.names}

    def _module_of(self, node: ast.ImportFrom) -> str:
        package = self.module.split(".")[: -node.level] if node.level else []
        return ".".join([*package, *([node.module] if node.module else [])])

    @cached_property
    def module(self) -> str:
        """The dotted name that the file has when the project's folder is in the path of imports."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def base(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]

    @property
    def is_conftest(self) -> bool:
        """Whether it is a ``conftest.py``."""
        return self.base == "conftest.py"

    @overload
    def of(self, one: type[_N], /) -> Iterator[_N]: ...
    @overload
    def of(self, one: type[_N], other: type[_M], /) -> Iterator[_N | _M]: ...
    def of(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        """Yield all nodes of these classes."""
        for kind in kinds:
            yield from self._nodes.get(kind, ())

    def place(self, node: ast.AST) -> Place:
        """Return the place of a node."""
        return Place(self.name, getattr(node, "lineno", 1))

    def found(self, node: ast.AST, text: str, fix: str = "") -> Found:
        """Return a result at ``node``; without ``fix``, that of the check."""
        return Found(self.place(node), text, fix)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around ``node``, from the inside out."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def scope(self, node: ast.AST) -> Scope:
        """Return the function, class or module that contains ``node``."""
        return next(each for each in self.around(node) if isinstance(each, (*_SCOPES, ast.Module)))

    def function(self, node: ast.AST) -> Function | None:
        """Return the function around ``node``; None at the top of a module, in a class and in a lambda."""
        scope = self.scope(node)
        return scope if isinstance(scope, FUNCTIONS) else None

    def inside(self, scope: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes that run with ``scope``: without those of functions and classes in it."""
        open_nodes = list(_parts(scope))
        while open_nodes:
            node = open_nodes.pop()
            yield node
            if not isinstance(node, _SCOPES):
                open_nodes.extend(ast.iter_child_nodes(node))

    def dotted(self, node: ast.AST | None) -> str:
        """Return the full name of what an expression names: ``pytest.mark.skip``; empty if it is not a name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def imported(self, node: ast.AST) -> str:
        """Return the full name of what an expression names, if it is imported; empty if it is not."""
        first = node
        while isinstance(first, ast.Attribute):
            first = first.value
        if not isinstance(first, ast.Name) or first.id not in self.imports:
            return ""
        local = any(first.id in self.bindings(scope) for scope in self.scopes(first))
        return "" if local else self.dotted(node)

    def called(self, node: ast.AST | None) -> str:
        """Return the full name of the function that a call, or a decorator without a call, names."""
        return self.dotted(node.func if isinstance(node, ast.Call) else node)

    def scopes(self, node: ast.AST) -> Iterator[Scope]:
        """Yield the scopes that a name may be bound in, from the inside out."""
        in_function = False
        for each in self.around(node):
            # Functions do not see the names of their class.
            if isinstance(each, (*FUNCTIONS, ast.Lambda, ast.Module)) or (
                isinstance(each, ast.ClassDef) and not in_function
            ):
                yield each
            in_function = in_function or isinstance(each, (*FUNCTIONS, ast.Lambda))

    def bindings(self, scope: Scope) -> dict[str, list[ast.AST]]:
        """Return name → the nodes that bind it in ``scope``: parameters, definitions, and names that are assigned."""
        if scope not in self._bound:
            found: dict[str, list[ast.AST]] = defaultdict(list)
            if isinstance(scope, (*FUNCTIONS, ast.Lambda)):
                for each in parameters(scope):
                    found[each.arg].append(each)
            for node in self.inside(scope):
                if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                    found[node.name].append(node)
                elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    found[node.id].append(node)
                elif isinstance(node, ast.ExceptHandler) and node.name:
                    found[node.name].append(node)
            self._bound[scope] = dict(found)
        return self._bound[scope]

    def loads(self, name: str, scope: ast.AST) -> list[ast.Name]:
        """Return where ``scope``, functions in it included, uses the value of a name."""
        names = (each for each in ast.walk(scope) if isinstance(each, ast.Name))
        return [each for each in names if each.id == name and isinstance(each.ctx, ast.Load)]

    def is_dropped(self, node: ast.AST) -> bool:
        """Whether the value of an expression is not used: it is a statement, or assigned to a name that is never used."""
        parent = self.parents[node]
        if isinstance(parent, ast.Expr):
            return True
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name):
            scope = self.scope(node)
            name = parent.targets[0].id
            shared = any(name in each.names for each in self.of(ast.Global, ast.Nonlocal))
            return isinstance(scope, FUNCTIONS) and not shared and not self.loads(name, scope)
        return False


def parameters(function: Function | ast.Lambda) -> list[ast.arg]:
    """Return all parameters of a function."""
    own = function.args
    more = [each for each in (own.vararg, own.kwarg) if each is not None]
    return [*own.posonlyargs, *own.args, *own.kwonlyargs, *more]


def keyword(call: ast.AST, name: str) -> ast.expr | None:
    """Return the value of a keyword argument; None without it."""
    found = call.keywords if isinstance(call, ast.Call) else []
    return next((each.value for each in found if each.arg == name), None)


def is_generator(function: Function) -> bool:
    """Whether a function yields."""
    open_nodes: list[ast.AST] = list(function.body)
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, _SCOPES):
            open_nodes.extend(ast.iter_child_nodes(node))
    return False


def is_constant(node: ast.AST | None, value: object) -> bool:
    """Whether an expression is the constant ``value``."""
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value


def _parts(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes in the body of a scope."""
    body = getattr(scope, "body", None)
    if isinstance(body, list):
        yield from body
    else:
        yield from ast.iter_child_nodes(scope)
