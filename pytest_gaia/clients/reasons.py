"""Reasons and remedies for connections that fail, and the filter for tracebacks."""

import os
import ssl
from operator import methodcaller

from pytest_gaia.errors import GaiaError

NO_TLS = "the server does not use TLS"

NOT_TLS = "WRONG_VERSION_NUMBER"
"""OpenSSL's usual reason if the peer does not speak TLS"""
_NOT_TLS = {NOT_TLS, "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
"""all such reasons"""

_UNKNOWN_ISSUER = (18, 19, 20, 21)
"""OpenSSL's codes for certificates of an unknown authority"""


def remedy_of(error: BaseException) -> str:
    """Return what to do about a connection error; empty if there is no specific remedy."""
    below = _deepest(error)
    if isinstance(below, ssl.SSLCertVerificationError) and below.verify_code in _UNKNOWN_ISSUER:
        return "set SSL_CERT_FILE to the certificate (PEM) of the server or of its authority, and run again."
    return "write the URL with http://." if isinstance(below, ssl.SSLError) and tls_reason(below) == NO_TLS else ""


def tls_reason(error: ssl.SSLError) -> str:
    """Return why TLS failed: the certificate, or a server without TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    # The ssl module sets `reason`; an SSLError from elsewhere has none.
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return NO_TLS if reason in _NOT_TLS else f"TLS failed: {reason}"


def reason_of(error: BaseException) -> str:
    """Return the root cause of a chain of errors, such as ``connection refused``."""
    deepest = _deepest(error)
    if isinstance(deepest, ssl.SSLError):
        return tls_reason(deepest)
    if isinstance(deepest, OSError) and deepest.errno:
        # asyncio writes its own text into strerror; the system's text is better known.
        return os.strerror(deepest.errno).lower() if deepest.errno > 0 else (deepest.strerror or str(deepest))
    return str(error) or str(deepest) or type(error).__name__


def _deepest(error: BaseException) -> BaseException:
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return _deepest(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


hide = methodcaller("errisinstance", GaiaError)
