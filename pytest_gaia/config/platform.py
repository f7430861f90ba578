"""What the Gaia Platform is made of, by name. Every pytest run imports this module, so it imports nothing itself."""

from __future__ import annotations

HTTP_SERVICES = ("gateway", "auth", "asset", "chat")
"""The services that answer HTTP; ``gateway`` is the entry to all others."""

MEMBERS = (*HTTP_SERVICES, "nats", "postgres")
"""Everything that an environment can be made of."""

NATS_DISABLED = "disabled"
"""The URL by which the platform says that an environment has no broker. It is understood, never dialled."""
