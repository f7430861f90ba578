"""Fill the marked places of reference pages from the code: commands of `gaia`, options and settings of pytest, tables of gaia.toml.

A page holds a comment such as `<!-- generated: gaia-commands -->`, and a sentence for readers of the plain file.
"""

import argparse
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

import pytest_gaia.fixtures.static
import pytest_gaia.plugin
from pytest_gaia.cli import app as cli
from pytest_gaia.config import services
from pytest_gaia.config.schema import schema
from pytest_gaia.preflight.suites import ALL_CHECKS, TOPICS

ROOT = Path(__file__).parents[2]
_PLACE = re.compile(r"<!-- generated: (?P<what>[\w-]+) -->")


def fill_page(_app: Sphinx, _docname: str, source: list[str]) -> None:
    """Replace each marked place of a page with generated Markdown."""
    source[0] = _PLACE.sub(lambda match: "\n".join(_GENERATORS[match["what"]]()), source[0])


def gaia_commands() -> Iterator[str]:
    """Yield a section for each panel of `gaia --help`, with each command: usage, help, arguments and options."""
    top = cli.root()
    context = typer.Context(top, info_name="gaia")
    panel = None
    for name, row in cli.COMMANDS.items():
        if not row.hidden:
            if row.panel != panel:
                panel = row.panel
                yield f"## {panel}\n"
            yield from _command(cli.load(name), typer.Context(cli.load(name), parent=context, info_name=name), level=3)


def _command(command: Any, context: typer.Context, level: int) -> Iterator[str]:
    if command.hidden:
        return
    yield f"{'#' * level} {context.command_path}\n"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {pieces}\n```\n"
    yield from _help(command.help or "")
    options = [
        each for each in command.get_params(context) if not getattr(each, "hidden", False) and each.name != "help"
    ]
    if options:
        yield "| Argument or option | Meaning |\n|---|---|"
        yield from (_parameter(each, context) for each in options)
        yield ""
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from _command(inner, typer.Context(inner, parent=context, info_name=name), level + 1)


def _parameter(parameter: Any, context: typer.Context) -> str:
    record = parameter.get_help_record(context) or (parameter.make_metavar(ctx=context), "")
    shown = re.sub(r" <\w+>$", "", record[0])
    return f"| {_code(shown)} | {_cell(record[1])} |"


def _help(text: str) -> Iterator[str]:
    r"""Yield help text as Markdown; a paragraph after `\b` keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip("\n").startswith("\b"):
            kept = paragraph.strip("\n\b")
            yield f"```text\n{kept}\n```\n"
        else:
            yield _escaped(paragraph) + "\n"


class Recorder:
    """Takes the place of pytest's parser, and keeps what the plugin adds to it."""

    def __init__(self) -> None:
        self.options: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.settings: list[tuple[str, str]] = []
        pytest_gaia.plugin.pytest_addoption(self)  # type: ignore[arg-type]

    def getgroup(self, *_: object, **__: object) -> "Recorder":
        """Return the recorder itself as the group of options."""
        return self

    def addoption(self, *names: str, **attributes: Any) -> None:
        """Keep one option, unless it is hidden."""
        if attributes.get("help") is not argparse.SUPPRESS:
            self.options.append((names, attributes))

    def addini(self, name: str, help: str, *_: object, **__: object) -> None:  # noqa: A002
        """Keep one setting. Pytest names the argument `help`."""
        self.settings.append((name, help))


def pytest_options() -> Iterator[str]:
    """Yield a table of the options that the plugin adds to pytest."""
    yield "| Option | Meaning |\n|---|---|"
    for names, attributes in Recorder().options:
        value = attributes.get("metavar") or "|".join(attributes.get("choices") or ())
        shown = " ".join([", ".join(names), value]).strip()
        yield f"| {_code(shown)} | {_cell(attributes.get('help', ''))} |"


def pytest_settings() -> Iterator[str]:
    """Yield a table of the settings that the plugin reads from pytest's configuration file."""
    yield "| Setting | Meaning |\n|---|---|"
    yield from (f"| {_code(name)} | {_cell(text)} |" for name, text in Recorder().settings)


def fixtures() -> Iterator[str]:
    """Yield a table of the public fixtures."""
    yield "| Fixture | Value |\n|---|---|"
    for name in pytest_gaia.plugin.Fixtures.NAMES:
        text = (getattr(pytest_gaia.fixtures.static, name).__doc__ or "").partition("\n\n")[0]
        yield f"| {_code(name)} | {_cell(text)} |"


_TABLES_OF_SERVICES = {
    "[platform]": services.PlatformTable,
    "[services.NAME]": services.ServiceTable,
    "[services.NAME.healthy]": services.HealthTable,
    "[services.NAME.auth]": services.AuthTable,
    "[services.NAME.deploy]": services.UnitTable,
    "[services.NAME.sandbox]": services.SandboxTable,
    "[services.NAME.timeouts]": services.TimeoutTable,
}


def services_tables() -> Iterator[str]:
    """Yield a section for each table of gaia.toml that describes services, with its keys."""
    tables = schema()["$defs"]
    for title, struct in _TABLES_OF_SERVICES.items():
        yield f"### `{title}`\n"
        yield "| Key | Type | Meaning |\n|---|---|---|"
        for key, value in tables[struct.__name__]["properties"].items():
            yield f"| `{key}` | {_cell(_type(value))} | {_cell(value['description'])} |"
        yield ""


def suite_checks() -> Iterator[str]:
    """Yield a table of the checks of test files for each topic."""
    for topic, title in TOPICS.items():
        yield f"### {title}\n"
        yield "| check | severity | finds | why it matters | fix |\n|---|---|---|---|---|"
        for each in (each for each in ALL_CHECKS if each.topic == topic):
            texts = (each.title, each.why, f"{each.fix[:1].upper()}{each.fix[1:]}{'.' if each.fix else ''}")
            yield f"| `{each.id}` | {each.severity} | {' | '.join(map(_cell, texts))} |"
        yield ""


def possible_ways() -> Iterator[str]:
    """Yield a table of the ways around a run that stay possible, from the tables in ci/ways."""
    yield "| way | why a run does not stop it | found in the code by |\n|---|---|---|"
    for path in sorted((ROOT / "ci" / "ways").glob("*.toml")):
        for row in tomllib.loads(path.read_text(encoding="utf-8")).get("way", ()):
            if "possible" in row:
                check = f"`{row['check']}`" if "check" in row else ""
                yield f"| {_cell(row['title'])} | {_cell(row['possible'])} | {check} |"


def _type(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(map(_type, value["anyOf"]))
    if "enum" in value:
        return ", ".join(f"`{json.dumps(each)}`" for each in value["enum"])
    names = {"array": "list", "object": "table", "boolean": "`true`, `false`"}
    return "table" if "$ref" in value else names.get(value["type"], value["type"])


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Escape Markdown outside code spans."""
    spans = re.split(r"(`[^`]*`)", text.replace("``", "`"))
    return "".join(each if each.startswith("`") else re.sub(r"([*_<>\[\]#])", r"\\\1", each) for each in spans)


_GENERATORS = {
    "fixtures": fixtures,
    "gaia-commands": gaia_commands,
    "possible-ways": possible_ways,
    "pytest-options": pytest_options,
    "pytest-settings": pytest_settings,
    "services": services_tables,
    "suite-checks": suite_checks,
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", fill_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
