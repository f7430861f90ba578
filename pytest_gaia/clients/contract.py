"""Contract tests: requests that an OpenAPI document describes, and responses that conform to it.

The only module that imports Schemathesis and Hypothesis. They generate requests and check responses; the clients of the
environment send, so that the write guard, timeouts, recording and masking apply.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from inspect import currentframe
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import HypothesisException
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from schemathesis import GenerationMode, openapi
from schemathesis import Response as Received
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SanitizationConfig, SchemathesisConfig
from schemathesis.core.errors import InvalidSchema, SchemathesisError
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.openapi.checks import JsonSchemaError
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from schemathesis.transport.prepare import prepare_request

from pytest_gaia.clients.exchanges import from_json
from pytest_gaia.clients.guard import OVERRIDES, is_unsafe
from pytest_gaia.clients.http._arguments import fill
from pytest_gaia.clients.http.client import HttpClient
from pytest_gaia.clients.http.responses import Response
from pytest_gaia.clients.reasons import hide
from pytest_gaia.clients.services import ClientSet
from pytest_gaia.config.platform import READING_METHODS, Service
from pytest_gaia.config.services import unknown_service
from pytest_gaia.errors import ConfigError, GaiaError, NotApplicable, UnexpectedResponse, WriteRefused
from pytest_gaia.files.yaml import read_yaml

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__tracebackhide__ = hide

_CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
"""Other checks of Schemathesis send requests themselves, past the write guard, or need status codes that few documents list."""

_NOT_PUBLISHED = (404, 405, 410)
_AT_ONCE = 8
"""concurrent requests of a contract test"""

_SEED = 0
_WRONG = (SchemathesisError, AssertionError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""what Schemathesis raises for a document that is wrong"""
_AS_IT_IS = SanitizationConfig(enabled=False)

_NEVER_SENT = {"authorization", "connection", "content-length", "cookie", "host", "transfer-encoding", "x-api-key"}
_NEVER_SENT |= {"upgrade", *OVERRIDES}
"""generated headers and parameters that are dropped: credentials, which the client sends, and what controls the connection"""


