"""Short representation of failures: the statement of the test, the error, and the exchange, without library frames.

``-vv``, ``--full-trace``, ``-l`` and every ``--tb`` except ``auto`` keep pytest's representation.
"""

import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

import pytest_gaia
from pytest_gaia.clients.exchanges import Exchange, Message, Statement, ids_of, transcript
from pytest_gaia.clients.running import RunningTest
from pytest_gaia.errors import GaiaError
from pytest_gaia.plugin.pytest_private import ExceptionChainRepr, ReprEntry, ReprFileLocation, ReprTraceback

_OURS = Path(pytest_gaia.__file__).parent
_LIBRARIES = (Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib")))

_NOT_RUN = "async def functions are not natively supported"
"""start of pytest's message for an asynchronous test that no plugin runs"""
_HOW_TO_RUN = (
    'To run it with pytest-asyncio, set asyncio_mode = "auto", asyncio_default_fixture_loop_scope = "session" and '
    'asyncio_default_test_loop_scope = "session" in pytest\'s configuration, '
    'or mark the test with @pytest.mark.asyncio(loop_scope="session").'
)

_ALL = "exchanges of the test"
_OTHERS = "other exchanges of the test"


def show_failure(
    report: pytest.TestReport, error: BaseException | None, test: RunningTest, config: pytest.Config
) -> None:
    """Shorten ``report`` if it is pytest's representation of ``error``, and add the exchanges of the test."""
    if isinstance(error, pytest.fail.Exception) and str(error).startswith(_NOT_RUN):
        report.sections.append(("how to fix", _HOW_TO_RUN))
    shown = _shorten(report, error, test, config) if error is not None else None
    if _style(config) == "line":
        return
    others = [each for each in test.exchanges if each is not shown]
    if text := everything(others, test.statements, test.messages):
        ids = ids_of(test.exchanges[-1]) if shown is None and test.exchanges else ""
        report.sections.append((_OTHERS if shown is not None else _ALL, f"{text}\nlatest: {ids}" if ids else text))


def show_logs(terminal: pytest.TerminalReporter, logs: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
    """Add log lines (test → service → lines), which are masked, to the first report of each failure."""
    left = {} if _style(terminal.config) == "line" else dict(logs)
    for kind in ("failed", "error"):
        for report in terminal.stats.get(kind, ()):
            for service, lines in left.pop(report.nodeid, {}).items():
                report.sections.append((f"log of {service}", "\n".join(lines)))


def _shorten(
    report: pytest.TestReport, error: BaseException, test: RunningTest, config: pytest.Config
) -> Exchange | None:
    """Shorten pytest's representation of ``error``; return the exchange that it shows in full, if any."""
    picture = report.longrepr
    if not isinstance(picture, ExceptionChainRepr):
        return None
    exchange, said = test.last if _loudness(config) > 0 else None, ""
    if isinstance(error, GaiaError):
        exchange = at_fault(error, test.exchanges)
        said = f"{type(error).__name__}: {headline(error, exchange)}"
        _say_in_short(picture, said, config)
    if not _brief(config):
        return None
    short = _of_ours(picture, said) if said else _without_libraries(picture, config.invocation_params.dir)
    report.longrepr = short
    if exchange is not None:
        short.addsection(f"exchange with {exchange.service}", transcript(exchange, ids=True))
    return exchange


def _style(config: pytest.Config) -> str:
    # Without pytest's terminal the options do not exist.
    style: str = config.getoption("tbstyle", "auto")
    return style


def _brief(config: pytest.Config) -> bool:
    asked = config.getoption("fulltrace", False) or config.getoption("showlocals", False)
    return _style(config) == "auto" and not asked and _loudness(config) < 2


def _loudness(config: pytest.Config) -> int:
    loudness: int = config.getoption("verbose", 0)
    return loudness


def _say_in_short(picture: ExceptionChainRepr, said: str, config: pytest.Config) -> None:
    """Use the short message in the summary line, in ``--tb=line`` and in JUnit."""
    traceback, crash, _ = picture.chain[-1]
    if crash is not None:
        crash.message = said
    if _style(config) == "line":
        traceback.reprentries = [ReprEntry([f"E   {line}" for line in said.splitlines()], None, None, None, "short")]


def _of_ours(picture: ExceptionChainRepr, said: str) -> ExceptionChainRepr:
    """Return a representation with one statement per frame of the test, and the message of the error."""
    traceback, crash, _ = picture.chain[-1]
    entries = [each for each in traceback.reprentries if isinstance(each, ReprEntry)]
    if not entries:
        return picture
    message = [f"E   {line}".rstrip() for line in said.splitlines()]
    pictured = [_entry(each, _statement(each.lines)) for each in entries[:-1]]
    pictured.append(_entry(entries[-1], [*_statement(entries[-1].lines), *message]))
    return _redrawn(picture, pictured, crash)


def _without_libraries(picture: ExceptionChainRepr, start: Path) -> ExceptionChainRepr:
    """Return the representation without frames of libraries, if frames of the test remain.

    An exception from this package itself is a bug and keeps all frames.
    """
    traceback, crash, _ = picture.chain[-1]
    entries = [each for each in traceback.reprentries if isinstance(each, ReprEntry)]
    if not entries or _inside(start, entries[-1].reprfileloc, (_OURS,)):
        return picture
    hidden = _foreign(start)
    left = [each for each in entries if not hidden(each)]
    if not left or len(left) == len(traceback.reprentries):
        return picture
    if left[-1] is not entries[-1]:
        raised = [line for line in entries[-1].lines if line.startswith("E")]
        left[-1] = _entry(left[-1], [*left[-1].lines, *raised])
    return _redrawn(picture, left, crash)


def _redrawn(
    picture: ExceptionChainRepr, entries: Sequence[ReprEntry], crash: ReprFileLocation | None
) -> ExceptionChainRepr:
    last = picture.chain[-1][0]
    redrawn = ExceptionChainRepr([(ReprTraceback(entries, last.extraline, last.style), crash, None)])
    redrawn.sections = picture.sections
    return redrawn


def _entry(entry: ReprEntry, lines: Sequence[str]) -> ReprEntry:
    return ReprEntry(lines, None, None, entry.reprfileloc, "long")


def _statement(lines: Sequence[str]) -> list[str]:
    """Return the current statement of a frame. pytest marks its first line, and shortens frames in between."""
    source = [line for line in lines if not line.startswith("E")]
    marked = [number for number, line in enumerate(source) if line.startswith(">")]
    if marked:
        return source[marked[-1] :]
    return [f">{line[1:]}" if number == 0 else line for number, line in enumerate(source)]


def _foreign(start: Path) -> Callable[[ReprEntry], bool]:
    places = (_OURS, *_LIBRARIES)
    return lambda entry: _inside(start, entry.reprfileloc, places)


def _inside(start: Path, location: ReprFileLocation | None, places: Sequence[Path]) -> bool:
    if location is None:
        return False
    path = Path(start, location.path).resolve()
    return any(place in path.parents for place in places)


_MOST = 50
"""lines about exchanges, statements and messages"""
_WIDEST = 200
"""characters of a statement or a message in its line"""


def summary(exchanges: Sequence[Exchange]) -> str:
    """Return one line an exchange: what was asked, of whom, what came back, how long it took."""
    return "\n".join(map(_exchange, exchanges))


def everything(
    exchanges: Iterable[Exchange], statements: Iterable[Statement] = (), messages: Iterable[Message] = ()
) -> str:
    """Return one line for each of the latest exchanges, SQL statements and messages of the broker, in the order of time."""
    lines = [
        *((each.started, _exchange(each)) for each in exchanges),
        *((each.started, _sql_line(each)) for each in statements),
        *((each.time, _message(each)) for each in messages),
    ]
    latest = [line for _, line in sorted(lines, key=lambda timed: timed[0])]
    earlier = [f"… {len(latest) - _MOST} earlier"] if len(latest) > _MOST else []
    return "\n".join([*earlier, *latest[-_MOST:]])


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


def _sql_line(statement: Statement) -> str:
    result = f" → {statement.error}" if statement.error else ""
    return f"{statement.language} {_one_line(statement.text)}{result}, {statement.elapsed * 1000:.0f} ms"


def _message(message: Message) -> str:
    result = f" → {message.error}" if message.error else ""
    return f"NATS {message.direction} {message.subject}: {_one_line(message.body)}{result}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…"
