"""Arguments of a request: how they are sent and recorded, and invalid ones that are rejected before anything is sent."""

from __future__ import annotations

import email.parser
import email.policy
import io
import json
from email.message import EmailMessage, MIMEPart
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pytest_gaia.errors import WriteRefused
from pytest_gaia.secrets.masks import mask_of
from tests.clients.peers import Received, always, peer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Connect

NAN = float("nan")
NESTED: list[Any] = []
for _ in range(100_000):
    NESTED = [NESTED]

WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "number in a header": ({"headers": {"x-n": 1}}, TypeError, "headers: 'x-n': int, expected str"),
    "None in a header": ({"headers": {"x-n": None}}, TypeError, "headers: 'x-n': NoneType"),
    "name of a header": ({"headers": {1: "x"}}, TypeError, "headers: a name: int"),
    "headers": ({"headers": [("x", "y")]}, TypeError, "headers: list, expected a mapping"),
    "text as params": ({"params": "a=1"}, TypeError, "params: str, expected a mapping or a list of pairs"),
    "not pairs": ({"params": ["ab"]}, TypeError, "params: an item: str, expected a pair"),
    "bytes in params": ({"params": {"a": b"1"}}, TypeError, "params: 'a': bytes"),
    "mapping in params": ({"params": {"a": [{}]}}, TypeError, "params: 'a': dict"),
    "number as a name": ({"params": {1: 1}}, TypeError, "params: a name: int"),
    "pair of seconds": ({"timeout": (1, 2)}, TypeError, "timeout: tuple, expected a number of seconds"),
    "text as seconds": ({"timeout": "1"}, TypeError, "timeout: str"),
    "no time": ({"timeout": 0}, ValueError, "timeout: 0, expected more than 0"),
    "not a number": ({"timeout": NAN}, ValueError, "timeout: nan"),
    "path_params": ({"path_params": [("a", 1)]}, TypeError, "path_params: list, expected a mapping"),
    "None in the path": ({"path_params": {"a": None}}, TypeError, "path_params: 'a': NoneType"),
    "content": ({"content": 1}, TypeError, "content: int, expected str or bytes"),
    "content without an end": ({"content": iter([b"x"])}, TypeError, "content: list_iterator"),
    "NaN": ({"json": {"x": [NAN]}}, ValueError, "json: Out of range float"),
    "no JSON": ({"json": {"x": {1, 2}}}, TypeError, "json: Object of type set is not JSON serializable"),
    "endless JSON": ({"json": NESTED}, ValueError, "json: nested too deeply"),
    "two bodies": ({"json": {}, "content": b""}, ValueError, "got several: json, content"),
    "form and JSON": ({"json": {}, "data": {}, "files": {}}, ValueError, "got several: json, data and files"),
    "text as a form": ({"data": "a=1"}, TypeError, "data: str, expected a mapping"),
    "bytes in a form": ({"data": {"a": b"1"}}, TypeError, "data: 'a': bytes"),
    "one file": ({"files": b"x"}, TypeError, "files: bytes, expected a mapping"),
    "files that are no pairs": ({"files": [b"x"]}, TypeError, "files: an item: bytes"),
    "number as a file": ({"files": {"a": ("a.txt", 7)}}, TypeError, "files: 'a': int, expected bytes"),
    "name of a file": ({"files": {"a": (7, b"x")}}, TypeError, "files: 'a': filename: int"),
    "type of a file": ({"files": {"a": ("a", b"x", 7)}}, TypeError, "files: 'a': type: int"),
    "items of a file": ({"files": {"a": (b"x",)}}, ValueError, "files: 'a': 1 items"),
}


