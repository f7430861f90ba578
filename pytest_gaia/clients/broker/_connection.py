"""The connection to NATS; the only module that imports nats.

It works around these faults of nats-py 2.16:

* Connecting to a dead port takes 120 s. Here there are two attempts with one deadline.
* After a restart of the server it waits 2 s. Here it retries every 0.1 s for a minute; a later call connects again.
* ``drain`` raises without a connection, and may hang on a half-open one. Here it has a time limit, then it closes.
* It does not decode percent-encoded credentials, and treats ``tls://`` as optional. Here
  :mod:`~pytest_gaia.clients.wire` parses the URL, and a ``tls://`` server without TLS gets no credentials.
* In another event loop than its own it waits for the timeout. Here that is an immediate error.
* Failed attempts and refused subscriptions are silent. Here errors from the library's error callback are raised.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamInfo

from pytest_gaia.clients.network import connecting
from pytest_gaia.clients.reasons import NO_TLS, hide, reason_of, remedy_of, url_variable
from pytest_gaia.clients.wire import BrokerAddress, HomeLoop, broker_address, trusted
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import ConfigError, DeadlineExceeded, ServiceError, Unreachable
from pytest_gaia.secrets.masks import mask_url

__tracebackhide__ = hide

_RECONNECT_WAIT = 0.1

RECONNECTS = 600
"""attempts to reconnect, 0.1 s apart"""

_CLOSING = 2.0

_T = TypeVar("_T")

Stream: TypeAlias = StreamInfo
"""configuration and state of a stream"""


class Broker:
    """One connection to a NATS server of an environment, with automatic reconnection."""

    def __init__(self, environment: Environment, service: str, name: str) -> None:
        self._environment = environment
        self._service = service
        self._name = name
        self._timeouts = environment.timeouts_of(service)
        self._url = environment.url_of(service) or ""
        self._home = HomeLoop("NATS")
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._broken = asyncio.Event()
        self._errors: list[Exception] = []
        self._connecting: Client | None = None
        self._listeners: set[Callable[[], None]] = set()

    def enter(self) -> None:
        """Raise ``GaiaError`` in another event loop than the client's."""
        self._home.enter()

    async def open(self) -> Client:
        """Return the connected client. Raises ``Unreachable`` within the environment's ``connect`` timeout."""
        self.enter()
        if self._client is None or self._client.is_closed:
            self._client = await self._connect()
        if not self._client.is_connected:
            await self._wait_for_reconnect()
        return self._client

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> None:
        """Send a message and wait until the server has accepted it."""
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
        """Call ``take`` with each message during the context, and ``broken`` when the connection breaks."""
        client = await self.open()

        async def handle(message: Msg) -> None:
            take(message.subject, message.data)

        subscriptions: list[Subscription] = []
        self._listeners.add(broken)
        try:
            with self._translated(f"subscribing to {', '.join(subjects)}"):
                for subject in subjects:
                    subscriptions.append(await client.subscribe(subject, cb=handle))
                # The server delivers messages of others only after it has confirmed the subscription.
                await self._flush(client)
            yield
        finally:
            self._listeners.discard(broken)
            for subscription in subscriptions:
                # A closed connection has no subscriptions.
                with contextlib.suppress(nats.errors.ConnectionClosedError, nats.errors.BadSubscriptionError):
                    await subscription.unsubscribe()

    async def jetstream(self, what: str, ask: Callable[[JetStreamContext], Awaitable[_T]]) -> _T:
        """Return the result of ``ask``, called with JetStream; ``what`` names the operation in errors."""
        client = await self.open()
        with self._translated(what):
            return await ask(client.jetstream(timeout=self._timeouts.connect))

    async def memory_stream(self, name: str, subjects: tuple[str, ...]) -> Stream:
        """Create a stream of JetStream in memory."""
        return await self.jetstream(
            f"creating the stream {name}",
            lambda js: js.add_stream(name=name, subjects=list(subjects), storage=StorageType.MEMORY),
        )

    async def aclose(self) -> None:
        """Drain and close the connection, or only close it if it is broken. Takes at most four seconds."""
        client, self._client = self._client, None
        if client is None or client.is_closed:
            return
        try:
            await _ended(client.drain())
        except (nats.errors.Error, TimeoutError, OSError):
            await _close(client)

    async def _connect(self) -> Client:
        address = broker_address(self._url, self._source)
        client, self._errors = _Client(), []
        self._connecting = client
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._log_in(client, address)
        except ConfigError:
            await _close(client)
            raise
        except TimeoutError:
            await _close(client)
            silent = "it accepts connections but is not a NATS server, or the host does not respond"
            raise self._unreachable(self._last_error() or silent) from None
        except (nats.errors.Error, OSError) as error:
            await _close(client)
            raise self._unreachable(self._last_error() or reason_of(error)) from None
        finally:
            self._connecting = None
        # From now on it may reconnect for longer; each call limits its own wait.
        client.options["max_reconnect_attempts"] = RECONNECTS
        self._connected.set()
        return client

    async def _log_in(self, client: Client, address: BrokerAddress) -> None:
        # A dict, because the library's annotation of reconnect_time_wait is too narrow.
        options: dict[str, Any] = {
            "name": self._name,
            "connect_timeout": self._timeouts.connect,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": _RECONNECT_WAIT,
            "drain_timeout": _CLOSING,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnect,
            "reconnected_cb": self._on_reconnect,
        }
        for name in ("user", "password", "token"):
            options[name] = getattr(address, name)
        # The library's tasks inherit the permission, so that it can reconnect.
        with connecting(self._service):
            await client.connect(address.server, **options)

    async def _wait_for_reconnect(self) -> None:
        seconds = self._timeouts.connect
        try:
            await asyncio.wait_for(self._connected.wait(), seconds)
        except TimeoutError:
            client, self._client = self._client, None
            if client is not None:
                await _close(client)
            raise self._unreachable(f"the connection broke and could not be restored within {seconds:g} s") from None

    async def _flush(self, client: Client) -> None:
        self._errors.clear()
        self._broken.clear()
        flushing = asyncio.ensure_future(client.flush(timeout=max(1, int(self._timeouts.connect))))
        breaking = asyncio.ensure_future(self._broken.wait())
        try:
            # The response to a flush is lost with its connection; nats-py would wait for it until its timeout.
            await asyncio.wait((flushing, breaking), return_when=asyncio.FIRST_COMPLETED)
            if self._broken.is_set() or not client.is_connected:
                raise self._unreachable("the connection broke; the last messages may be lost")
            await flushing
        finally:
            flushing.cancel()
            breaking.cancel()
            await asyncio.gather(flushing, breaking, return_exceptions=True)
        error = self._last_error()
        if error is not None:
            raise nats.errors.Error(error)

    def _last_error(self) -> str | None:
        # A server that rejects a client sends a reason and closes: that reason is better than the closed connection.
        errors = [each for each in self._errors if not isinstance(each, OSError)] or self._errors
        return reason_of(errors[-1]) if errors else None

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, (ssl.SSLError, _NoTls)) and self._connecting is not None:
            # Another attempt would fail in the same way.
            self._connecting.options["allow_reconnect"] = False
        if isinstance(error, (nats.errors.StaleConnectionError, OSError)):
            self._broken.set()
        self._errors.append(error)

    async def _on_disconnect(self) -> None:
        self._connected.clear()
        self._broken.set()
        for broken in tuple(self._listeners):
            broken()

    async def _on_reconnect(self) -> None:
        self._connected.set()

    @property
    def _source(self) -> str:
        return self._environment.sources.get(f"urls.{self._service}", "default")

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"{self._service} is unreachable at {mask_url(self._url)}: {reason}.\n"
            f"Source of the URL: {self._source}. Environment: {self._environment.label}.\n"
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        if any("authorization" in str(each).lower() for each in self._errors):
            return "Check the user and password, or the token, in that URL."
        certificate = next((each for each in self._errors if isinstance(each, ssl.SSLCertVerificationError)), None)
        if certificate is not None and (remedy := remedy_of(certificate)):
            return remedy[0].upper() + remedy[1:]
        variable = url_variable(self._environment, self._service)
        return f"Start the server, or set another URL with {variable} (`disabled` if the environment has none)."

    @contextlib.contextmanager
    def _translated(self, what: str, seconds: float | None = None) -> Iterator[None]:
        seconds = self._timeouts.connect if seconds is None else seconds
        try:
            yield
        except nats.errors.NoRespondersError:
            raise Unreachable(f"{what}: no responders. Is the service that handles it running?") from None
        except nats.js.errors.NoStreamResponseError:
            raise ServiceError(f"{what}: no stream has this subject") from None
        except (nats.errors.TimeoutError, TimeoutError):
            raise DeadlineExceeded(f"{what}: no response within {seconds:g} s") from None
        except (nats.errors.ConnectionClosedError, nats.errors.ConnectionReconnectingError, OSError) as error:
            raise self._unreachable(reason_of(error)) from None
        except nats.errors.Error as error:
            raise ServiceError(f"{what}: {str(error) or type(error).__name__}") from None


class _NoTls(nats.errors.Error):
    """A server at ``tls://`` offers no TLS."""


class _Client(Client):
    """The library's client, which sends nothing to a ``tls://`` server without TLS."""

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The trusted certificates; only used for TLS."""
        return trusted("tls://")

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info(info, initial_connection=initial_connection)
        server = self._current_server
        if initial_connection and server and server.uri.scheme == "tls" and not info.get("tls_required"):
            raise _NoTls(f"{NO_TLS}; is it nats://?")


async def _close(client: Client) -> None:
    try:
        await _ended(client.close())
    except (nats.errors.Error, TimeoutError, OSError, AssertionError):
        # A client that never connected fails an assertion here; it has nothing to close.
        return


async def _ended(closing: Coroutine[Any, Any, None]) -> None:
    try:
        await asyncio.wait_for(closing, _CLOSING)
    except asyncio.CancelledError:
        # A client that is closed while it begins to reconnect cancels its own wait for the old connection's end.
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
