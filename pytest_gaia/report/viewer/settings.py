"""The configuration of Allure. It is a JavaScript module, because JSON has no functions that match results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEPT = ("matchedStatuses", "messageRegex", "traceRegex", "flaky")
"""keys of an Allure 2 category that Allure 3 accepts"""

_BY_EXPECTATION = (
    "Drift",
    "Expected failure with another cause",
    "Unexpected pass",
    "Expected failure",
    "Tolerated failure",
)
"""beginnings of the names of categories that are grouped by expectation"""

OFFLINE = """\
// Loaded before Allure. Building a report needs no network, so it gets none.
"use strict";
const error = (what) => new Error(`${what}: reports are built offline`);
const refused = (what) => () => { throw error(what); };
require("node:net").Socket.prototype.connect = function () {
  process.nextTick(() => this.destroy(error("a connection")));
  return this;
};
require("node:dgram").Socket.prototype.send = refused("a datagram");
const dns = require("node:dns");
for (const name of ["lookup", "resolve", "resolve4", "resolve6"]) {
  dns[name] = refused("a name");
  dns.promises[name] = async () => refused("a name")();
}
"""
"""a module for ``node --require``"""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one report."""

    name: str
    output: Path
    history: Path
    runs: int
    """runs kept in the history"""
    environments: tuple[str, ...]
    default: str | None
    """environment of results that name none"""
    categories: Sequence[Mapping[str, Any]]
    single_file: bool

    def module(self) -> str:
        """Return the text of the configuration file (``*.mjs``)."""
        values = {
            "name": self.name,
            "output": str(self.output),
            "historyPath": str(self.history),
            "historyLimit": self.runs,
            "appendHistory": True,
            "categories": [_category(each) for each in self.categories],
            "plugins": {
                "awesome": {"options": {"reportName": self.name, "singleFile": self.single_file}},
                "agent": {"enabled": False},
            },
        }
        return (
            f"const config = {_literal(values)};\n"
            f"const environments = {_literal(dict(self._ids()))};\n"
            f"const unnamed = {_literal(self.default)};\n"
            "const named = (labels) => labels.find((label) => label.name === 'env')?.value ?? unnamed;\n"
            "config.environments = Object.fromEntries(Object.entries(environments).map(([id, name]) =>\n"
            "  [id, { name, matcher: ({ labels }) => named(labels) === name }]));\n"
            "export default config;\n"
        )

    def _ids(self) -> list[tuple[str, str]]:
        # Allure allows only letters, digits, _ and - in an id; the name may contain anything.
        names = dict.fromkeys((*self.environments, *([self.default] if self.default else [])))
        return [(f"environment_{number}", name) for number, name in enumerate(names)]


def _category(given: Mapping[str, Any]) -> dict[str, Any]:
    name = str(given.get("name"))
    kept = {key: given[key] for key in _KEPT if given.get(key) not in (None, [])}
    by_expectation = (
        {"groupBy": [{"label": "expectation"}], "groupByMessage": False} if name.startswith(_BY_EXPECTATION) else {}
    )
    return {"name": name, **(kept or {"matchedStatuses": ["failed", "broken"]}), **by_expectation, "expand": True}


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, indent=1)
