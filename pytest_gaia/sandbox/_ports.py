"""Loopback ports that stay reserved while no server listens on them."""

import socket
import sys

HOST = "127.0.0.1"

# On Linux two sockets with SO_REUSEADDR may share an address while neither listens: a bound socket that never listens
# reserves the port, and connections to it are refused. Other systems do not support this.
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
        """Release the port."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def _bound(number: int) -> socket.socket:
    # asyncio disables Nagle's algorithm (40 ms for two writes) only for sockets with an explicit protocol.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, number))
    except OSError:
        bound.close()
        raise
    return bound
