"""The wire below the messaging client, and the only importer of nats.

Faults of nats-py 2.16 that end here:

* Connecting to a dead port takes 120 s. Here it is tried twice, and one deadline holds for everything.
* After a restart of the server it waits 2 s. Here 0.1 s, for a minute; a call after that dials anew.
* ``drain`` raises while the connection is away, and may hang on a half-open one. It is bounded, then closed.
* It takes percent-encoded credentials as they are, and ``tls://`` for a wish. Here the URL is read by
  :mod:`~pytest_gaia.clients.wire`, and no credentials go to a ``tls://`` server without TLS.
* Used in another event loop than its own, it waits until the time is up. Here that is an error at once.
* Attempts end silently, and refused subscriptions too. What the library tells its error callback is raised.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamInfo

from pytest_gaia.clients.reasons import NO_TLS, hide, reason_of, remedy_of
from pytest_gaia.clients.wire import BrokerAddress, HomeLoop, broker_address, trusted
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, DeadlineExceeded, ServiceError, Unreachable
from pytest_gaia.secrets.masks import mask_url

__tracebackhide__ = hide

_RECONNECT_WAIT = 0.1

RECONNECTS = 600
"""attempts to come back to a broker that went away, 0.1 s apart"""

_CLOSING = 2.0

_T = TypeVar("_T")

Stream: TypeAlias = StreamInfo
"""what the broker knows of a stream"""


class Broker:
    """One connection to the broker of an environment; it comes back by itself after the broker was away."""

    def __init__(self, environment: Environment, name: str) -> None:
        self._environment = environment
        self._name = name
        self._url = environment.nats or ""
        self._home = HomeLoop("NATS")
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._broken = asyncio.Event()
        self._complaints: list[Exception] = []
        self._dialling: Client | None = None
        self._listeners: set[Callable[[], None]] = set()

    def enter(self) -> None:
        """Raise ``GaiaError`` in another event loop than the client's."""
        self._home.enter()

    async def open(self) -> Client:
        """Return the connected client. Raises ``Unreachable`` within the environment's ``connect`` timeout."""
        self.enter()
        if self._client is None or self._client.is_closed:
            self._client = await self._dial()
        if not self._client.is_connected:
            await self._wait_for_reconnect()
        return self._client

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> None:
        """Send a message and wait until the broker has taken it."""
        client = await self.open()
        with self._translated(f"publishing on {subject}"):
            await client.publish(subject, payload, headers=headers)
            await self._flush(client)

    async def request(self, subject: str, payload: bytes, timeout: float, headers: dict[str, str] | None) -> Msg:
        """Send a request and return the reply."""
        client = await self.open()
        with self._translated(f"a request on {subject}", timeout):
            return await client.request(subject, payload, timeout=timeout, headers=headers)

    @contextlib.asynccontextmanager
    async def subscription(
        self, subjects: tuple[str, ...], take: Callable[[str, bytes], None], broken: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Call ``take`` with each message while the context lasts, and ``broken`` when the connection breaks."""
        client = await self.open()

        async def handle(message: Msg) -> None:
            take(message.subject, message.data)

        subscriptions: list[Subscription] = []
        self._listeners.add(broken)
        try:
            with self._translated(f"listening on {', '.join(subjects)}"):
                for subject in subjects:
                    subscriptions.append(await client.subscribe(subject, cb=handle))
                # Only when the broker has answered does it send what others publish from now on.
                await self._flush(client)
            yield
        finally:
            self._listeners.discard(broken)
            for subscription in subscriptions:
                # A connection that was closed meanwhile has no subscriptions left.
                with contextlib.suppress(nats.errors.ConnectionClosedError, nats.errors.BadSubscriptionError):
                    await subscription.unsubscribe()

    async def jetstream(self, what: str, ask: Callable[[JetStreamContext], Awaitable[_T]]) -> _T:
        """Return what ``ask`` gets from JetStream; ``what`` says in errors what was asked."""
        client = await self.open()
        with self._translated(what):
            return await ask(client.jetstream(timeout=self._environment.timeouts.connect))

    async def memory_stream(self, name: str, subjects: tuple[str, ...]) -> Stream:
        """Make a stream of JetStream that lives in memory."""
        return await self.jetstream(
            f"making the stream {name}",
            lambda js: js.add_stream(name=name, subjects=list(subjects), storage=StorageType.MEMORY),
        )

    async def aclose(self) -> None:
        """Drain and close; closes at once where the connection is away. Never takes more than four seconds."""
        client, self._client = self._client, None
        if client is None or client.is_closed:
            return
        try:
            await asyncio.wait_for(client.drain(), _CLOSING)
        except (nats.errors.Error, TimeoutError, OSError):
            await _close(client)

    async def _dial(self) -> Client:
        address = broker_address(self._url, self._source)
        client, self._complaints = _Client(), []
        self._dialling = client
        try:
            async with asyncio.timeout(self._environment.timeouts.connect):
                await self._connect(client, address)
        except ConfigError:
            await _close(client)
            raise
        except TimeoutError:
            await _close(client)
            silent = "it takes connections but does not speak NATS, or the host is silent"
            raise self._unreachable(self._complaint() or silent) from None
        except (nats.errors.Error, OSError) as error:
            await _close(client)
            raise self._unreachable(self._complaint() or reason_of(error)) from None
        finally:
            self._dialling = None
        # From here on it may take longer to come back; each call bounds how long it waits for that.
        client.options["max_reconnect_attempts"] = RECONNECTS
        self._connected.set()
        return client

    async def _connect(self, client: Client, address: BrokerAddress) -> None:
        # A dict, because the library's own annotation of reconnect_time_wait is narrower than what it takes.
        options: dict[str, Any] = {
            "name": self._name,
            "connect_timeout": self._environment.timeouts.connect,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": _RECONNECT_WAIT,
            "drain_timeout": _CLOSING,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnect,
            "reconnected_cb": self._on_reconnect,
        }
        for name in ("user", "password", "token"):
            options[name] = getattr(address, name)
        await client.connect(address.server, **options)

    async def _wait_for_reconnect(self) -> None:
        seconds = self._environment.timeouts.connect
        try:
            await asyncio.wait_for(self._connected.wait(), seconds)
        except TimeoutError:
            client, self._client = self._client, None
            if client is not None:
                await _close(client)
            raise self._unreachable(f"the connection broke and did not come back in {seconds:g} s") from None

    async def _flush(self, client: Client) -> None:
        self._complaints.clear()
        self._broken.clear()
        flushing = asyncio.ensure_future(client.flush(timeout=max(1, int(self._environment.timeouts.connect))))
        breaking = asyncio.ensure_future(self._broken.wait())
        try:
            # The answer to a flush is lost with its connection; nats-py would wait for it until the time is up.
            await asyncio.wait((flushing, breaking), return_when=asyncio.FIRST_COMPLETED)
            if self._broken.is_set() or not client.is_connected:
                raise self._unreachable("the connection broke; what was just sent may be lost")
            await flushing
        finally:
            flushing.cancel()
            breaking.cancel()
            await asyncio.gather(flushing, breaking, return_exceptions=True)
        complaint = self._complaint()
        if complaint is not None:
            raise nats.errors.Error(complaint)

    def _complaint(self) -> str | None:
        # A broker that refuses a client says why, and hangs up: what it said counts more than that the line went dead.
        said = [each for each in self._complaints if not isinstance(each, OSError)] or self._complaints
        return reason_of(said[-1]) if said else None

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, (ssl.SSLError, _NoTls)) and self._dialling is not None:
            # Another attempt would end the same way.
            self._dialling.options["allow_reconnect"] = False
        if isinstance(error, (nats.errors.StaleConnectionError, OSError)):
            self._broken.set()
        self._complaints.append(error)

    async def _on_disconnect(self) -> None:
        self._connected.clear()
        self._broken.set()
        for broken in tuple(self._listeners):
            broken()

    async def _on_reconnect(self) -> None:
        self._connected.set()

    @property
    def _source(self) -> str:
        return self._environment.sources.get("nats", "default")

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"nats cannot be reached at {mask_url(self._url)}: {reason}.\n"
            f"The URL comes from {self._source}, environment {self._environment.label}.\n"
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        if any("authorization" in str(each).lower() for each in self._complaints):
            return "Check the user and password, or the token, in that URL."
        certificate = next((each for each in self._complaints if isinstance(each, ssl.SSLCertVerificationError)), None)
        if certificate is not None and (remedy := remedy_of(certificate)):
            return remedy[0].upper() + remedy[1:]
        return "Start the broker, or name another one with GAIA_NATS_URL (`disabled` if the environment has none)."

    @contextlib.contextmanager
    def _translated(self, what: str, seconds: float | None = None) -> Iterator[None]:
        seconds = self._environment.timeouts.connect if seconds is None else seconds
        try:
            yield
        except nats.errors.NoRespondersError:
            raise Unreachable(f"{what}: nobody answers there. Is the service that should answer running?") from None
        except nats.js.errors.NoStreamResponseError:
            raise ServiceError(f"{what}: no stream takes this subject") from None
        except (nats.errors.TimeoutError, TimeoutError):
            raise DeadlineExceeded(f"{what}: no response within {seconds:g} s") from None
        except (nats.errors.ConnectionClosedError, nats.errors.ConnectionReconnectingError, OSError) as error:
            raise self._unreachable(reason_of(error)) from None
        except nats.errors.Error as error:
            raise ServiceError(f"{what}: {str(error) or type(error).__name__}") from None


class _NoTls(nats.errors.Error):
    """A server at ``tls://`` offers no TLS."""


class _Client(Client):
    """The library's client; it sends nothing to a ``tls://`` server that offers no TLS."""

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Which certificates are trusted; asked for only where there is TLS."""
        return trusted("tls://")

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info(info, initial_connection=initial_connection)
        server = self._current_server
        if initial_connection and server and server.uri.scheme == "tls" and not info.get("tls_required"):
            raise _NoTls(f"{NO_TLS}; is it nats://?")


async def _close(client: Client) -> None:
    try:
        await asyncio.wait_for(client.close(), _CLOSING)
    except (nats.errors.Error, TimeoutError, OSError, AssertionError):
        # A client that never got as far as connecting asserts that it did; there is nothing to close in it.
        return
