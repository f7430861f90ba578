"""The response to a request, with checks for its status and its fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_gaia.clients._payloads import from_json
from pytest_gaia.clients.exchanges import Exchange, transcript
from pytest_gaia.clients.reasons import hide
from pytest_gaia.errors import UnexpectedResponse

__tracebackhide__ = hide


class Headers(Mapping[str, str]):
    """Headers of a response, by case-insensitive name. Several values of one name are joined with a comma."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._values)}>"


class Response:
    """The response of a service.

    ``exchange`` is the masked HTTP exchange, which messages show. ``text``, ``body`` and ``json()`` are not masked.
    """

    __slots__ = ("_text", "body", "exchange", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes, text: str, exchange: Exchange) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._text = text
        self.exchange = exchange

    @property
    def text(self) -> str:
        """The body as text, decoded with the charset of the response."""
        return self._text

    @property
    def elapsed(self) -> float:
        """Seconds until the response was complete."""
        return self.exchange.elapsed

    def json(self) -> Any:
        """Return the decoded JSON body. Raises :class:`UnexpectedResponse` if it is not JSON."""
        try:
            return from_json(self.body)
        except ValueError as error:
            raise self.unexpected(f"returned something that is not JSON ({error})") from None

    def expect(self, *statuses: int) -> Response:
        """Return self if the status is one of ``statuses`` (default: any 2xx).

        Raises :class:`UnexpectedResponse` with the whole exchange.
        """
        if self.status in statuses or (not statuses and 200 <= self.status < 300):
            return self
        wanted = " or ".join(str(status) for status in statuses) or "2xx"
        raise self.unexpected(f"returned {self.status}, expected {wanted}")

    def field(self, path: str) -> Any:
        """Return one value of a JSON response by its dotted path. A number selects a list item: ``providers.0.id``.

        Raises :class:`UnexpectedResponse` with the part of the path that exists and the fields found there.
        """
        value, walked = self.json(), "the response"
        for name in path.split("."):
            found = _step(value, name)
            if found is None:
                raise self.unexpected(f"has no field {path!r}: {walked} {_describe(value)}")
            value, walked = found[0], name if walked == "the response" else f"{walked}.{name}"
        return value

    def unexpected(self, problem: str) -> UnexpectedResponse:
        """Return the error for this response. ``problem`` follows the name of the service: ``has no items``."""
        return unexpected(self.exchange, problem)

    def __repr__(self) -> str:
        request = self.exchange.request
        return f"<Response {self.status} to {request.method} {request.url}>"


Answer = Response
"""old name of :class:`Response`"""


def unexpected(exchange: Exchange, problem: str) -> UnexpectedResponse:
    """Return an error that contains the whole exchange. ``problem`` follows the name of the service."""
    return UnexpectedResponse(f"{exchange.service} {problem}{_hint(exchange)}\n\n{transcript(exchange)}", exchange)


def _hint(exchange: Exchange) -> str:
    """Return a hint for a 401 to a request without credentials: probably none are configured."""
    sent = {name.lower() for name in exchange.request.headers}
    if exchange.status != 401 or sent & {"authorization", "x-api-key"}:
        return ""
    return (
        "\nThe request had no credentials. Unless that is intended, configure an API key: "
        "GAIA_<ENVIRONMENT>_API_KEY, GAIA_API_KEY, or a line in .env."
    )


def _step(value: Any, name: str) -> tuple[Any] | None:
    if isinstance(value, dict) and name in value:
        return (value[name],)
    if isinstance(value, list) and name.lstrip("-").isdigit() and -len(value) <= int(name) < len(value):
        return (value[int(name)],)
    return None


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"has {', '.join(map(str, value)) or 'no fields'}"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    return f"is {'null' if value is None else type(value).__name__}"
