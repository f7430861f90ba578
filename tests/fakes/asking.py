"""Run a fake tool and parse its JSON output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools


def ask(tools: FakeTools, *words: str) -> Any:
    """Run a command and return its JSON output."""
    done = tools.run(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
