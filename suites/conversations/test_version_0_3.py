"""Conversations of version 0.3, which lists and creates them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.conversations.lifecycle import titles

if TYPE_CHECKING:
    from suites.conversations.lifecycle import Conversations

pytestmark = pytest.mark.gaia(requires=["chat"])


@pytest.mark.gaia(core=True)
async def test_version_0_3_lists_the_conversations_of_version_1(existing_conversations: Conversations) -> None:
    before = titles(await existing_conversations.listed())
    listed = titles(await existing_conversations.listed_briefly())
    # Other tests may create and delete conversations meanwhile.
    lasting = before.items() & titles(await existing_conversations.listed()).items()
    assert lasting <= listed.items()


@pytest.mark.gaia(writes=True)
async def test_a_new_conversation_is_listed_in_both_versions(conversations: Conversations) -> None:
    made = await conversations.create_brief()
    for listed in (await conversations.listed_briefly(), await conversations.listed()):
        assert (made["conversation_id"], made["title"]) in titles(listed).items()
