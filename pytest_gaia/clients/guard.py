"""The write guard: blocks every write unless both the test and the environment permit it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from posixpath import normpath
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

from pytest_gaia.clients.network import may_write
from pytest_gaia.clients.reasons import hide
from pytest_gaia.config.addresses import endpoints
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import READING_METHODS, Operation, Service
from pytest_gaia.errors import WriteRefused

__tracebackhide__ = hide

TEST_SUBJECTS = "gaia.test."
"""prefix of subjects that are reserved for tests, where publishing is always permitted"""

MARKER = "@pytest.mark.gaia(writes=True)"

# First words of statements that read. A write inside of one (a CTE that inserts, a function with side effects) is
# blocked by the READ ONLY transaction, not by this list.
_READING = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN"})
_READING_REDIS = frozenset(
    [
        "BITCOUNT",
        "BITFIELD_RO",
        "BITPOS",
        "DBSIZE",
        "DUMP",
        "ECHO",
        "EXISTS",
        "EXPIRETIME",
        "GEODIST",
        "GEOHASH",
        "GEOPOS",
        "GEORADIUSBYMEMBER_RO",
        "GEORADIUS_RO",
        "GEOSEARCH",
        "GET",
        "GETBIT",
        "GETRANGE",
        "HEXISTS",
        "HEXPIRETIME",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HLEN",
        "HMGET",
        "HPEXPIRETIME",
        "HPTTL",
        "HRANDFIELD",
        "HSCAN",
        "HSTRLEN",
        "HTTL",
        "HVALS",
        "INFO",
        "KEYS",
        "LASTSAVE",
        "LCS",
        "LINDEX",
        "LLEN",
        "LPOS",
        "LRANGE",
        "MEMORY USAGE",
        "MGET",
        "OBJECT ENCODING",
        "OBJECT FREQ",
        "OBJECT IDLETIME",
        "OBJECT REFCOUNT",
        "PEXPIRETIME",
        "PING",
        "PTTL",
        "PUBSUB CHANNELS",
        "PUBSUB NUMPAT",
        "PUBSUB NUMSUB",
        "RANDOMKEY",
        "SCAN",
        "SCARD",
        "SDIFF",
        "SINTER",
        "SINTERCARD",
        "SISMEMBER",
        "SMEMBERS",
        "SMISMEMBER",
        "SORT_RO",
        "SRANDMEMBER",
        "SSCAN",
        "STRLEN",
        "SUBSTR",
        "SUNION",
        "TIME",
        "TTL",
        "TYPE",
        "XINFO CONSUMERS",
        "XINFO GROUPS",
        "XINFO STREAM",
        "XLEN",
        "XPENDING",
        "XRANGE",
        "XREAD",
        "XREVRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZDIFF",
        "ZINTER",
        "ZINTERCARD",
        "ZLEXCOUNT",
        "ZMSCORE",
        "ZRANDMEMBER",
        "ZRANGE",
        "ZRANGEBYLEX",
        "ZRANGEBYSCORE",
        "ZRANK",
        "ZREVRANGE",
        "ZREVRANGEBYLEX",
        "ZREVRANGEBYSCORE",
        "ZREVRANK",
        "ZSCAN",
        "ZSCORE",
        "ZUNION",
    ]
)
"""commands of Redis that only read; scripts do not, because what they do is not known"""

_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([A-Za-z]*)", re.DOTALL)


def reads_only(statement: str) -> bool:
    """Return whether a statement begins like one that only reads; see :mod:`pytest_gaia.clients.database.sessions`."""
    match = _FIRST_WORD.match(statement)
    return match is not None and match[1].upper() in _READING


def reads_redis(command: Sequence[str]) -> bool:
    """Return whether a command only reads. ``command`` is its name in capitals, and the word after it if it has one."""
    name, *after = command
    return name in _READING_REDIS or (bool(after) and f"{name} {after[0].upper()}" in _READING_REDIS)


_AMBIGUOUS = re.compile(r"[\\;?#%\x00-\x1f]")
"""characters that make a decoded path another one for some servers"""


def _is_safe(service: Service, verb: str, path: str) -> bool:
    """Whether ``safe`` of the service lists a request, however the server decodes and normalizes its path."""
    forms = tuple(_forms(path))
    return not any(map(_AMBIGUOUS.search, forms[1:] or forms)) and all(
        any(each.matches(verb, form) for each in service.safe) for form in forms
    )


def is_unsafe(service: Service, path: str) -> bool:
    """Whether a server could take ``path`` for one that ``unsafe`` of the service lists."""
    if not service.unsafe:
        return False
    listed = [Operation("GET", each.path.casefold()) for each in service.unsafe]
    found = {form for each in _forms(path) for form in (each, re.sub(r";[^/]*", "", each.replace("\\", "/")))}
    forms = {form.strip("\x00 \t").casefold() for form in found}
    return any(each.matches("GET", form) for each in listed for form in forms | {f.rstrip("/") or "/" for f in forms})


def _forms(path: str) -> Iterator[str]:
    """Yield ``path`` as it is sent, decoded, and without empty segments and dots."""
    yield path
    decoded = unquote(path)
    if decoded != path:
        yield decoded
    plain = normpath(f"/{decoded.lstrip('/')}")
    if plain != (decoded.rstrip("/") or "/"):
        yield plain


_OVERRIDE_HEADERS = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})
_OVERRIDE_PARAMETER = "_method"
OVERRIDES = _OVERRIDE_HEADERS | {_OVERRIDE_PARAMETER}
"""headers and parameters that make some servers execute another method, in lower case"""
_OVERRIDE_IN_BODY = re.compile(rb'(?:^|[&"])_method["=]')

_HOST_HEADER = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def _disguise(url: str, headers: Mapping[str, str], body: bytes | None) -> str:
    """Return what makes some servers execute something else than method and path say; empty if there is nothing."""
    if override := _OVERRIDE_HEADERS.intersection(headers):
        return f"with the header {min(override)}"
    if "upgrade" in headers:
        return "with the header upgrade"
    if "host" in headers and not _is_host(headers["host"], url):
        return "with a header host that names another server"
    query = url.partition("?")[2]
    if _OVERRIDE_PARAMETER in unquote(query) and _OVERRIDE_PARAMETER in dict(parse_qsl(query, keep_blank_values=True)):
        return f"with {_OVERRIDE_PARAMETER} in its query"
    if body and _OVERRIDE_IN_BODY.search(unquote_to_bytes(body)):
        return f"with {_OVERRIDE_PARAMETER} in its body"
    return ""


def _is_host(given: str, url: str) -> bool:
    """Whether a ``Host`` header names the server of ``url``."""
    scheme, _, _ = url.partition("://")
    return _HOST_HEADER.fullmatch(given) is not None and endpoints(f"{scheme}://{given}")[0] == endpoints(url)[0]


class WriteGuard:
    """Blocks writes by default: a write needs the marker on the test *and* an environment that permits writes.

    All clients of a session share one guard. ``is_marked`` returns whether the test that calls is marked with
    ``writes=True``, and still runs.
    """

    def __init__(self, environment: Environment, is_marked: Callable[[], bool] = lambda: False) -> None:
        self._environment = environment
        self._is_marked = is_marked

    @property
    def open(self) -> bool:
        """Whether the test that calls may write."""
        # A test can create a guard of its own, which permits nothing that the run forbids.
        return self._environment.writes and self._is_marked() and may_write()

    def check_http(
        self,
        service: str,
        method: str,
        path: str,
        called: tuple[str, str] | None = None,
        *,
        url: str = "",
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes | None = None,
    ) -> None:
        """Raise :class:`WriteRefused` unless the request changes nothing (see :meth:`Service.allows`) or is permitted.

        ``service`` receives the request: it is ``via`` for a request through another service, where ``called`` is the
        service that the test called, and its path. ``path`` is the path that is sent, without the query. Only what
        ``service`` lists as safe is safe; what either of them lists as unsafe is not. ``headers`` have lower-case names.
        """
        verb = method.upper()
        if self.open:
            return
        services = self._environment.platform.services
        described = services.get(service)
        unsafe: list[str] = []
        reads = False
        if described is not None and verb in READING_METHODS:
            asked = ((service, path), *([called] if called else []))
            unsafe = [name for name, its_path in asked if is_unsafe(services[name], its_path)]
            reads = not unsafe
        elif described is not None:
            reads = _is_safe(described, verb, path)
        if described is not None and reads:
            self._check_disguise(described, f"{verb} {path}", _disguise(url, headers, body))
            if body and verb in READING_METHODS and not _is_safe(described, verb, path):
                todo = f' If {service} does not, add "{verb} {path}" to `safe` of [services.{service}].'
                self._check_disguise(described, f"{verb} {path}", "with a body", todo)
            return
        safe = ", ".join(map(str, described.safe)) if described else ""
        listed = "".join(f" `unsafe` of [services.{each}] lists it." for each in unsafe)
        via = f" It is a request for {called[0]}: `safe` of {service} counts, which receives it." if called else ""
        raise self.refusal(
            f"{verb} {path} to {service}",
            hint=f"{listed}{'' if unsafe else via} Safe requests to {service}: {safe or 'none'}.",
        )

    def _check_disguise(self, service: Service, what: str, how: str, todo: str = "") -> None:
        if how:
            hint = f" Some services write then, although {what} only reads.{todo}"
            raise self.refusal(f"{what} to {service.name} {how}", hint=hint)

    def check_redis(self, service: str, command: Sequence[str]) -> None:
        """Raise :class:`WriteRefused` unless the command only reads, or writes are permitted."""
        if self.open or reads_redis(command):
            return
        raise self.refusal(f"{command[0]} to {service}", hint=" Commands that are not known to only read are writes.")

    def check_publish(self, subject: str) -> None:
        """Raise :class:`WriteRefused` for a subject outside ``gaia.test.>``, unless writes are permitted."""
        if self.open or (subject.startswith(TEST_SUBJECTS) and subject != TEST_SUBJECTS):
            return
        raise self.refusal(f"a message on {subject}", hint=" Publishing below gaia.test.> is always allowed.")

    def refuse_sql(self, statement: str, *, by: str | None = None) -> WriteRefused:
        """Return the error for a statement that writes. ``by`` names the server that refused it, if it was sent."""
        return self.refusal(f"SQL ({shorten(statement)})", by=by)

    def refusal(self, what: str, *, by: str | None = None, hint: str = "") -> WriteRefused:
        """Return the error for a blocked write: what it was, why it is blocked and how to permit it."""
        name = self._environment.label
        if not self._environment.writes:
            marked = f", not even with {MARKER}" if self._is_marked() else ""
            reason = f"environment {name} forbids writes (writes = false){marked}"
            todo = f"Run the test in an environment that permits writes, such as the sandbox, and mark it {MARKER}."
        else:
            reason = "the test is not marked as one that writes"
            todo = f"Mark the test with {MARKER}, and let it clean up what it writes."
        who = f"write refused by {by}" if by else "write blocked, nothing was sent"
        return WriteRefused(f"{who}: {what}.\nReason: {reason}.\n{todo}{hint}")


def shorten(text: str, limit: int = 120) -> str:
    """Return ``text`` on one line, cut at ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
