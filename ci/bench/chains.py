"""A plugin of pytest that writes the requests of each test to ``$BENCH_CHAINS``: ``-p ci.bench.chains``, without workers.

The file (JSON) has for each test its requests in stages: a stage has the requests that the test sent at the same time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from pytest_gaia.secrets.masks import mask_of
from pytest_gaia.stash import RUN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.clients.exchanges import Exchange

FILE = "BENCH_CHAINS"
KEY = "the key"
"""in the place of the API key"""

Request: TypeAlias = "tuple[str, str, dict[str, str], str | None]"
"""method, path with query, headers, body"""
Chain: TypeAlias = "list[list[Request]]"

_ADDED = ("host", "accept-encoding", "connection", "user-agent", "content-length")
"""headers that any client adds"""
_CHAINS = pytest.StashKey[dict[str, Chain]]()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep the requests of a test, if it sent any."""
    run = item.config.stash[RUN]
    if exchanges := run.recorder.current.exchanges:
        key = run.environment.api_key
        stages = _stages(exchanges, mask_of(key.reveal()) if key else "")
        item.config.stash.setdefault(_CHAINS, {})[item.nodeid] = stages


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file."""
    Path(os.environ[FILE]).write_text(json.dumps(session.config.stash.get(_CHAINS, {})))


def _stages(exchanges: Sequence[Exchange], key: str) -> Chain:
    stages: Chain = []
    ends = 0.0
    for each in sorted(exchanges, key=lambda exchange: exchange.started):
        if not stages or each.started >= ends:
            stages.append([])
        ends = max(ends, each.started + each.elapsed)
        stages[-1].append(_request(each, key))
    return stages


def _request(exchange: Exchange, key: str) -> Request:
    sent = exchange.request
    headers = {name: KEY if value == key else value for name, value in sent.headers.items() if name not in _ADDED}
    return sent.method, "/" + sent.url.split("/", 3)[3], headers, sent.body
