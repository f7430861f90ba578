"""Why there was no connection to a peer, what to do, and where a failure is shown."""

import os
import ssl
from operator import methodcaller

from pytest_gaia.errors import GaiaError

NO_TLS = "what listens there does not use TLS"

NOT_TLS = "WRONG_VERSION_NUMBER"
"""OpenSSL's usual reason where the peer answers something that is no TLS"""
_NOT_TLS = {NOT_TLS, "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
"""all such reasons"""

_UNKNOWN_ISSUER = (18, 19, 20, 21)
"""OpenSSL's codes of certificates that could be trusted, if somebody said so"""


def remedy_of(error: BaseException) -> str:
    """Return what to do about an error of a connection, if there is something for this error alone."""
    below = _deepest(error)
    if isinstance(below, ssl.SSLCertVerificationError) and below.verify_code in _UNKNOWN_ISSUER:
        return "name the certificate of the server, or of its authority, in SSL_CERT_FILE (PEM), and run again."
    return "write the URL with http://." if isinstance(below, ssl.SSLError) and tls_reason(below) == NO_TLS else ""


def tls_reason(error: ssl.SSLError) -> str:
    """Return why there was no TLS: the certificate, or that there is no TLS at all."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    # The ssl module sets `reason`; an SSLError of somebody else has none.
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return NO_TLS if reason in _NOT_TLS else f"TLS failed: {reason}"


def reason_of(error: BaseException) -> str:
    """Return what lies at the bottom of a chain of errors, such as ``connection refused``."""
    deepest = _deepest(error)
    if isinstance(deepest, ssl.SSLError):
        return tls_reason(deepest)
    if isinstance(deepest, OSError) and deepest.errno:
        # asyncio writes its own text into strerror; the system's is the one people know.
        return os.strerror(deepest.errno).lower() if deepest.errno > 0 else (deepest.strerror or str(deepest))
    return str(error) or str(deepest) or type(error).__name__


def _deepest(error: BaseException) -> BaseException:
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return _deepest(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


hide = methodcaller("errisinstance", GaiaError)
