"""One process of a run, if the sandbox does not respond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.errors import SandboxError
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.run.session import Run
from pytest_gaia.secrets.masks import mask_of
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from pathlib import Path


def test_messages_get_out_and_stay_masked_where_the_sandbox_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("no space left on device")
    (tmp_path / "gaia.toml").write_text(ON_GAIA)
    variables = {"GAIA_STAGING_API_KEY": "sk-live-0123456789"}
    options = Options(env="staging", project=Project(tmp_path), environ=variables)
    run = Run(options, resolve(options), (), sandbox=Sandbox.attach(tmp_path))

    with pytest.raises(SandboxError, match="no space left on device"):
        _ = run.environment

    assert run.redactor.text("sent sk-live-0123456789") == f"sent {mask_of('sk-live-0123456789')}"
