"""What is deployed, as evidence: what runs, and what this run has done to it."""

from __future__ import annotations

import msgspec


class ServiceSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One service of the environment."""

    service: str
    app: str
    """the deploy tool's name for it"""
    outcome: str = ""
    """what this run's deployment of it came to; empty where this run did not deploy it"""
    reason: str = ""
    """why the outcome is not plainly good, or why nothing could be observed"""
    release: int | None = None
    images: tuple[str, ...] = ()
    """what its machines run, each once: digests, or references where no digest is known"""
    machines: int | None = None
    """how many serve; None where it could not be observed"""
    passing: int = 0
    """health checks that pass"""
    checks: int = 0
    """health checks that are configured"""
    elapsed: float = 0.0
    """seconds that the deployment of it took"""


class DeploymentSeen(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is deployed to the environment."""

    hook: str
    """how it was asked: fly, compose, command or plugin"""
    services: tuple[ServiceSeen, ...] = ()
    by_this_run: bool = False
    """whether this run has deployed (``--gaia-deploy``); otherwise it only observed"""
    started: str = ""
    """when this run began to deploy, ISO 8601 in UTC"""
    notes: tuple[str, ...] = ()
    """what people should know besides"""
