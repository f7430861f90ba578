"""Loopback ports that stay ours while nobody listens on them."""

import socket
import sys

HOST = "127.0.0.1"

# On Linux two sockets may share an address as long as neither listens and both say SO_REUSEADDR: a bound socket that
# never listens keeps the port from everybody else, while connecting to it is refused. Elsewhere it has to be let go.
_CAN_SHARE = sys.platform == "linux"


class ReservedPort:
    """A free port of the loopback interface, reserved until :meth:`release`.

    A server that sets ``SO_REUSEADDR`` (PostgreSQL, NATS and asyncio do) can listen on it, stop, and listen again.
    """

    def __init__(self) -> None:
        holder = _bound(0)
        self.number: int = holder.getsockname()[1]
        self._holder: socket.socket | None = holder
        if not _CAN_SHARE:
            self.release()

    @property
    def url(self) -> str:
        """The base URL of an HTTP server on this port."""
        return f"http://{HOST}:{self.number}"

    def socket(self) -> socket.socket:
        """Return a new socket bound to the port, for a server to listen on. Raises ``OSError`` if it is taken."""
        return _bound(self.number)

    def release(self) -> None:
        """Give the port back."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def _bound(number: int) -> socket.socket:
    # asyncio turns Nagle off (40 ms for an answer in two writes) only for sockets that name their protocol.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, number))
    except OSError:
        bound.close()
        raise
    return bound
