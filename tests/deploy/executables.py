"""Executables to deploy with, and requests for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gaia.deploy.contract import Request

if TYPE_CHECKING:
    from pathlib import Path


def executable(path: Path, script: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def a_request(phase: str = "deploy", **changes: Any) -> Request:
    """Return a request for the gateway of staging."""
    values = {"phase": phase, "environment": "staging", "service": "gateway", "app": "gaia-gateway-staging"}
    return Request(**{**values, **changes})