@pytest.mark.parametrize(("options", "error", "message"), WRONG.values(), ids=WRONG)
async def test_what_cannot_be_sent_is_refused_by_its_name(
    connect: Connect, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        with pytest.raises(error, match=message.replace("(", r"\(")):
            await gateway.post("/x/{a}" if "path_params" in options else "/x", **options)
    assert server.connections == 0
    assert gateway.exchanges == ()


async def test_method_path_and_credentials_are_text(connect: Connect) -> None:
    gateway = connect({"gateway": "http://127.0.0.1:1"}).http("gateway")
    wrong: Any = None
    for argument, ask in (("method", gateway.request(wrong, "/x")), ("path", gateway.get(wrong))):
        with pytest.raises(TypeError, match=f"{argument}: NoneType, expected str"):
            await ask
    for argument, view in (("token", gateway.as_user), ("key", gateway.with_key)):
        with pytest.raises(TypeError, match=f"{argument}: NoneType, expected str"):
            view(wrong)


@pytest.mark.parametrize("content", ["{ü", "{ü".encode(), bytearray("{ü".encode()), memoryview("{ü".encode())])
async def test_content_goes_out_as_it_is_text_in_utf_8(connect: Connect, content: Any) -> None:
    async with peer(always(200, {})) as server:
        answered = await connect({"gateway": server.url}).http("gateway").post("/x", content=content)
    assert server.received[0].body == "{ü".encode()
    assert "content-type" not in server.received[0].headers
    assert answered.exchange.request.body == "{ü"


async def test_a_form_goes_out_as_by_httpx_and_is_recorded_masked(connect: Connect) -> None:
    data = {"a b": "ü&=", "n": 1, "yes": True, "no": None, "of": ["x", "y"], "password": "hunter2 & co"}
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        answered = await gateway.post("/login", data=data)
        await gateway.post("/login", data={})
        async with httpx.AsyncClient(trust_env=False) as plain:
            await plain.post(f"{server.url}/login", data=data)
    ours, empty, theirs = server.received
    assert (ours.body, ours.headers["content-type"]) == (theirs.body, theirs.headers["content-type"])
    assert (empty.body, "content-type" in empty.headers) == (b"", False)
    shown = answered.exchange.request.body or ""
    assert shown.startswith("a+b=%C3%BC%26%3D&n=1&yes=true&no=&of=x&of=y&password=***")
    assert "hunter2" not in shown


def parts(request: Received) -> list[MIMEPart]:
    """Return the parts of a multipart body, parsed by another library."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP).parsebytes(head + request.body)
    return list(message.iter_parts())


async def test_files_are_sent_with_their_form_and_recorded_without_their_content(
    connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_bytes(b"the-content-of-a-file")
    with (tmp_path / "notes.txt").open("rb") as notes:
        files = [
            ("notes", notes),
            ("picture", ("ü.png", b"\x89PNG\x00\xff")),
            ("picture", ("b.bin", io.BytesIO(b"12"), "image/x", {"X-Of": "part"})),
            ("plain", (None, "text")),
            ("raw", b"raw"),
        ]
        async with peer(always(200, {})) as server:
            gateway = connect({"gateway": server.url}).http("gateway")
            data = {"name": "Mu", "tags": ["a", "b"], "password": "hunter2!"}
            answered = await gateway.put("/assets", data=data, files=files)
    found = [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in parts(server.received[0])
    ]
    assert found == [
        ("name", None, b"Mu"),
        ("tags", None, b"a"),
        ("tags", None, b"b"),
        ("password", None, b"hunter2!"),
        ("notes", "notes.txt", b"the-content-of-a-file"),
        ("picture", "ü.png", b"\x89PNG\x00\xff"),
        ("picture", "b.bin", b"12"),
        ("plain", None, b"text"),
        ("raw", "upload", b"raw"),
    ]
    assert parts(server.received[0])[6]["x-of"] == "part"
    assert json.loads(answered.exchange.request.body or "") == {
        "name": "Mu",
        "tags": ["a", "b"],
        "password": mask_of("hunter2!"),
        "notes": {"filename": "notes.txt", "type": "text/plain", "bytes": 21},
        "picture": [
            {"filename": "ü.png", "type": "image/png", "bytes": 6},
            {"filename": "b.bin", "type": "image/x", "bytes": 2},
        ],
        "plain": {"filename": None, "type": None, "bytes": 4},
        "raw": {"filename": "upload", "type": "application/octet-stream", "bytes": 3},
    }


async def test_a_content_type_that_is_given_holds_with_its_boundary(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        kind = {"Content-Type": "multipart/form-data; boundary=here"}
        await gateway.post("/x", files={"a": b"1"}, headers=kind)
    assert server.received[0].headers["content-type"] == kind["Content-Type"]
    assert server.received[0].body.startswith(b"--here\r\n")


async def test_a_file_is_read_once_and_sent_again_whole(connect: Connect) -> None:
    async def first_is_stale(request: Received, writer: Any) -> None:
        if request.target == "/second" and request.connection == 1:
            writer.transport.abort()
            return
        await always(200, {})(request, writer)

    async with peer(first_is_stale) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        await gateway.get("/first")
        await gateway.put("/second", files={"a": io.BytesIO(b"all of it")})
    assert [b"all of it" in each.body for each in server.received] == [False, True, True]


async def test_an_upload_is_a_write(connect: Connect) -> None:
    async with peer(always(200, {})) as server:
        gateway = connect({"gateway": server.url}, permitted=False).http("gateway")
        with pytest.raises(WriteRefused, match="POST /assets"):
            await gateway.post("/assets", files={"a": b"x"})
    assert server.connections == 0


async def test_a_stream_takes_the_same_bodies(connect: Connect) -> None:
    events = always(200, b"data: 1\n\n", headers={"content-type": "text/event-stream"})
    async with peer(events) as server:
        gateway = connect({"gateway": server.url}).http("gateway")
        bodies: list[dict[str, Any]] = [{"data": {"a": "b"}}, {"files": {"a": b"x"}}, {"content": "x"}, {"json": {}}]
        for body in bodies:
            async with gateway.stream("/x", **body) as stream:
                assert [event.data for event in await stream.collect()] == [1]
        late: Any = "1"
        with pytest.raises(TypeError, match="deadline: str"):
            async with gateway.stream("/x", deadline=late):
                pytest.fail("the stream was opened")
    kinds = [each.headers.get("content-type", "").partition(";")[0] for each in server.received]
    assert kinds == ["application/x-www-form-urlencoded", "multipart/form-data", "", "application/json"]
