"""Every public fixture. Nothing connects before a test asks for it.

Clients belong to one event loop, so all fixtures that hold one live in the session's loop; the tests that use them
must run there too (``asyncio_default_test_loop_scope = "session"``). No fixture is a coroutine function: plugins such as
anyio run those in loops of their own for their tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

if "pytest_asyncio" not in sys.modules:
    # As pytest does with plugins before it imports them. It would warn of this one where -p names it after this package.
    pytest.register_assert_rewrite("pytest_asyncio")
import pytest_asyncio
import pytest_asyncio.plugin

from pytest_gaia.errors import GaiaError
from pytest_gaia.stash import RUN, project_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from pytest_gaia.clients.broker.messaging import Messaging
    from pytest_gaia.clients.database.client import Database
    from pytest_gaia.clients.database.sessions import Session
    from pytest_gaia.clients.http.client import HttpClient
    from pytest_gaia.clients.http.services import ClientSet
    from pytest_gaia.config.environment import Environment
    from pytest_gaia.preflight.files import DeployFiles
    from pytest_gaia.run.session import Run

_T = TypeVar("_T")


@pytest.fixture(scope="session")
def gaia_run(request: pytest.FixtureRequest) -> Run:
    """The Gaia side of this run (mostly for other fixtures). Fails where the run does not use Gaia."""
    run = request.config.stash.get(RUN, None)
    return _refuse(request.config) if run is None else run


def without_gaia(request: pytest.FixtureRequest) -> object:
    """What a fixture of this module gives in a run that does not use Gaia, where none of them is registered."""
    if request.fixturename == "gaia_argument":
        return ()
    if request.fixturename != "gaia_loop":
        _refuse(request.config)
    own = ModuleType(__name__)
    vars(own)["gaia_own_loop"] = gaia_loop
    request.config.pluginmanager.register(own, "gaia-loop")
    return request.getfixturevalue("gaia_own_loop")


def _refuse(config: pytest.Config) -> NoReturn:
    pytest.fail(f"this run does not use Gaia: {_why_not(config)}", pytrace=False)


def _why_not(config: pytest.Config) -> str:
    project = project_of(config)
    choose = "Choose an environment (pytest --gaia-env=sandbox)"
    if project.path is None:
        return (
            f"no gaia.toml in the root folder and no --gaia- option. {choose}, "
            "or put an empty gaia.toml beside your pyproject.toml."
        )
    folders = ", ".join(each.relative_to(project.path.parent.absolute()).as_posix() for each in project.suites)
    return f"it runs no test below a folder that `suites` in [gaia] of gaia.toml names ({folders}). {choose}, or add the folder."


@pytest.fixture(scope="session")
def gaia_env(gaia_run: Run) -> Environment:
    """The environment under test, frozen, with every address known. Waits for the sandbox."""
    try:
        return gaia_run.environment
    except GaiaError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def gaia_deployments(gaia_run: Run) -> DeployFiles:
    """The project's deploy files, read: ``gaia_deployments.deployments``; not applicable where it has none."""
    from pytest_gaia.errors import NotApplicable
    from pytest_gaia.preflight.reading import read_deploy_files

    files = read_deploy_files(gaia_run.options.project)
    if not files.deployments:
        raise NotApplicable("the project has no deploy files (fly.SERVICE.ENV.toml, docker-compose.yml)")
    return files


