"""The answer to a request, and the questions that a check asks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_gaia.clients._payloads import from_json
from pytest_gaia.clients.exchanges import Exchange, transcript
from pytest_gaia.clients.reasons import hide
from pytest_gaia.errors import UnexpectedResponse

__tracebackhide__ = hide


class Headers(Mapping[str, str]):
    """Headers of an answer, by name in any case; several values of one name are joined with a comma."""

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
    """What a service answered.

    ``exchange`` is the masked record of it, and what every message shows; ``text``, ``body`` and ``json()`` give what
    really came.
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
        """The body as text, in the charset that the answer names."""
        return self._text

    @property
    def elapsed(self) -> float:
        """Seconds until the answer was complete."""
        return self.exchange.elapsed

    def json(self) -> Any:
        """Return the decoded body; :class:`UnexpectedResponse` where it is not JSON."""
        try:
            return from_json(self.body)
        except ValueError as error:
            raise self.unexpected(f"returned something that is not JSON ({error})") from None

    def expect(self, *statuses: int) -> Response:
        """Return self if the status is one of ``statuses`` (any 2xx where none is given).

        Raises :class:`UnexpectedResponse` with the whole exchange.
        """
        if self.status in statuses or (not statuses and 200 <= self.status < 300):
            return self
        wanted = " or ".join(str(status) for status in statuses) or "2xx"
        raise self.unexpected(f"returned {self.status}, expected {wanted}")

    def field(self, path: str) -> Any:
        """Return one value of a JSON answer by a dotted path; list items by number: ``providers.0.id``.

        Raises :class:`UnexpectedResponse` that says how far the path leads and what is there.
        """
        value, walked = self.json(), "the answer"
        for name in path.split("."):
            found = _step(value, name)
            if found is None:
                raise self.unexpected(f"has no field {path!r}: {walked} {_describe(value)}")
            value, walked = found[0], name if walked == "the answer" else f"{walked}.{name}"
        return value

    def unexpected(self, problem: str) -> UnexpectedResponse:
        """Return the error for an answer that is not what a check needs; ``problem`` follows the service's name."""
        return unexpected(self.exchange, problem)

    def __repr__(self) -> str:
        request = self.exchange.request
        return f"<Answer {self.status} to {request.method} {request.url}>"


Answer = Response
"""old name of :class:`Response`"""


def unexpected(exchange: Exchange, problem: str) -> UnexpectedResponse:
    """Return the error with the whole exchange in its message; ``problem`` follows the name of the service."""
    return UnexpectedResponse(f"{exchange.service} {problem}{_hint(exchange)}\n\n{transcript(exchange)}", exchange)


def _hint(exchange: Exchange) -> str:
    """What to do about a 401 to a request that carried no credentials: most likely none are configured."""
    sent = {name.lower() for name in exchange.request.headers}
    if exchange.status != 401 or sent & {"authorization", "x-api-key"}:
        return ""
    return (
        "\nNo credentials were sent. If this check was not meant to be anonymous, configure an API key: "
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
