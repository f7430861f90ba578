"""Secrets in every place that can have one, and none in any file or stream of the run."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from tests.slow import in_full

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = r"\*\*\*[0-9a-f]{8}\*\*\*"
NUMBER = r"\*\*\*\d+\*\*\*"

# place → what proves that it was reached: the mask next to the place's name. {} stands for the usual one, name=mask.
WIRE = {
    "header": "{}",
    "authorization": f"> authorization: {MASK}",
    "key": f"> x-api-key: {MASK}",
    "user": rf"test_user[\s\S]*?> authorization: {MASK}",
    "basic": rf"basic=\S{{0,8}}{MASK}",
    "cookie": f"> cookie: {MASK}",
    "set_cookie": f"< set-cookie: {MASK}",
    "query": "{}",
    "path": rf"path(?:=|%3D){MASK}",
    "body": "{}",
    "body_field": f'"password": "{MASK}"',
    "login": "{}",
    "url": f"api_key={MASK}&url=1",
    "nats": "{}",
    "nats_header": "{}",
}
TEXTS = {
    "sql_argument": "{}",
    "sql_detail": rf"sql_detail\)=\({MASK}\)",
    **dict.fromkeys(
        (
            *("assertion", "comparison", "local", "literal", "exception", "note", "group", "cause", "context", "fail"),
            *("warning", "stdout", "stderr", "log", "skip", "xfail", "not_applicable", "setup", "teardown", "passing"),
            *("subtest", "subtest_output", "property", "collection", "left_out", "one", "two"),
            *("base64", "base64url", "quoted", "quoted_plus", "json", "repr", "html", "bytes"),
        ),
        "{}",
    ),
    "subtest_value": f"subtest_value='{MASK}",
    "id": rf"test_id\[{NUMBER}\]",
    "explicit_id": rf"explicit_id={NUMBER}",
    "fixture_id": rf"test_fixture_id\[{NUMBER}\]",
    "syntax": f"syntax = {MASK}",
    "environment": f"'PLANT_ENVIRONMENT_TOKEN': '{MASK}'",
}
VALUES = {
    # Known by other ways than a variable of the place's own.
    "staging_api_key": f"gaia_staging_api_key={MASK}",
    "staging_database": f"gaia_staging_database_url={MASK}",
    "staging_nats": f"gaia_staging_nats_url=//{MASK}",
    "fly": f"fly_api_token={MASK}",
    "signing": "{}",
    "dotenv": "{}",
    "taught": "{}",
}
UNSHOWN = ("suppressed", "long_local", "cut", "suite_property")
"""places that show nothing, only a part, or not in every run"""


def plain() -> str:
    return f"Wk{secrets.token_hex(8)}-+/{secrets.token_hex(4)}"


def tricky() -> str:
    return f"""{secrets.token_hex(5)}'"<&é\\+/ {secrets.token_hex(5)}"""


def make_secrets() -> dict[str, str]:
    planted = {place: tricky() for place in (*TEXTS, *UNSHOWN)}
    planted |= {place: plain() for place in (*WIRE, *VALUES)}
    # A token in a URL, and a module that must stay one, take no quotes.
    planted |= {place: plain() for place in ("url", "literal", "syntax", "html")}
    return planted


class Echo(BaseHTTPRequestHandler):
    """Responds 404 with the cookie that it is sent as a header, and gives out a token."""

    token = ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        login = self.path == "/login"
        body = json.dumps({"access_token": self.token} if login else {"path": self.path}).encode()
        self.send_response(200 if login else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if cookie := self.headers.get("x-set-cookie"):
            self.send_header("Set-Cookie", f"session={cookie}; HttpOnly")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Keep the terminal quiet."""


@pytest.fixture
def planted() -> dict[str, str]:
    return make_secrets()


@pytest.fixture
def echo_url(planted: dict[str, str]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Giving", (Echo,), {"token": planted["login"]}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


SETTINGS = """
[tool.pytest]
addopts = ["-p", "no:anyio", "-p", "no:hypothesispytest", "--continue-on-collection-errors"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
"""


@pytest.fixture
def project(tmp_path: Path, planted: dict[str, str]) -> Path:
    suite = tmp_path / "project" / "suites" / "planted"
    suite.mkdir(parents=True)
    root = tmp_path / "project"
    (root / "pyproject.toml").write_text(SETTINGS)
    (root / "gaia.toml").write_text('[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')
    (root / ".env").write_text(f"PLANT_DOTENV_TOKEN={planted['dotenv']}\n")
    source = Path(__file__).with_name("planted.py").read_text()
    for place in ("literal", "dotenv", "taught"):
        source = source.replace(f"@{place.upper()}@", planted[place])
    (suite / "test_planted.py").write_text(source)
    read = "import os, pytest\nplant = lambda place: f'{place}=' + os.environ[f'PLANT_{place.upper()}_TOKEN']\n"
    (suite / "test_broken.py").write_text(f"{read}raise RuntimeError(plant('collection'))\n")
    (suite / "test_syntax.py").write_text(f"syntax = {planted['syntax']} (\n")
    (suite / "test_left_out.py").write_text(f"{read}pytest.skip(plant('left_out'), allow_module_level=True)\n")
    return root


def environ(planted: dict[str, str], echo_url: str) -> dict[str, str]:
    """The variables of a run: a secret for each place, and those that are known in another way."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_"))}
    own |= {f"PLANT_{place.upper()}_TOKEN": value for place, value in planted.items() if place not in VALUES}
    key = f"-----BEGIN PRIVATE KEY-----\n{planted['signing']}\n-----END PRIVATE KEY-----\n"
    return own | {
        "ECHO_URL": echo_url,
        "GAIA_STAGING_API_KEY": planted["staging_api_key"],
        "GAIA_STAGING_DATABASE_URL": f"postgresql://me:{quote(planted['staging_database'], safe='')}@host/d",
        "GAIA_STAGING_NATS_URL": f"nats://{quote(planted['staging_nats'], safe='')}@host:4222",
        "FLY_API_TOKEN": planted["fly"],
        "GAIA_SIGNING_KEY": key,
    }


