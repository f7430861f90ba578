"""The page about flyctl names every flag that gaia passes, and every field and message that it reads."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.deploy.contract import LogLine
from pytest_gaia.deploy.fly import operations, shapes
from pytest_gaia.deploy.fly._hook import FlyHook
from pytest_gaia.deploy.fly.operations import VARIABLES, FlyTool, classify
from pytest_gaia.deploy.process import Finished
from tests.deploy.executables import a_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_tools import FakeTools

APP = "gaia-auth-staging"
IMAGE = "registry.fly.io/gaia-auth-dev@sha256:" + "1" * 64
PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "flyctl.md").read_text(encoding="utf-8")
OUTPUTS = {
    "machine list": shapes._Machine,
    "status": shapes.Status,
    "releases": shapes.Release,
    "secrets list": shapes._Secret,
    "logs": LogLine,
    "deploy": shapes.Emitted,
}
RESULTS = {"not permitted": "unauthorized", "unknown app": "unknown-app", "not logged in": "not-logged-in"}


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below ``heading``, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_flag_has_a_row(fake_tools: FakeTools, tmp_path: Path) -> None:
    config = tmp_path / "fly.toml"
    config.write_text(f'app = "{APP}"\n[processes]\nweb = "serve"\n[http_service]\ninternal_port = 8000\n')
    fake_tools.app(APP, state="suspended", file={"processes": {"web": "serve"}})
    fake_tools.logged(APP, "started")
    tool = FlyTool(wait=lambda _: None)
    here: dict[str, Any] = {"app": APP, "config": str(config)}
    for request in (
        a_request("deploy", image=IMAGE, region="lhr", **here),
        a_request("deploy", image=None, rebuild=True, **here),
        a_request("rollback", image=None, previous=IMAGE, **here),
    ):
        FlyHook(tool).run(request, lambda _: None)
    operations.scale(APP, count=2, memory=512, region="lhr", group="web", tool=tool)
    operations.logs(APP, lambda _: None, tool=tool)
    operations.releases(APP, tool=tool)
    operations.secret_names(APP, tool=tool)

    passed = {
        (" ".join(word for word in call.argv[:2] if word.isalpha()), word.partition("=")[0])
        for call in fake_tools.calls("fly")
        for word in call.argv
        if word.startswith("-")
    }
    listed = {(quoted(command)[0], quoted(flag)[0]) for command, flag, *_ in rows("Flags")}
    assert passed == listed
    assert {call.exit for call in fake_tools.calls("fly")} == {0}


def fields(kind: object, path: str = "") -> Iterator[str]:
    """The dotted names of all values in ``kind``."""
    if isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield from fields(field.type, f"{path}.{field.encode_name}")
    elif isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            if not isinstance(each, msgspec.inspect.NoneType):
                yield from fields(each, path)
    elif isinstance(kind, msgspec.inspect.ListType) and not isinstance(kind.item_type, msgspec.inspect.AnyType):
        yield from fields(kind.item_type, path)
    else:
        yield path.removeprefix(".")


@pytest.mark.parametrize("command", OUTPUTS)
def test_every_field_has_a_row(command: str) -> None:
    names = [name for row in rows("Fields") if quoted(row[0]) == [command] for name in quoted(row[1])]
    prefixes = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
    read = set(fields(msgspec.inspect.type_info(OUTPUTS[command])))

    covered = {name for name in read if name.startswith(prefixes)} if prefixes else set()
    assert read - covered == {name for name in names if not name.endswith("*")}
    assert all(any(name.startswith(prefix) for name in read) for prefix in prefixes)


def structs(kind: object) -> Iterator[type]:
    """All structures in ``kind``."""
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind.cls
        for field in kind.fields:
            yield from structs(field.type)
    for each in (*getattr(kind, "types", ()), getattr(kind, "item_type", None)):
        if each is not None:
            yield from structs(each)


def test_every_structure_is_part_of_an_output() -> None:
    defined = {each for _, each in inspect.getmembers(shapes, inspect.isclass) if each.__module__ == shapes.__name__}

    found = {each for kind in OUTPUTS.values() for each in structs(msgspec.inspect.type_info(kind))}
    assert found == {each for each in defined if issubclass(each, msgspec.Struct)} | {LogLine}


def test_every_value_has_a_row() -> None:
    values = {word for row in rows("Values") for word in quoted(row[1])}
    metadata = set(re.findall(r'"(fly_[a-z_]+)"', inspect.getsource(shapes)))

    assert operations.ASLEEP | shapes._GONE | metadata | {"passing", "critical", "start", "exit"} <= values


def test_every_variable_and_exit_code_has_a_row() -> None:
    named = {row[0].strip("`") for row in rows("Variables and exit codes")}

    assert named == {*VARIABLES, "0", "1", "3", "126", "127"}


@pytest.mark.parametrize(("message", "result"), [(row[0], row[1]) for row in rows("Messages")])
def test_every_message_has_its_result(message: str, result: str) -> None:
    (text,) = quoted(message)
    word = result.partition(";")[0]

    assert classify(Finished(("fly", "status"), 1, "", (f"Error: {text}",))) == RESULTS.get(word, word)
