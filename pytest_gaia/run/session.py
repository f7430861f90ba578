"""The Gaia side of one pytest run: its environment, the sandbox behind it, and what its tests have exchanged."""

import json
import os
import shutil
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from pytest_gaia.clients.exchanges import Exchange, Message, Statement
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.known_secrets import redactor_of, secrets_of
from pytest_gaia.collection.needs import Needs
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import Options
from pytest_gaia.expectations.subjects import Observed
from pytest_gaia.printable import coloured, visible
from pytest_gaia.run.sandbox import Sandbox, bind
from pytest_gaia.sandbox.directories import create_run
from pytest_gaia.secrets.redaction import Redactor, secrets_around

_REMEMBERED = 200
"""statements and messages of one test that are kept: the latest; a listener on everything can see very many"""


@dataclass(slots=True)
class Recorder:
    """Collects the exchanges of one test; calling it records one more."""

    exchanges: list[Exchange] = field(default_factory=list)
    _statements: deque[Statement] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _messages: deque[Message] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def add_statement(self, statement: Statement) -> None:
        """Record one more SQL statement."""
        self._statements.append(statement)

    def add_message(self, message: Message) -> None:
        """Record one more message of the broker, sent or received."""
        self._messages.append(message)

    def clear(self) -> None:
        """Forget everything: the next test begins."""
        if self.exchanges:
            # A new list, because whoever asked for the old one may still be reading it.
            self.exchanges = []
        if self._statements or self._messages:
            self._statements.clear()
            self._messages.clear()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The latest SQL statements, with placeholders and without values."""
        return tuple(self._statements)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The latest messages that the test sent or saw."""
        return tuple(self._messages)

    @property
    def last(self) -> Exchange | None:
        """The latest exchange, if there was one."""
        return self.exchanges[-1] if self.exchanges else None


_FILE = "capabilities.json"


@dataclass(slots=True)
class Handoff:
    """One end of the handing over: the controller's, or a worker's."""

    _directory: Path | None = None
    _hold: int | None = None
    """the lock of a folder of our own"""
    _observed: Observed | None = None

    def open(self) -> Path:
        """On the controller: return the folder in which workers will find the observation.

        Made at the first call; then it also clears away what killed runs have left. Raises ``OSError`` where no folder
        can be made.
        """
        if self._directory is None:
            from pytest_gaia.sandbox.leftovers import reclaim

            # A run against a deployed environment has no sandbox that would do it.
            reclaim()
            self._directory, self._hold = create_run()
        return self._directory

    def attach(self, directory: Path) -> None:
        """On a worker: look for the observation in ``directory``."""
        self._directory = directory

    def write(self, observed: Observed) -> None:
        """On the controller: hand over which capabilities were observed."""
        self._observed = observed
        if self._directory is not None:
            draft = self._directory / f"{_FILE}.draft"
            draft.write_text(json.dumps([sorted(each) for each in observed]), encoding="utf-8")
            draft.replace(self._directory / _FILE)

    def read(self) -> Observed:
        """Return the observed capabilities; none where nothing was observed, because what was not seen is not there."""
        if self._observed is None:
            path = self._directory / _FILE if self._directory else None
            known = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else []
            self._observed = Observed(*map(frozenset, known))
        return self._observed

    def close(self) -> None:
        """On the controller: remove the folder."""
        if self._hold is not None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            os.close(self._hold)
            self._hold = None


MAIN = "main"
"""the sandbox stack of a run without workers, and the one that the controller looks at"""


@dataclass(slots=True)
class Run:
    """One process of a run: the controller (or a run without workers), or one xdist worker."""

    options: Options
    declared: Environment
    """the environment as it was resolved; a sandbox's addresses are not known in it yet"""
    roots: tuple[Path, ...]
    """the suites' root folders"""
    process: str = MAIN
    """``main``, or the id of this xdist worker"""
    sandbox: Sandbox | None = None
    needs: Needs | None = None
    """what the running test needs"""
    recorder: Recorder = field(default_factory=Recorder)
    handoff: Handoff = field(default_factory=Handoff)
    _environment: Environment | None = None
    _guard: WriteGuard | None = None
    _redactor: Redactor | None = None

    @property
    def stack(self) -> Sandbox | None:
        """Old name of ``sandbox``."""
        return self.sandbox

    @property
    def is_worker(self) -> bool:
        """Whether this process runs tests for a controller."""
        return self.process != MAIN

    def start(self) -> None:
        """Start what the run needs, without waiting for it."""
        if self.sandbox is None and self.declared.sandbox:
            services = self.declared.services if self.declared.simulated else None
            self.sandbox = Sandbox.start(
                without=_without(self.options.sandbox_without, services),
                topology=self.declared.topology,
                fixed=self.options.sandbox_fixed,
            )

    @property
    def environment(self) -> Environment:
        """The environment with every address known. Waits for the sandbox the first time it is asked.

        Raises :class:`~pytest_gaia.errors.SandboxError` where that does not come up.
        """
        if self._environment is None:
            if self.sandbox is not None:
                self.sandbox.ready()
                self._environment = bind(self.declared, self.sandbox.stack(self.process))
                self.redactor.learn_all(secrets_of(self._environment))
            else:
                self._environment = self.declared
        return self._environment

    @property
    def guard(self) -> WriteGuard:
        """What stops forbidden writes of this process."""
        if self._guard is None:
            self._guard = WriteGuard(self.environment)
        return self._guard

    @property
    def redactor(self) -> Redactor:
        """What masks the secrets of this run in everything that is kept or shown.

        It is there before the sandbox is, and learns its secrets when that has told them.
        """
        if self._redactor is None:
            self._redactor = redactor_of(self.declared)
            self._redactor.learn_all(secrets_around(self.options.environ))
            dotenv = self.options.project.dotenv
            self._redactor.learn_all(secrets_around({name: value for name, (value, _) in dotenv.items()}))
        return self._redactor

    def shown(self, text: str, *, colours: bool = False) -> str:
        """Return ``text`` as people may see it: secrets masked, and every character visible; ``colours`` may stay."""
        masked = self.redactor.text(text)
        return coloured(masked) if colours else visible(masked)

    def observed(self) -> Observed:
        """The members of the platform that were seen to answer before the first test."""
        return self.handoff.read()

    def begin(self, needs: Needs) -> None:
        """A test begins: forget the last one's exchanges, and let this one write only if it says so."""
        self.needs = needs
        self.recorder.clear()
        if self._guard is not None or needs.writes:
            self.guard.permit(needs.writes)

    def stop(self) -> None:
        """Stop the sandbox, if this process started it, and remove what was handed over."""
        self.handoff.close()
        if self.sandbox is not None and not self.is_worker:
            self.sandbox.stop()


def _without(asked: tuple[str, ...], services: tuple[str, ...] | None) -> tuple[str, ...]:
    """Members that the sandbox leaves out: those asked for, and in a rehearsal those that the environment lacks."""
    if services is None:
        return asked
    lacking = tuple(each for each in ("auth", "asset", "chat") if each not in services)
    return tuple(dict.fromkeys((*asked, *lacking)))
