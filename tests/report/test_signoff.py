"""The release report as HTML and Markdown: the same facts, safely escaped, without scripts and requests."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.report.signoff.documents import LIMIT, html, markdown
from tests.report.signoff_pages import HEAD, PERSONAS, bare_page, full_page

if TYPE_CHECKING:
    from pytest_gaia.report.signoff.page import SignOffPage

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> | `x` [y](javascript:z) @team\n# &amp; {{ 7*7 }}"


class Read(HTMLParser):
    """The elements of a document, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of one name."""
        return [attributes for name, attributes in self.elements if name == tag]


def poisoned(value: Any) -> Any:
    """Return ``value`` with a hostile text after every text in it that is free."""
    if isinstance(value, str):
        return value + HOSTILE if value else value
    if isinstance(value, tuple):
        return tuple(map(poisoned, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Words of the gate, links and days are checked where they come from.
        kept = {
            "decision",
            "verdict",
            "run",
            "gate",
            "status",
            "link",
            "issue_link",
            "url",
            "ci",
            "compare",
            "expires",
            "until",
            "as_of",
        }
        return dataclasses.replace(
            value,
            **{
                field.name: poisoned(getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.name not in kept
            },
        )
    return value


@pytest.mark.parametrize("page", [full_page(), bare_page()], ids=["full", "bare"])
def test_the_page_runs_nothing_and_fetches_nothing(page: SignOffPage) -> None:
    read = Read(html(page))

    assert {"script", "link", "img", "iframe", "object", "form", "base"}.isdisjoint(tag for tag, _ in read.elements)
    assert not [a for _, attributes in read.elements for a in attributes if a in ("src", "style") or a.startswith("on")]
    policy = next(each["content"] or "" for each in read.of("meta") if each.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*)</style>", html(page), re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_the_page_has_landmarks_headings_and_labels() -> None:
    read = Read(html(full_page()))

    assert read.of("html") == [{"lang": "en"}]
    assert [tag for tag, _ in read.elements if tag in ("main", "header", "footer", "nav", "h1", "title")][:2] == [
        "title",
        "header",
    ]
    assert [len(read.of(tag)) for tag in ("h1", "main", "nav", "footer")] == [1, 1, 1, 1]
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {(each["href"] or "")[1:] for each in read.of("a") if (each["href"] or "").startswith("#")}
    assert anchors <= set(ids)
    assert all(each.get("scope") in ("col", "row") for each in read.of("th"))
    charts = read.of("svg")
    assert len(charts) == 3
    assert all(set((each["aria-labelledby"] or "").split()) <= set(ids) for each in charts)


@pytest.mark.parametrize("write", [lambda page: Read(html(page)).text, markdown], ids=["html", "markdown"])
def test_both_forms_have_the_same_facts(write: Any) -> None:
    text = re.sub(r"[\\`*\u2060]", "", write(full_page()))

    for fact in (
        "NO GO", "May this release be deployed to production?", "Security review complete", "not approved by security",
        HEAD, "partner launch; tried by hand", "2026-11-25 20:00 UTC", "in force", "has expired",
        "this image", "not observed", "release 126cf3f61ef2", "flaky: suites/health/test_health.py::test_it_answers",
        PERSONAS, "GAIA-412", "gateway: GET /api/v0.2/personas", "no one: it blocks the release", "@models-team (v0.2-models)", "2027-01-31",
        "no one: no test needs it", "NOT KNOWN now: auth", "@persona-team", "2026-12-01", "models-shadowed", "no test needed it", "gaia rollback production --confirm production", "111111111111", "Return 404 for a removed persona",
        "rita (release-manager)", 'runs the suite "performance" only if it is selected', "no valid run of this release",
        "staging: expected failures", "release 126cf3f61ef2, approved for production", "GET /api/v0.2/personas/{persona_id}",
        "p95 910 ms", "its verdict file (verdict.json) is not on this machine", "gaia release approve c1f04185784b security-review -e production",
    ):  # fmt: skip
        assert fact in text, fact


def test_a_page_about_nothing_claims_nothing() -> None:
    text = " ".join(Read(html(bare_page())).text.split())

    assert "not known" in text
    assert "Not known: no verdict file is available." in text
    assert "no tests ran, according to the ledger" in text
    assert "No earlier release was approved for production" in text
    assert "There is no release to go back to." in text
    assert "None: no run on this page" not in text
    assert "Not known: no run on this page recorded the API of the release." in text
    assert "Not known: no verdict file" in markdown(bare_page())


def test_hostile_names_stay_text_in_html() -> None:
    clean, read = Read(html(full_page())), Read(html(poisoned(full_page())))

    assert [tag for tag, _ in read.elements] == [tag for tag, _ in clean.elements]
    assert [sorted(attributes) for _, attributes in read.elements] == [
        sorted(attributes) for _, attributes in clean.elements
    ]
    assert "<script>alert(1)</script>" in read.text
    assert "{{ 7*7 }}" in read.text


def test_hostile_names_stay_text_in_markdown() -> None:
    clean, text = markdown(full_page()), markdown(poisoned(full_page()))

    assert len(text.splitlines()) == len(clean.splitlines()), "no name makes a line, a row or a heading"
    unmasked = re.sub(r"`[^`\n]*`|\\.", "", text)
    assert unmasked.count("|") == re.sub(r"`[^`\n]*`|\\.", "", clean).count("|")
    assert "<script" not in unmasked
    assert "<img" not in unmasked
    assert "](javascript" not in unmasked
    assert "@team" not in unmasked


def test_the_style_has_no_text_that_could_end_it() -> None:
    style = html(full_page(release='release "} body { display: none } @x {')).partition("</style>")[0]

    assert 'content: "NO GO - release  body  display: none  x  - as of 2026-11-23 21:30 UTC"' in style


def test_equal_pages_give_equal_documents() -> None:
    assert html(full_page()) == html(full_page())
    assert markdown(full_page()) == markdown(full_page())


def test_only_addresses_that_were_given_are_links() -> None:
    links = {each["href"] or "" for each in Read(html(full_page())).of("a")}

    assert {link for link in links if not link.startswith("#")} == {
        "https://allure.example/staging/",
        "https://allure.example/staging/?query=test_a_deleted_persona_is_gone",
        "https://issues.example/GAIA-412",
        "https://git.example/gaia/commit/5d5d",
        "https://git.example/gaia/compare/11...5d",
        "https://ci.example/runs/7",
        "https://staging.example/",
    }


def test_a_large_summary_lists_its_omitted_sections() -> None:
    page = full_page()
    many = tuple(dataclasses.replace(page.untested[1], suite=f"suite{number}") for number in range(20_000))

    text = markdown(dataclasses.replace(page, untested=many))

    assert len(text.encode()) <= LIMIT
    left_out = text.rstrip().splitlines()[-1]
    match = re.fullmatch(
        r"\*\*Omitted because of the size limit:\*\* Not tested \((\d+) lines\)\. The HTML page is complete\.",
        left_out,
    )
    assert match, left_out
    assert text.count("| suite") + int(match[1]) == 20_000
    assert "Omitted" not in markdown(page)


@pytest.mark.parametrize("limit", [3000, 4000, 6000, 9000])
def test_the_decision_comes_first_at_every_size_limit(limit: int) -> None:
    text = markdown(full_page(), limit)

    assert len(text.encode()) <= limit
    assert text.startswith("# 🔴 NO GO: release c1f04185784b → production\n")
    assert "Omitted because of the size limit" in text


@pytest.mark.parametrize(
    ("decision", "tone"),
    [("GO", "decision go"), ("GO WITH WAIVERS", "decision go-with-waivers"), ("NO GO", "decision no-go")],
)
def test_the_decision_comes_first_on_the_page_and_in_its_title(decision: Any, tone: str) -> None:
    document = html(full_page(decision=decision))

    assert f"<title>{decision}: release c1f04185784b to production</title>" in document
    assert f'<header class="{tone}">' in document
    assert document.index(f'<span class="word">{decision}</span>') < document.index("Waivers</h2>")
    assert (
        markdown(full_page(decision=decision))
        .splitlines()[0]
        .partition(" ")[2]
        .partition(" ")[2]
        .startswith(f"{decision}: ")
    )


def test_numbers_below_the_decision_match_the_page() -> None:
    numbers = {label: (value, care) for label, value, care in full_page().numbers}

    assert numbers == {
        "Checks passed": ("2 of 5", True),
        "Waivers in force": ("1", True),
        "Known failures": ("42", True),
        "Unexpected results": ("3", True),
        "Not tested anywhere": ("4", True),
        "Approvals valid until": ("2026-11-25", False),
        "Known failures accepted until": ("2026-11-01", False),
    }


def test_nothing_ends_where_nothing_was_accepted() -> None:
    numbers = {label: value for label, value, _ in full_page(known=(), waivers=(), approvals=()).numbers}

    assert numbers["Approvals valid until"] == numbers["Known failures accepted until"] == "–"


def test_further_names_are_counted() -> None:
    text = " ".join(Read(html(full_page())).text.split())

    assert "test_asset[9]" in text
    assert "test_asset[10]" not in text
    assert "and 30 more, listed in the verdict file" in text
    assert " test_p.py::test_a[GET /a::b] " in text
    assert "test_asset[9]`<br>30 more |" in markdown(full_page())


def test_a_thousand_failures_are_counted_and_not_printed() -> None:
    one = full_page().blocking[1]
    page = full_page(
        blocking=(*full_page().blocking, *(dataclasses.replace(one, what=f"{one.what}[{n}]") for n in range(1000)))
    )

    text = " ".join(Read(html(page)).text.split())

    assert "test_a_deleted_persona_is_gone[97]" in text
    assert "test_a_deleted_persona_is_gone[98]" not in text
    assert "And 902 more tests, listed in the verdict files." in text
    assert "And 902 more." in markdown(page)
