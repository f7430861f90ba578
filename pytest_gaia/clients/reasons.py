"""Reasons and remedies for connections that fail, and the filter for tracebacks."""

import os
import ssl
from operator import methodcaller

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.variables import variable_name
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


def absent(environment: Environment, service: str) -> str | None:
    """Return why ``environment`` does not have ``service``; None if it does, at a URL or through another service."""
    name = environment.label
    described = environment.platform[service]
    if service in environment.disabled:
        source = environment.sources.get(f"urls.{service}", "default")
        return f"{name} has no {described.kind} service {service}: its URL is disabled ({source})"
    if environment.sandbox and not environment.simulated and not environment.has(service):
        return _not_in_the_sandbox(environment, service)
    if service not in environment.services:
        return f"{name} has no {service} service"
    if environment.has(service) or (described.via is not None and environment.has(described.via)):
        return None
    return f"no URL of {service} is configured for {name}: set {url_variable(environment, service)}"


def _not_in_the_sandbox(environment: Environment, service: str) -> str | None:
    described = environment.platform[service]
    if described.via is not None and environment.has(described.via) and service in environment.services:
        return None
    settings = described.sandbox
    if settings is not None and settings.api and not settings.command:
        return (
            f"the sandbox does not run {service} with api current; use --gaia-sandbox-api={settings.api} "
            f"(gaia sandbox up --api {settings.api})"
        )
    if settings is not None and (settings.command or settings.reference or not described.is_http):
        return f"the sandbox of this run has no {service} service"
    if described.external:
        return f"the sandbox does not run {service}, which is an external service"
    return f"the sandbox does not run {service}; add `command` to [services.{service}.sandbox] of gaia.toml"


def url_variable(environment: Environment, service: str) -> str:
    """Return the name of the variable with the URL of ``service``, such as ``GAIA_STAGING_ORDERS_URL``."""
    return variable_name(environment.name, f"{environment.platform[service].variable}_URL")
