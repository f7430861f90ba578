"""Conversations that are cleaned up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from suites.conversations.lifecycle import Conversations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_gaia.clients.http.client import HttpClient


@pytest.fixture
def existing_conversations(gateway: HttpClient, unique_name: str) -> Conversations:
    """Conversations for tests that only read, which can be concurrent because nothing has to be deleted after them."""
    return Conversations(gateway, unique_name)


@pytest_asyncio.fixture(loop_scope="session")
async def conversations(existing_conversations: Conversations) -> AsyncIterator[Conversations]:
    """Create conversations with ``await conversations.create()``; they are deleted at the end, also after a failure."""
    yield existing_conversations
    for conversation_id in existing_conversations.ids:
        (await existing_conversations.delete(conversation_id)).expect(200, 204, 404)
