"""What a test said to the platform, in words: one line each, and the one that matters as a whole."""

from collections.abc import Iterable, Sequence

from pytest_gaia.clients.exchanges import Exchange, Message, Statement, transcript

_WIDEST = 200
"""characters of a statement or a message in its line"""


def summary(exchanges: Sequence[Exchange]) -> str:
    """Return one line an exchange: what was asked, of whom, what came back, how long it took."""
    return "\n".join(map(_exchange, exchanges))


def everything(
    exchanges: Iterable[Exchange], statements: Iterable[Statement] = (), messages: Iterable[Message] = ()
) -> str:
    """Return one line for each exchange, SQL statement and message of the broker, in the order of time."""
    lines = [
        *((each.started, _exchange(each)) for each in exchanges),
        *((each.started, _statement(each)) for each in statements),
        *((each.time, _message(each)) for each in messages),
    ]
    return "\n".join(line for _, line in sorted(lines, key=lambda timed: timed[0]))


def at_fault(error: BaseException, exchanges: Sequence[Exchange]) -> Exchange | None:
    """Return the exchange of ``error``: its own, the latest in its text, or the latest failed one."""
    own: Exchange | None = getattr(error, "exchange", None)
    if own is not None or not exchanges:
        return own
    text = str(error)
    quoted = (each for each in reversed(exchanges) if transcript(each) in text)
    return next(quoted, exchanges[-1] if exchanges[-1].error else None)


def headline(error: BaseException, exchange: Exchange | None) -> str:
    """Return the text of ``error`` without the transcript of ``exchange``, which is shown separately."""
    text = str(error)
    return text.replace(transcript(exchange), "").strip() if exchange is not None else text


def _exchange(exchange: Exchange) -> str:
    result = exchange.error or f"{exchange.status}"
    attempt = f", attempt {exchange.attempt}" if exchange.attempt > 1 else ""
    return (
        f"{exchange.request.method} {exchange.request.url} ({exchange.service}, {exchange.via}) → {result}, "
        f"{exchange.elapsed * 1000:.0f} ms{attempt}"
    )


def _statement(statement: Statement) -> str:
    result = f" → {statement.error}" if statement.error else ""
    return f"{statement.language} {_one_line(statement.text)}{result}, {statement.elapsed * 1000:.0f} ms"


def _message(message: Message) -> str:
    result = f" → {message.error}" if message.error else ""
    return f"NATS {message.direction} {message.subject}: {_one_line(message.body)}{result}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…"