def forms(value: str) -> set[str]:
    """The forms in which it must not be found; repeated here, so that an error in the code shows."""
    codes = {base64.b64encode(each) for each in (value.encode(), b"me:" + value.encode(), b"x" + value.encode())}
    return {
        value,
        quote(value, safe=""),
        quote_plus(value),
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        html.escape(value),
        *(code.decode()[4:-4] for code in codes),
        # What is left of a value that was cut.
        value[:8],
        value[-8:],
    }


def output_of(root: Path, variables: dict[str, str], *arguments: str) -> tuple[str, dict[str, str]]:
    """Run pytest; return the text of both streams, and everything that it left: name → text."""
    command = (sys.executable, "-m", "pytest", "--gaia-env=sandbox", *arguments)
    before = {path for path in root.rglob("*") if path.is_file()}
    ended = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, timeout=300, check=False)
    left = {
        str(path.relative_to(root)): path.read_bytes().decode(errors="surrogateescape")
        for path in sorted(root.rglob("*"))
        if path.is_file() and path not in before and path.suffix != ".pyc"
    }
    return ended.stdout + "\n" + ended.stderr, left


def found_in(planted: dict[str, str], texts: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (place, where, what stands around it) of every secret that can be read."""
    return [
        (place, where, repr(text[max(0, text.index(form) - 60) : text.index(form) + 20]))
        for place, value in planted.items()
        for form in forms(value)
        for where, text in texts.items()
        if form in text
    ]


def unreached(text: str, *but: str) -> list[str]:
    """Return the places whose name stands before no mask."""
    proofs = {
        place: proof.format(f"{place}=\\S{{0,3}}{MASK}") if proof == "{}" else proof
        for place, proof in (WIRE | TEXTS | VALUES).items()
    }
    return [place for place, proof in proofs.items() if place not in but and not re.search(proof, text)]


FILES = (
    *("--junitxml=junit.xml", "--gaia-report-log=run.jsonl", "--gaia-verdict-file=verdict.json", "--alluredir=allure"),
    # In the other family of JUnit files tests have no properties.
    *("--log-file=all.log", "--log-level=INFO", "-ojunit_family=xunit1"),
)


@pytest.mark.slow("workers")
def test_a_run_with_workers_shows_none(project: Path, planted: dict[str, str], echo_url: str) -> None:
    assert len(WIRE | TEXTS | VALUES) >= 40

    shown, left = output_of(project, environ(planted, echo_url), "-n2", "-l", "-rA", "-v", *FILES)

    assert {"junit.xml", "run.jsonl", "verdict.json", "all.log", ".pytest_cache/v/cache/lastfailed"} <= set(left)
    assert any(name.startswith("allure/") for name in left)
    texts = {"the terminal": shown, **left}
    assert found_in(planted, texts) == []
    assert unreached("\n".join(texts.values())) == [], shown
    assert "eyJ" not in "".join(texts.values())
    assert "gaia: HOLD: the run wrote secrets" not in shown


@pytest.mark.slow("matrix")
def test_a_run_that_captures_nothing_shows_none(project: Path, planted: dict[str, str], echo_url: str) -> None:
    arguments = ("-s", "--tb=native", "--full-trace", "--log-cli-level=INFO", "-rA", "-vv", "--gaia-subjects=s.json")

    shown, left = output_of(project, environ(planted, echo_url), *arguments, *FILES)

    texts = {"the terminal": shown, **left}
    assert {"s.json", "junit.xml"} <= set(left)
    assert found_in(planted, texts) == []
    # Tracebacks of Python's own show no locals; what -s prints stands in no report.
    assert unreached("\n".join(texts.values()), "local") == [], shown
    assert re.search(f"minted={MASK}", shown)
    assert re.search(f"stack={MASK}", shown)
    assert re.search(f"suite_property={MASK}", left["junit.xml"])


# A worker has no standard output that anybody reads.
HANDED_ON = {
    "alone": ((), ("stdout", "stderr", "passing", "minted", "stack")),
    "workers": in_full(("-n2",), ("stderr",)),
}


@pytest.mark.parametrize(("workers", "handed_on"), HANDED_ON.values(), ids=HANDED_ON)
def test_a_run_that_hands_on_what_it_captures_shows_none(
    project: Path, planted: dict[str, str], echo_url: str, workers: tuple[str, ...], handed_on: tuple[str, ...]
) -> None:
    # Without -rA, what a test prints that passes is shown by nothing but the handing on.
    arguments = ("--capture=tee-sys", "-l", "-rfEsx", *workers)

    shown, left = output_of(project, environ(planted, echo_url), *arguments, *FILES)

    texts = {"the terminal": shown, **left}
    assert found_in(planted, texts) == []
    assert unreached("\n".join(texts.values())) == [], shown
    assert [each for each in handed_on if not re.search(f"{each}=\\S{{0,3}}{MASK}", shown)] == []