class Contract:
    """The value of the fixture ``gaia_contract``: compares the responses of a service with its OpenAPI document."""

    def __init__(
        self, clients: ClientSet, folder: Path, subtest: Callable[[str], AbstractContextManager[object]]
    ) -> None:
        """``folder`` has the documents that are files. ``subtest`` begins a subtest with a name."""
        self._clients = clients
        self._folder = folder
        self._subtest = subtest

    async def __call__(
        self, service: str, *, examples: int = 5, operations: Sequence[str] = (), writes: bool = False
    ) -> None:
        """Send generated requests to ``service`` and check each response; one subtest for each operation.

        At most ``examples`` different requests are sent to each operation; they are the same in every run. ``operations``
        selects some, such as ``["GET /v2/products*"]``. By default these are the operations that change nothing: GET,
        HEAD and OPTIONS that `unsafe` does not list, and those that `safe` lists. ``writes`` adds the others, which need the
        marker ``writes=True`` and an environment that permits writes; operations in `unsafe` are never sent.

        A response fails the subtest if its status is 5xx, if its content type is not documented, or if its body violates
        the schema for its status.

        Raises ``ConfigError`` for a service without a document and for ``operations`` that match none, ``NotApplicable``
        if this environment has no URL of the service or does not publish the document, ``UnexpectedResponse`` for an
        invalid document.
        """
        here = currentframe()
        caller = here and here.f_back
        try:
            async for name, error in self._run(service, examples, operations, writes):
                with self._subtest(name):
                    if error is not None and caller is not None:
                        # As if the statement in the test had raised it.
                        raise error.with_traceback(TracebackType(None, caller, caller.f_lasti, caller.f_lineno))
        except GaiaError as error:
            # The message has the details; the traceback should end in the test.
            raise error.with_traceback(None) from None

    async def _run(
        self, service: str, examples: int, patterns: Sequence[str], writes: bool
    ) -> AsyncIterator[tuple[str, BaseException | None]]:
        """Yield the name of each operation with each of its errors, or with None."""
        if type(examples) is not int or examples < 1:
            raise ConfigError(f"gaia_contract: examples is {examples!r}, expected a number of requests, at least 1.")
        client = self._client(service)
        source, document = await self._document(client)
        described = client.environment.platform[service]
        found = _operations(source, document, client.base_url)
        chosen = _chosen(described, found, (patterns,) if isinstance(patterns, str) else patterns, writes)
        dropped = _NEVER_SENT | {each.header.lower() for each in described.auth} | _credentials(document)
        # All requests exist before the first one is sent.
        planned = [(each, each.requests(examples, dropped)) for each in chosen]
        turns = asyncio.Semaphore(_AT_ONCE)
        # An operation that writes may change what another one returns, so each has to wait for the one before it.
        for batch in [[each] for each in planned] if writes else [planned]:
            found_in = await asyncio.gather(*(_errors(client, *each, turns) for each in batch))
            for (operation, _), errors in zip(batch, found_in, strict=True):
                for error in errors or (None,):
                    yield operation.name, error

    def _client(self, service: str) -> HttpClient:
        environment = self._clients.environment
        platform = environment.platform
        if service not in platform:
            raise ConfigError(f"gaia_contract: {unknown_service(service, platform, platform.http)}")
        described = platform[service]
        if not described.is_http or described.openapi is None:
            why = f"its kind is {described.kind}" if not described.is_http else "openapi = false"
            raise ConfigError(
                f"gaia_contract: {service} has no OpenAPI document ({why}). "
                f"Set `openapi` in [services.{service}] of gaia.toml to its path or file."
            )
        client = self._clients.http(service)
        if not environment.has(service):
            raise NotApplicable(
                f"{service} has no URL of its own in {environment.label}, so its document does not describe its paths there"
            )
        return client

    async def _document(self, client: HttpClient) -> tuple[_Source, dict[str, Any]]:
        """Return the document of the service of ``client``, fetched or read."""
        where = client.environment.platform[client.service].openapi or ""
        if not where.startswith("/"):
            try:
                return _parsed(_Source(where), (self._folder / where).read_text(encoding="utf-8", errors="replace"))
            except OSError as error:
                raise ConfigError(f"{where}: the OpenAPI document cannot be read: {error.strerror}.") from None
        response = await client.get(where)
        if response.status in _NOT_PUBLISHED:
            raise NotApplicable(
                f"{client.service} publishes no OpenAPI document in {client.environment.label}: GET {where} returned "
                f"{response.status}. Set `openapi` in [services.{client.service}] of gaia.toml to its path or file"
            )
        return _parsed(_Source(where, response.expect(200)), response.text)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a document is from."""

    where: str
    response: Response | None = None

    def invalid(self, problem: str) -> GaiaError:
        """Return the error for an invalid document."""
        if self.response is not None:
            return self.response.unexpected(f"published an invalid OpenAPI document: {problem}")
        return ConfigError(f"{self.where}: invalid OpenAPI document: {problem}.")


def _parsed(source: _Source, text: str) -> tuple[_Source, dict[str, Any]]:
    try:
        is_yaml = source.where.endswith((".yaml", ".yml"))
        document = read_yaml(text, source.where)[0] if is_yaml else from_json(text)
    except (ValueError, ConfigError) as error:
        raise source.invalid(str(error).rstrip(".")) from None
    if not isinstance(document, dict):
        raise source.invalid("it is not an object")
    if (reference := next(_outside(document), None)) is not None:
        raise source.invalid(f"it refers to {reference}, which is outside of it; only one document can be tested")
    return source, document


def _outside(value: Any) -> Iterator[str]:
    """Yield references that Schemathesis would follow by itself."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            for key in ("$ref", "$dynamicRef", "$recursiveRef", "externalValue", "$id"):
                if isinstance(target := value.get(key), str) and not target.startswith("#"):
                    yield target


