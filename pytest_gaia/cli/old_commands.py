"""The command lines of the script that ``gaia test`` replaces, and what each stands for.

A check says which command it stands for by ``@pytest.mark.gaia(command="provider-models")``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OldCommand:
    """One command."""

    suite: str
    """the suite that holds its checks"""
    arguments: tuple[str, ...] = ()
    """names of what may follow; each may be left out from the right, and the checks then use values of their own"""
    secret: tuple[str, ...] = ()
    """those of ``arguments`` that are not shown"""


_LOGIN = OldCommand("auth", ("EMAIL", "PASSWORD"), secret=("PASSWORD",))

COMMANDS: dict[str, OldCommand] = {
    "health": OldCommand("health"),
    "chat": OldCommand("chat", ("MESSAGE",)),
    "stream": OldCommand("stream", ("MESSAGE",)),
    "status": OldCommand("status"),
    "models": OldCommand("models"),
    "model-info": OldCommand("models", ("MODEL",)),
    "providers": OldCommand("providers"),
    "provider-models": OldCommand("providers", ("PROVIDER",)),
    "provider-health": OldCommand("providers"),
    "provider-stats": OldCommand("providers"),
    "vr": OldCommand("stream"),
    "cache": OldCommand("status"),
    "clear": OldCommand("chat"),
    "pricing-current": OldCommand("pricing", ("PROVIDER",)),
    "pricing-analytics": OldCommand("pricing"),
    "pricing-providers": OldCommand("pricing"),
    "cost-estimate": OldCommand("pricing"),
    "dalle-tiers": OldCommand("pricing"),
    "meshy-packages": OldCommand("pricing"),
    "provider-comparison": OldCommand("pricing"),
    "usage-current": OldCommand("usage"),
    "usage-history": OldCommand("usage"),
    "usage-limits": OldCommand("usage"),
    "billing-current": OldCommand("usage"),
    "monthly-report": OldCommand("usage"),
    "personas-list": OldCommand("personas"),
    "personas-current": OldCommand("personas"),
    "personas-create": OldCommand("personas"),
    "personas-initialize": OldCommand("personas"),
    "personas-get": OldCommand("personas", ("ID",)),
    "personas-set": OldCommand("personas", ("ID",)),
    "performance-summary": OldCommand("performance"),
    "performance-providers": OldCommand("performance"),
    "performance-stages": OldCommand("performance"),
    "performance-live": OldCommand("performance"),
    "performance-health": OldCommand("performance"),
    "performance-reset": OldCommand("performance"),
    "auth-register": _LOGIN,
    "auth-login": _LOGIN,
}

BATCHES: dict[str, tuple[str, ...]] = {
    "all": ("health", "status", "providers", "provider-health", "models", "cache"),
    **{
        f"{suite}-all": tuple(name for name, command in COMMANDS.items() if command.suite == suite)
        for suite in ("providers", "pricing", "usage", "personas", "performance", "auth")
    },
}
"""batch → its commands"""
