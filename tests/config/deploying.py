"""A project with deploy files, and the environment that it makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Environment

HTTP = "[http_service]\ninternal_port = 8000\n"
SERVICES = ("gateway", "auth", "asset", "chat")


class Deployed:
    """A project with deploy files in ``deploy``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "deploy").mkdir()

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text, encoding="utf-8")

    def settings(self, text: str) -> None:
        self.write("gaia.toml", f'[gaia]\nplatform = "gaia"\ndeploy_files = "deploy"\n{text}')

    def full(self, name: str = "staging", gateway: str = "", nats: str = "") -> None:
        """Write one file for each service; ``gateway`` goes into the gateway's ``[env]``."""
        for service in SERVICES[1:]:
            self.write(f"deploy/fly.{service}.{name}.toml", f'app = "acme-{service}-{name}"\n{HTTP}')
        self.write(f"deploy/fly.gateway.{name}.toml", f'app = "acme-gateway-{name}"\n{HTTP}[env]\n{gateway}')
        if nats:
            self.write(f"deploy/fly.nats.{name}.toml", f'app = "acme-nats-{name}"\n{nats}')

    def resolve(self, env: str = "staging", **more: object) -> Environment:
        return resolve(Options(project=Project(self.root), environ={}, env=env, **more))  # type: ignore[arg-type]