def _credentials(document: dict[str, Any]) -> set[str]:
    """Return the names of parameters with credentials, in lower case."""
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else document.get("securityDefinitions")
    found = schemes.values() if isinstance(schemes, dict) else ()
    return {str(each["name"]).lower() for each in found if isinstance(each, dict) and "name" in each}


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of a document."""

    method: str
    path: str
    """its path below the base URL of the service, with names of parameters that the client takes"""
    described: Any
    """the operation of Schemathesis; the reason if the document describes it wrongly"""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def requests(self, examples: int, dropped: set[str]) -> list[_Request] | str:
        """Return at most ``examples`` different requests, examples of the document first; or why there are none."""
        if isinstance(self.described, str):
            return self.described
        found: dict[object, _Request] = {}
        try:
            for case in _cases(self.described, examples):
                if (request := _Request.of(case, dropped)) is not None and len(found) < examples:
                    found.setdefault(request.key, request)
        except (HypothesisException, *_WRONG) as error:
            return _first_line(error)
        return list(found.values()) or "no client can send what it describes"


def _operations(source: _Source, document: dict[str, Any], base_url: str) -> list[_Operation]:
    generation = GenerationConfig(modes=[GenerationMode.POSITIVE], with_security_parameters=False)
    # Without a configuration, Schemathesis looks for a file in the working directory.
    config = SchemathesisConfig(seed=_SEED, projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    try:
        schema = openapi.from_dict(document, config=config)
        prefix = schema.base_path.rstrip("/")
        # The URL of the service may contain the path of the document's server.
        before = "" if urlsplit(base_url).path.rstrip("/").endswith(prefix) else prefix
        found = [
            _operation(each.ok() if isinstance(each, Ok) else each.err(), before)
            for each in schema.get_all_operations()
        ]
    except _WRONG as error:
        raise source.invalid(_first_line(error)) from None
    if not found:
        raise source.invalid("it has no operations")
    return found


def _operation(found: Any, before: str) -> _Operation:
    if isinstance(found, InvalidSchema) and not (found.method and found.path):
        raise found
    path = re.sub(r"\{([^{}]+)\}", lambda parameter: f"{{{_name(parameter[1])}}}", found.path)
    described = _first_line(found) if isinstance(found, InvalidSchema) else found
    return _Operation(found.method.upper(), before + path, described)


def _name(parameter: str) -> str:
    """Return the name of a path parameter as a template of the client can have it."""
    return re.sub(r"\W", "_", parameter)


def _chosen(service: Service, found: list[_Operation], patterns: Sequence[str], writes: bool) -> list[_Operation]:
    """Return the selected operations of those that the write guard may permit."""
    matching = [each for each in found if not patterns or any(fnmatchcase(each.name, one) for one in patterns)]
    if not matching:
        raise ConfigError(
            f"gaia_contract: operations={list(patterns)!r} matches no operation of {service.name}, which has "
            f"{', '.join(sorted(each.name for each in found))}."
        )
    chosen = [
        each
        for each in matching
        if service.allows(each.method, each.path) or (writes and each.method not in READING_METHODS)
    ]
    if not chosen:
        raise NotApplicable(
            f"all selected operations of {service.name} may change something: "
            f"{', '.join(each.name for each in matching)}. gaia_contract(…, writes=True) sends those not in `unsafe`"
        )
    return chosen


@dataclass(frozen=True, slots=True)
class _Request:
    """One generated request."""

    case: Any
    """the case of Schemathesis, which checks the response"""
    prepared: Any
    """the request as Schemathesis would send it"""
    path_params: Mapping[str, str]
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, case: Any, dropped: set[str]) -> _Request | None:
        """Return the request of a case without headers and parameters in ``dropped``; None if a client cannot send it."""
        case.cookies = {}
        prepared = prepare_request(case, None, config=_AS_IT_IS, base_url="http://service")
        path_params = {_name(name): unquote(str(value)) for name, value in case.path_parameters.items()}
        if any(value in ("", ".", "..") for value in path_params.values()):
            return None
        query = parse_qsl(urlsplit(prepared.url or "").query, keep_blank_values=True)
        generated = {*map(str.lower, case.headers), "content-type"} - dropped
        sent = {name.lower(): _sendable(value) for name, value in prepared.headers.items() if name.lower() in generated}
        params = tuple((name, value) for name, value in query if name.lower() not in dropped)
        return cls(case, prepared, path_params, params, sent)

    @property
    def key(self) -> object:
        """What makes it another request."""
        return *self.path_params.values(), self.params, *self.headers.items(), self.content

    @property
    def content(self) -> bytes | None:
        body = self.prepared.body
        return body.encode() if isinstance(body, str) else body

    def check(self, response: Response) -> Iterator[tuple[object, UnexpectedResponse]]:
        """Yield the error for a response that does not conform, after what makes it different from others."""
        received = Received(
            response.status,
            {name: [value] for name, value in response.headers.items()},
            response.body,
            self.prepared,
            response.elapsed,
            verify=True,
        )
        try:
            self.case.validate_response(received, checks=_CHECKS)
        except FailureGroup as group:
            problems = sorted(_problem(each) for each in group.exceptions)
            kind = response.status, *sorted((type(each).__name__, each.title) for each in group.exceptions)
            yield kind, response.unexpected(f"violates its OpenAPI document: {'; '.join(problems)}")


def _sendable(value: str | bytes) -> str:
    """Return the part of a generated header that HTTP clients can send."""
    value = value if isinstance(value, str) else value.decode("latin-1")
    return re.sub(r"[^\t -~]", "", value).strip()


def _problem(failure: Any) -> str:
    """Return one line about a failure, without the value that violates the schema, which may be long."""
    if isinstance(failure, JsonSchemaError):
        place = ".".join(map(str, ("body", *failure.instance_path)))
        return f"{place}: {failure.validation_message}"
    return ": ".join(filter(None, (failure.title, " ".join(failure.message.split()))))


async def _errors(
    client: HttpClient, operation: _Operation, requests: list[_Request] | str, turns: asyncio.Semaphore
) -> list[BaseException]:
    """Send the requests of one operation and check their responses; return one error for each kind of failure."""
    if isinstance(requests, str):
        return [ConfigError(f"no request for {operation.name} of {client.service} can be generated: {requests}.")]
    service = client.environment.platform[client.service]

    async def sent(request: _Request) -> Response:
        # With permission to write, the guard also permits these.
        if operation.method in READING_METHODS and is_unsafe(service, fill(operation.path, request.path_params)):
            raise WriteRefused(f"nothing was sent: a generated path of {operation.name} is one that `unsafe` lists.")
        async with turns:
            return await client.request(
                operation.method,
                operation.path,
                path_params=request.path_params,
                params=request.params,
                content=request.content,
                headers=request.headers,
            )

    results = await asyncio.gather(*map(sent, requests), return_exceptions=True)
    errors: dict[object, BaseException] = {}
    for request, result in zip(requests, results, strict=True):
        if isinstance(result, BaseException):
            errors.setdefault(type(result), result)
        else:
            for kind, error in request.check(result):
                errors.setdefault(kind, error)
    return list(errors.values())


_BACKEND = "gaia-contract"


class _Provider(HypothesisProvider):
    """Generates without constants, which Hypothesis collects from modules that this process has imported.

    These differ between workers and runs.
    """

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS[_BACKEND] = f"{__name__}.{_Provider.__name__}"


def _cases(operation: Any, examples: int) -> Iterator[Any]:
    for strategy in operation.get_strategies_from_examples()[:examples]:
        yield from _drawn(strategy, 1)
    yield from _drawn(operation.as_strategy(), examples)


def _drawn(strategy: SearchStrategy[Any], number: int) -> list[Any]:
    """Return at most ``number`` cases, the same in every process."""
    found: list[Any] = []

    @seed(_SEED)
    @settings(
        backend=_BACKEND,
        max_examples=number,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate,),
        print_blob=False,
        report_multiple_bugs=False,
        stateful_step_count=1,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(strategy)
    def draw(case: Any) -> None:
        found.append(case)

    draw()
    return found[:number]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