@pytest.fixture
def gaia_argument(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What ``--gaia-argument`` gave, in order; empty where nothing was given."""
    return tuple(request.config.option.gaia_argument)


# In a fixture that is not asynchronous, pytest-asyncio makes its loop the current one; its declared types leave these out.
@pytest_asyncio.fixture(scope="session", loop_scope="session")  # type: ignore[type-var]
def gaia_loop(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop:
    """Return the session's event loop; tests that request it, also indirectly, are moved there. Needs pytest-asyncio."""
    if not request.config.pluginmanager.is_registered(pytest_asyncio.plugin):
        pytest.fail(
            "Gaia's clients need pytest-asyncio, and it is not loaded: remove -p no:asyncio, "
            "or load it with -p pytest_asyncio.plugin.",
            pytrace=False,
        )
    return asyncio.get_event_loop()


@contextlib.contextmanager
def _held(loop: asyncio.AbstractEventLoop, resource: AbstractAsyncContextManager[_T]) -> Iterator[_T]:
    value = loop.run_until_complete(resource.__aenter__())
    yield value
    loop.run_until_complete(resource.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def gaia_clients(gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment) -> Iterator[ClientSet]:
    """All HTTP clients of the session; they share pools and are closed at its end."""
    from pytest_gaia.clients.http.services import ClientSet

    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[ClientSet]:
        clients = ClientSet(gaia_env, gaia_run.guard, gaia_run.recorder, gaia_run.redactor)
        yield clients
        await clients.aclose()

    with _held(gaia_loop, made()) as clients:
        yield clients


@pytest.fixture(scope="session")
def gateway(gaia_clients: ClientSet) -> HttpClient:
    """The gateway, with the environment's API key: ``await gateway.get("/api/v0.2/providers")``."""
    return gaia_clients.http("gateway")


@pytest.fixture(scope="session")
def auth(gaia_clients: ClientSet) -> HttpClient:
    """The auth service: at its own URL, or through the gateway where a route exists."""
    return gaia_clients.http("auth")


@pytest.fixture(scope="session")
def asset(gaia_clients: ClientSet) -> HttpClient:
    """The asset service: at its own URL, or through the gateway where a route exists."""
    return gaia_clients.http("asset")


@pytest.fixture(scope="session")
def chat(gaia_clients: ClientSet) -> HttpClient:
    """The chat service: at its own URL, or through the gateway where a route exists."""
    return gaia_clients.http("chat")


@pytest.fixture(scope="session")
def gaia_tokens(gaia_run: Run, gaia_env: Environment) -> Callable[..., str]:
    """Make a user token: ``gaia_tokens(user_id, expires_in=60)``; not applicable without the environment's secret."""
    from pytest_gaia.clients.tokens import mint
    from pytest_gaia.config.variables import variable_name
    from pytest_gaia.errors import NotApplicable

    if gaia_env.jwt_secret is None:
        variable = variable_name(gaia_env.name, "JWT_SECRET")
        raise NotApplicable(f"no user tokens can be made for {gaia_env.name}: set {variable}")
    secret = gaia_env.jwt_secret

    def make(subject: str, **claims: Any) -> str:
        token = mint(secret, subject, **claims)
        gaia_run.redactor.learn(token, "a token of gaia_tokens")
        return token

    return make


@pytest.fixture(scope="session")
def gaia_secret(gaia_run: Run) -> Callable[[str], str]:
    """Say that a value must not be shown: ``password = gaia_secret(made_up())`` gives it back, and masks it from now on."""

    def learn(value: str) -> str:
        gaia_run.redactor.learn(value, "a secret of gaia_secret")
        return value

    return learn


@pytest.fixture(scope="session")
def nats(gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment) -> Iterator[Messaging]:
    """The broker: publish, request, ``async with nats.listening("gaia.>") as events``; drained at the end."""
    from pytest_gaia.clients.broker.messaging import Messaging

    recorder, redactor = gaia_run.recorder.add_message, gaia_run.redactor

    @contextlib.asynccontextmanager
    async def connected() -> AsyncIterator[Messaging]:
        messaging = await Messaging.connect(gaia_env, gaia_run.guard, recorder=recorder, redactor=redactor)
        yield messaging
        await messaging.aclose()

    with _held(gaia_loop, connected()) as messaging:
        yield messaging


@pytest.fixture(scope="session")
def gaia_database(gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment) -> Iterator[Database]:
    """The connection that all database tests of this process share; ``postgres`` is what a test wants."""
    from pytest_gaia.clients.database.client import Database

    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[Database]:
        database = Database(gaia_env, gaia_run.guard, gaia_run.recorder.add_statement)
        yield database
        await database.aclose()

    with _held(gaia_loop, made()) as database:
        yield database


@pytest.fixture
def postgres(gaia_loop: asyncio.AbstractEventLoop, gaia_database: Database) -> Iterator[Session]:
    """The platform's database in a transaction that is rolled back; read-only wherever writing is not permitted."""
    with _held(gaia_loop, gaia_database.test_transaction()) as session:
        yield session


@pytest.fixture
def postgres_fresh(
    gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment, gaia_database: Database
) -> Iterator[Session]:
    """A database of the test's own, with the platform's tables and first rows; its statements commit. Sandbox only."""
    from pytest_gaia.errors import NotApplicable

    if gaia_run.sandbox is None:
        raise NotApplicable(f"{gaia_env.name} has no databases to give away; only the sandbox has")
    dsn = gaia_run.sandbox.fresh_database(gaia_run.process)
    try:
        with _held(gaia_loop, gaia_database.fresh(dsn)) as session:
            yield session
    finally:
        gaia_run.sandbox.drop_database(gaia_run.process, dsn)
