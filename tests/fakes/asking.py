"""JSON out of what a stand-in printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools


def ask(tools: FakeTools, *words: str) -> Any:
    """Run a command that prints JSON and nothing else, and return it."""
    done = tools.run(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
