"""No answer, in words: what failed, what was tried, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.clients.transcript import transcript
from pytest_gaia.config.secrets import mask_url
from pytest_gaia.errors import DeadlineExceeded, UnexpectedAnswer, Unreachable

if TYPE_CHECKING:
    from pytest_gaia.clients.exchanges import Exchange
    from pytest_gaia.clients.transport import Fault
    from pytest_gaia.config.environment import Environment
    from pytest_gaia.errors import ServiceError


def explain(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> ServiceError:
    """Return the error for a request that got no complete answer, with the exchange in its message."""
    if fault.stage == "connect":
        return Unreachable(_no_connection(fault, exchange, environment, base_url))
    if fault.stage == "deadline":
        return DeadlineExceeded(
            f"{exchange.service} did not answer in time: {fault.reason}.\n"
            f"The connection stood; the service is slow or hangs. Deadlines of {environment.label} are in gaia.toml: "
            f"[env.{environment.name}.timeouts].\n\n{transcript(exchange)}"
        )
    if fault.stage == "encoding":
        return UnexpectedAnswer(
            f"the answer of {exchange.service} cannot be read: {fault.reason}.\n\n{transcript(exchange)}", exchange
        )
    if fault.stage == "size":
        return UnexpectedAnswer(
            f"{exchange.service} answered with more than is read: {fault.reason}.\n"
            f"The bound is `max_answer_mib` in [env.{environment.name}] of gaia.toml.\n\n{transcript(exchange)}",
            exchange,
        )
    return Unreachable(
        f"{exchange.service} broke the connection off before its answer was complete: {fault.reason}.\n"
        f"Look at the log of the service: it crashed, restarted, or something between cut the line.\n\n"
        f"{transcript(exchange)}"
    )


def _no_connection(fault: Fault, exchange: Exchange, environment: Environment, base_url: str) -> str:
    via = "" if exchange.via == "direct" else f" (through the {exchange.via})"
    member = exchange.service if exchange.via == "direct" else exchange.via
    source = environment.sources.get(f"urls.{member}", "default")
    remedy = f"Start the service or its machine, or name another URL: --gaia-url {member}=URL."
    if fault.remedy:
        remedy = f"{fault.remedy[0].upper()}{fault.remedy[1:]}"
    tries = f"{exchange.attempt} attempts" if exchange.attempt > 1 else "1 attempt"
    return (
        f"{exchange.service}{via} cannot be reached at {mask_url(base_url)}: {fault.reason} ({tries}).\n"
        f"The URL comes from {source}, environment {environment.label}.\n"
        f"{remedy}\n\n{transcript(exchange)}"
    )
