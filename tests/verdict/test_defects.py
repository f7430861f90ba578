"""A known defect explains its own answer, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.clients.exchanges import Exchange, Request, Response
from pytest_gaia.errors import ConfigError
from pytest_gaia.verdict.defects import explaining, load_defects, require_known

if TYPE_CHECKING:
    from pathlib import Path

DEFECTS = """
[models-shadowed]
what = "shadowed by /models/{id}"
routes = ["/api/v0.2/models/capabilities"]
status = [404]
"""


def exchange(route: str, status: int) -> Exchange:
    request = Request("GET", f"http://platform{route}", {})
    return Exchange("gateway", "direct", route, request, Response(status, {}, "{}"), None, 0.0, 0.01)


def write(folder: Path, text: str) -> tuple[Path]:
    (folder / "defects.toml").write_text(text)
    return (folder,)


@pytest.mark.parametrize(
    ("route", "status", "explained"),
    [
        ("/api/v0.2/models/capabilities", 404, True),
        ("/api/v0.2/models/capabilities", 500, False),
        ("/api/v0.2/models", 404, False),
    ],
)
def test_route_and_status_must_both_match(tmp_path: Path, route: str, status: int, explained: bool) -> None:
    defects = load_defects(write(tmp_path, DEFECTS))

    found = explaining(["models-shadowed"], defects, exchange(route, status))

    assert (found is not None) is explained


def test_a_check_that_names_no_defect_is_never_excused(tmp_path: Path) -> None:
    defects = load_defects(write(tmp_path, DEFECTS))

    assert explaining([], defects, exchange("/api/v0.2/models/capabilities", 404)) is None


def test_a_project_without_the_file_has_no_defects(tmp_path: Path) -> None:
    assert load_defects((tmp_path,)) == {}


def test_an_unknown_id_gets_the_nearest(tmp_path: Path) -> None:
    defects = load_defects(write(tmp_path, DEFECTS))

    with pytest.raises(ConfigError, match=r"test_shadowed: .*'model-shadowed': did you mean models-shadowed"):
        require_known(["model-shadowed"], defects, "test_models.py::test_shadowed")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a\n", "not valid TOML"),
        ("a = 1\n", "a: expected a table"),
        (DEFECTS.replace("status", "statuz"), r"\[models-shadowed\] has no key 'statuz': did you mean status"),
        (DEFECTS.replace("[404]", "404"), r"status: expected list, got 404"),
        (DEFECTS.replace("status = [404]", ""), r"status: expected list, got None"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"defects\.toml: .*{message}"):
        load_defects(write(tmp_path, text))
