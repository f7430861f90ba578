"""The configuration of Allure, and the page that it generates, changed so that it is safe to share and opens at the verdict.

The configuration is a JavaScript module, because JSON has no functions that match results.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gaia.printable import one_line

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

_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script\s*>\s*", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"<(?:link|img|iframe|base)\b[^>]*>\s*", re.IGNORECASE)
_LOADS = re.compile(
    r"<(?:script|link|img|iframe|frame|base|source|video|audio|track|embed|object|input)\b[^>]*>", re.IGNORECASE
)
_ADDRESS = re.compile(r"\b(?:src|href|data)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_REMOTE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_SCRIPT_DATA = re.compile(r"data:text/javascript;base64,(.*)", re.DOTALL)
_ANALYTICS = re.compile(r"\bgtag\s*\(|\bdataLayer\b|google-?analytics", re.IGNORECASE)
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_SMALL = 16 * 1024
"""characters; analytics scripts are shorter, and the application, which may contain any word, is longer"""

# A page opened from a disk has no origin. It may read itself and the objects that it creates.
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline' data:; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; frame-src 'self' data: blob:; "
    "worker-src 'none'; object-src 'none'; form-action 'none'; base-uri 'self'"
)


_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
_BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_STYLE = """\
<style>
#gaia-summary { --tone: #7a4d00; font: 15px/1.4 system-ui, "Segoe UI", Arial, sans-serif; background: #fff; color: #1b1e22;
  border-top: 6px solid var(--tone); padding: 12px 24px; overflow-wrap: anywhere; }
#gaia-summary.promote { --tone: #17633a; } #gaia-summary.reject, #gaia-summary.infra { --tone: #9c1c1c; }
#gaia-summary h1 { font-size: 20px; margin: 0; } #gaia-summary p { margin: 2px 0 0; }
#gaia-summary .word { color: var(--tone); font-weight: 700; }
[data-theme="dark"] #gaia-summary { background: #1e2226; color: #e9eaeb; --tone: #f1c467; }
[data-theme="dark"] #gaia-summary.promote { --tone: #86d6a6; }
[data-theme="dark"] #gaia-summary.reject, [data-theme="dark"] #gaia-summary.infra { --tone: #ffa59c; }
@media screen {
  body { display: flex; flex-direction: column; height: 100vh; }
  #app { flex: 1 1 0; min-height: 0; overflow: auto; } #app > * { height: 100%; }
}
@media screen and (max-width: 600px), screen and (max-height: 500px) {
  body { display: block; height: auto; } #app { overflow: visible; }
}
</style>
<noscript><style>#allure-app-loader { display: none; }</style></noscript>"""
# Allure scrolls to the first test when it has loaded. Until the reader does anything, the page stays at its top.
_TOP = """\
(() => {
  const events = ["pointerdown", "keydown", "wheel", "touchstart"];
  const top = ({ target }) => { (target.scrollingElement ?? target).scrollTop = 0; };
  const stop = () => {
    removeEventListener("scroll", top, true);
    events.forEach((each) => removeEventListener(each, stop, true));
  };
  if (location.search || location.hash) return;
  addEventListener("scroll", top, true);
  events.forEach((each) => addEventListener(each, stop, true));
  setTimeout(stop, 10000);
})();
"""


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


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The verdict of one run, as its results folder names it."""

    environment: str
    verdict: str
    reasons: str
    gone: str = ""
    """operations that are gone and block, separated by commas"""
    baseline: str = ""


def shareable(page: str, runs: Sequence[RunSummary], counts: str) -> str:
    """Return ``page`` with a summary at its top, and without analytics and remote references.

    The content security policy allows the scripts of the page and no others. For that, scripts in ``data:`` addresses
    become inline scripts. ``counts`` describes the numbers of tests in one line.
    """
    page = _LINK.sub(lambda found: "" if _address(found[0], remote=True) else found[0], page)
    page = _SCRIPT.sub(_script, page)
    page = _BODY.sub(lambda found: f"{found[0]}\n{_summary(runs, counts)}", page, count=1)
    allowed = " ".join(dict.fromkeys(_sources(page)))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(scripts=allowed)}">'
    return _HEAD.sub(lambda found: f"{found[0]}\n    {policy}\n    {_VIEWPORT}\n{_STYLE}", page, count=1)


def _summary(runs: Sequence[RunSummary], counts: str) -> str:
    """Return the top of the page: verdict, reasons and counts. It needs no JavaScript."""
    words = {each.verdict for each in runs}
    tone = next(iter(words)).lower() if len(words) == 1 else "mixed"
    heads = "".join(
        f'<h1><span class="word">{_text(each.verdict)}</span> on {_text(each.environment)}</h1>\n<p>{_text(each.reasons)}</p>\n'
        + (
            f"<details><summary>gone since {_text(each.baseline)}</summary>{_text(each.gone)}</details>\n"
            if each.gone
            else ""
        )
        for each in runs
    )
    note = "<noscript><p>The list of tests needs JavaScript. The summary above does not.</p></noscript>"
    return (
        f'<header id="gaia-summary" class="{_text(tone)}">\n{heads or "<h1>Test results</h1>"}<p>{_text(counts)}</p>\n{note}\n'
        f"</header>\n<script>{_TOP}</script>"
    )


def _text(text: str) -> str:
    return html.escape(one_line(text))


def remote_references(page: str) -> list[str]:
    """Return the addresses on other machines that ``page`` loads by itself."""
    # The content of a script is not a tag.
    tags = _LOADS.findall(_SCRIPT.sub(lambda found: f"<script{found[1]}>", page))
    return [address for tag in tags if (address := _address(tag, remote=True))]


def _script(found: re.Match[str]) -> str:
    attributes, text = found[1], found[2]
    address = _address(attributes)
    if _REMOTE.match(address) or (len(text) < _SMALL and _ANALYTICS.search(text)):
        return ""
    if data := _SCRIPT_DATA.match(address):
        return f"<script>{_inline(base64.b64decode(data[1]).decode('utf-8'))}</script>\n"
    return found[0]


def _inline(script: str) -> str:
    # "</script" would end the script, and "<!--" would begin a comment. Both occur only in string literals.
    # HTML has one kind of line break, and the digest must be of that.
    lines = script.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"<(?=/script|!--)", r"\\x3C", lines, flags=re.IGNORECASE)


def _sources(page: str) -> Iterator[str]:
    for found in _SCRIPT.finditer(page):
        if _address(found[1]):
            yield "'self'"
        else:
            yield f"'sha256-{base64.b64encode(hashlib.sha256(found[2].encode()).digest()).decode()}'"


def _address(tag: str, *, remote: bool = False) -> str:
    found = _ADDRESS.search(tag)
    address = html.unescape(next(filter(None, found.groups()), "")) if found else ""
    return address if not remote or _REMOTE.match(address) else ""
