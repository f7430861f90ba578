"""The public fixtures. Connections are opened lazily.

Clients belong to one event loop, so their fixtures use the session's loop. Tests that use them must run on it too
(``asyncio_default_test_loop_scope = "session"``). No fixture is a coroutine function, because plugins such as anyio run
those on their own loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

if "pytest_asyncio" not in sys.modules:
    # pytest does this with plugins before their import. Otherwise -p pytest_asyncio after this package gives a warning.
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
    from pytest_gaia.clients.services import ClientSet
    from pytest_gaia.config.environment import Environment
    from pytest_gaia.preflight.files import DeployFiles
    from pytest_gaia.run.session import Run

_T = TypeVar("_T")


@pytest.fixture(scope="session")
def gaia_run(request: pytest.FixtureRequest) -> Run:
    """The state of this run, mostly for other fixtures. Fails if the run does not use Gaia."""
    run = request.config.stash.get(RUN, None)
    return _refuse(request.config) if run is None else run


def without_gaia(request: pytest.FixtureRequest) -> object:
    """Return the value of a fixture in a run that does not use Gaia, where none of them is registered."""
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
            "or add an empty gaia.toml next to your pyproject.toml."
        )
    folders = ", ".join(each.relative_to(project.path.parent.absolute()).as_posix() for each in project.suites)
    return (
        f"no test is in a folder that `suites` in [gaia] of gaia.toml lists ({folders}). {choose}, or add the folder."
    )


@pytest.fixture(scope="session")
def gaia_env(gaia_run: Run) -> Environment:
    """The environment under test, with all addresses. Waits for the sandbox."""
    try:
        return gaia_run.environment
    except GaiaError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def gaia_deployments(gaia_run: Run) -> DeployFiles:
    """The project's deploy configuration: ``gaia_deployments.deployments``; skips the test if there is none."""
    from pytest_gaia.errors import NotApplicable
    from pytest_gaia.preflight.reading import read_deploy_files

    files = read_deploy_files(gaia_run.options.project)
    if not files.deployments:
        raise NotApplicable("the project has no deploy files (fly.SERVICE.ENV.toml, docker-compose.yml)")
    return files


@pytest.fixture
def gaia_argument(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The values of ``--gaia-argument``, in order."""
    return tuple(request.config.option.gaia_argument)


# pytest-asyncio makes its loop the current one in synchronous fixtures, too; its type hints do not cover these.
@pytest_asyncio.fixture(scope="session", loop_scope="session")  # type: ignore[type-var]
def gaia_loop(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop:
    """The session's event loop. Tests that request it, also indirectly, run on it. Needs pytest-asyncio."""
    if not request.config.pluginmanager.is_registered(pytest_asyncio.plugin):
        pytest.fail(
            "Gaia's clients need pytest-asyncio, which is not loaded: remove -p no:asyncio, "
            "or add -p pytest_asyncio.plugin.",
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
    """All HTTP clients of the session. They share connection pools and are closed at its end."""
    from pytest_gaia.clients.services import ClientSet

    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[ClientSet]:
        clients = ClientSet(gaia_env, gaia_run.guard, gaia_run.recorder, gaia_run.redactor)
        yield clients
        await clients.aclose()

    with _held(gaia_loop, made()) as clients:
        yield clients


@pytest.fixture(scope="session")
def gateway(gaia_clients: ClientSet) -> HttpClient:
    """The client of the gateway, with the environment's API key: ``await gateway.get("/api/v0.2/providers")``."""
    return gaia_clients.http("gateway")


@pytest.fixture(scope="session")
def auth(gaia_clients: ClientSet) -> HttpClient:
    """The client of the auth service: at its own URL, or through the gateway's routes."""
    return gaia_clients.http("auth")


@pytest.fixture(scope="session")
def asset(gaia_clients: ClientSet) -> HttpClient:
    """The client of the asset service: at its own URL, or through the gateway's routes."""
    return gaia_clients.http("asset")


@pytest.fixture(scope="session")
def chat(gaia_clients: ClientSet) -> HttpClient:
    """The client of the chat service: at its own URL, or through the gateway's routes."""
    return gaia_clients.http("chat")


@pytest.fixture(scope="session")
def gaia_tokens(gaia_run: Run, gaia_env: Environment) -> Callable[..., str]:
    """Create a user token: ``gaia_tokens(user_id, expires_in=60)``; skips the test without the environment's secret."""
    from pytest_gaia.clients.tokens import mint
    from pytest_gaia.config.variables import variable_name
    from pytest_gaia.errors import NotApplicable

    if gaia_env.jwt_secret is None:
        variable = variable_name(gaia_env.name, "JWT_SECRET")
        raise NotApplicable(f"cannot create user tokens for {gaia_env.name}: set {variable}")
    secret = gaia_env.jwt_secret

    def make(subject: str, **claims: Any) -> str:
        token = mint(secret, subject, **claims)
        gaia_run.redactor.learn(token, "a token of gaia_tokens")
        return token

    return make


@pytest.fixture(scope="session")
def gaia_secret(gaia_run: Run) -> Callable[[str], str]:
    """Mask a value in all outputs and return it: ``password = gaia_secret(generate())``."""

    def learn(value: str) -> str:
        gaia_run.redactor.learn(value, "a secret of gaia_secret")
        return value

    return learn


@pytest.fixture(scope="session")
def nats(gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment) -> Iterator[Messaging]:
    """The NATS client: publish, request, ``async with nats.subscribe("gaia.>") as events``."""
    from pytest_gaia.clients.broker.messaging import Messaging

    recorder, redactor = gaia_run.recorder.add_message, gaia_run.redactor

    @contextlib.asynccontextmanager
    async def connected() -> AsyncIterator[Messaging]:
        messaging = await Messaging.of(gaia_env, "nats", gaia_run.guard, recorder=recorder, redactor=redactor).open()
        yield messaging
        await messaging.aclose()

    with _held(gaia_loop, connected()) as messaging:
        yield messaging


@pytest.fixture(scope="session")
def gaia_database(gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment) -> Iterator[Database]:
    """The connection that all database tests of this process share. Tests use ``postgres``."""
    from pytest_gaia.clients.database.client import Database

    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[Database]:
        database = Database(gaia_env, "postgres", gaia_run.guard, gaia_run.recorder.add_statement)
        yield database
        await database.aclose()

    with _held(gaia_loop, made()) as database:
        yield database


@pytest.fixture
def postgres(gaia_loop: asyncio.AbstractEventLoop, gaia_database: Database) -> Iterator[Session]:
    """The database, in a transaction that is rolled back; read-only unless writes are permitted."""
    with _held(gaia_loop, gaia_database.test_transaction()) as session:
        yield session


@pytest.fixture
def postgres_fresh(
    gaia_loop: asyncio.AbstractEventLoop, gaia_run: Run, gaia_env: Environment, gaia_database: Database
) -> Iterator[Session]:
    """A new database for this test, with tables and initial rows, where statements commit. Sandbox only."""
    from pytest_gaia.errors import NotApplicable

    if gaia_run.sandbox is None:
        raise NotApplicable(f"postgres_fresh needs the sandbox, not {gaia_env.name}")
    dsn = gaia_run.sandbox.fresh_database(gaia_run.process)
    try:
        with _held(gaia_loop, gaia_database.fresh(dsn)) as session:
            yield session
    finally:
        gaia_run.sandbox.drop_database(gaia_run.process, dsn)
