"""The knowledge base: search, list and read. These POSTs only read; no test writes to the knowledge base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from suites.shapes import COUNT, TEXT, equal, shaped, some

if TYPE_CHECKING:
    from pytest_gaia.clients.http.client import HttpClient
    from suites.shapes import Shape

pytestmark = pytest.mark.gaia(requires=["kb"], core=True)

READING = ["/search", "/list", "/read"]


def found(**metadata: Shape) -> Shape:
    """Return the shape of a result with these details."""
    return {"status": equal("success"), "response": TEXT, "metadata": metadata}


async def test_a_search_counts_its_results(kb: HttpClient, unique_name: str) -> None:
    response = (await kb.post("/search", json={"message": unique_name})).expect(200)
    result = shaped(response, found(total_results=COUNT, query=equal(unique_name)))
    assert result["metadata"]["total_results"] == 0, "a unique word was found"


async def test_a_folder_is_listed(kb: HttpClient) -> None:
    shaped((await kb.post("/list", json={"message": "/"})).expect(200), found(directory=TEXT))


async def test_a_file_is_read_by_its_path(kb: HttpClient, unique_name: str) -> None:
    response = (await kb.post("/read", json={"message": f"{unique_name}.md"})).expect(200)
    assert unique_name in shaped(response, found(file_path=TEXT))["metadata"]["file_path"]


@pytest.mark.parametrize("path", READING)
async def test_a_request_without_a_message_is_rejected(kb: HttpClient, path: str) -> None:
    problem = {"type": equal("missing"), "loc": some(TEXT), "msg": TEXT}
    response = (await kb.post(path, json={})).expect(422)
    assert "message" in shaped(response, {"detail": some(problem)})["detail"][0]["loc"]


@pytest.mark.parametrize("path", READING)
async def test_the_content_requires_a_key(kb: HttpClient, path: str) -> None:
    (await kb.post(path, json={"message": "/"})).expect(200)
    shaped((await kb.anonymous().post(path, json={"message": "/"})).expect(401), {"detail": TEXT})
