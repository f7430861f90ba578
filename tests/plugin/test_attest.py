"""``--gaia-attest`` writes the signed verdict of a run; no run that ended otherwise leaves a file that passes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.attestation import Attestation, verified
from pytest_gaia.promotion.ledger.keys import trusted_keys
from pytest_gaia.promotion.ledger.statements import sha256_of
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE
from tests.plugin.conftest import add_suite
from tests.plugin.test_end_of_run import IMPATIENT
from tests.promotion.conftest import Keyring
from tests.promotion.other_verifiers import accepts, statement_in
from tests.repositories import Repository
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

PASSES = 'async def test_it(gateway):\n    (await gateway.get("/health")).expect(200)\n'
FILES = ("--gaia-report-log=r.jsonl", "--gaia-verdict-file=v.json")
NO_PROOF = '{"signatures": []}'
IN_ATEXIT = """
import atexit, pathlib
folder = pathlib.Path.cwd()
atexit.register(lambda: (folder / "{name}").write_text("changed"))
"""


@pytest.fixture
def keyring(project: pytest.Pytester) -> Keyring:
    """The key of CI in the project, which the project trusts."""
    keyring = Keyring(project.path / "keys")
    keyring.make("other", "ci")
    return keyring


@pytest.fixture
def key(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> str:
    """The private key, in the variable of the run."""
    pem = keyring.make_pem("ci", "ci")
    monkeypatch.setenv(KEY_VARIABLE, pem)
    return pem


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", "--gaia-attest=a.json", *arguments)


def attested(project: pytest.Pytester) -> Attestation:
    return verified((project.path / "a.json").read_bytes(), trusted_keys(project.path / "keys"))


def digests(found: Attestation) -> dict[str, str]:
    return {each.name: each.digest.get("sha256", "") for each in found.run.configuration}


@pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_a_run_that_promotes_is_attested_with_its_files(
    project: pytest.Pytester, server: ScriptedServer, key: str, workers: tuple[str, ...]
) -> None:
    add_suite(project, "health", PASSES)

    assert run(project, server, *FILES, *workers).ret == 0

    found = attested(project)
    files = {name: sha256_of((project.path / name).read_bytes()) for name in ("r.jsonl", "v.json", "gaia.toml")}
    assert digests(found) == files
    assert {each.name: each.digest["sha256"] for each in found.subjects}.items() <= files.items()
    assert (found.run.result, found.run.passed) == ("PASSED", ("suites/health/test_health.py::test_it",))
    details = found.run.details
    assert (details.verdict, details.exit_code, details.record) == ("PROMOTE", 0, files["r.jsonl"])
    assert [each.name for each in found.signers] == ["ci"]
    envelope = json.loads((project.path / "a.json").read_bytes())
    assert accepts(envelope, Keyring(project.path / "keys").public_pem("ci"))
    assert statement_in(envelope)["predicate"]["result"] == "PASSED"


PROGRAM = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SANDBOX = '[gaia]\nsuites = ["suites"]\n[services.files]\nhealth = "/health.json"\nsandbox.command = ["python", "files.py", "{port}"]\n'


@pytest.mark.own_interpreter
def test_a_run_on_the_sandbox_attests_the_commit_of_its_services(
    project: pytest.Pytester, keyring: Keyring, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the run itself are no change of the commit; another one is."""
    repository = Repository(project.path, monkeypatch)
    (project.path / "suites" / "conftest.py").unlink()
    project.makefile(".toml", gaia=SANDBOX)
    add_suite(project, "health", "async def test_it(files):\n    (await files.get('/health.json')).expect(200)\n")
    repository.write("files.py", PROGRAM)
    repository.write("health.json", '{"status": "ok"}')
    repository.write(".gitignore", "__pycache__\n.gaia\nrunpytest-*\nstdout\nstderr\n")
    commit = repository.commit()

    for expected in ([{"gitCommit": commit}], []):
        assert project.runpytest_subprocess("--gaia-attest=a.json", *FILES).ret == 0

        envelope = json.loads((project.path / "a.json").read_bytes())
        assert accepts(envelope, keyring.public_pem("ci"))
        document = statement_in(envelope)
        assert document["predicate"]["result"] == "PASSED"
        assert document["predicate"]["urn:pytest-gaia:attested-run/1"]["environment"] == "sandbox"
        subjects = {each["name"]: each["digest"] for each in document["subject"]}
        assert [subjects[name] for name in subjects if name == "commit"] == expected
        repository.write("files.py", f"{PROGRAM}# changed\n")


@pytest.mark.parametrize(
    ("source", "arguments", "verdict", "code"),
    [
        ("def test_it(): assert 0\n", (), "REJECT", 1),
        (f"{PASSES}async def test_other(): pass\n", ("-k", "test_it"), "PARTIAL", 0),
        ("import pytest\ndef test_it(): pytest.skip('no')\n", (), "HOLD", 11),
        ("def test_it(): pass\n", ("--gaia-env=here",), "INFRA", 12),
        ("def test_it(): raise KeyboardInterrupt\n", (), "HOLD", 2),
    ],
    ids=["failed", "partial", "nothing passed", "unreachable", "interrupted"],
)
def test_only_promote_passes(
    project: pytest.Pytester,
    server: ScriptedServer,
    key: str,
    source: str,
    arguments: tuple[str, ...],
    verdict: str,
    code: int,
) -> None:
    add_suite(project, "health", source)
    if verdict == "INFRA":
        project.makefile(".toml", gaia=IMPATIENT)
        server.answers["/health"] = [(200, {"status": "healthy"}), (503, {})]

    assert run(project, server, *arguments).ret == code

    found = attested(project).run
    assert (found.result, found.details.verdict, found.details.exit_code) == ("FAILED", verdict, code)
    # Without a file, the subject is what was tested.
    assert [each.name for each in attested(project).subjects] == ["platform"]


def test_a_run_whose_results_log_cannot_be_written_did_not_pass(
    project: pytest.Pytester, server: ScriptedServer, key: str
) -> None:
    add_suite(project, "health", PASSES)

    assert run(project, server, "--gaia-report-log=/dev/full").ret == pytest.ExitCode.USAGE_ERROR

    found = attested(project).run
    assert (found.result, found.details.verdict, found.details.record) == ("FAILED", "PROMOTE", "")


def test_expected_failures_are_warnings(project: pytest.Pytester, server: ScriptedServer, key: str) -> None:
    source = "import pytest\n@pytest.mark.xfail(reason='known')\nasync def test_old(gateway):\n    assert 0\n"
    add_suite(project, "health", f"{PASSES}\n{source}")

    assert run(project, server).ret == 0

    found = attested(project).run
    assert (found.result, found.warned) == ("WARNED", ("suites/health/test_health.py::test_old",))


def test_without_a_key_no_test_runs(project: pytest.Pytester, server: ScriptedServer, keyring: Keyring) -> None:
    add_suite(project, "health", PASSES)
    (project.path / "a.json").write_text(NO_PROOF)

    result = run(project, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --gaia-attest: no signing key. Set GAIA_SIGNING_KEY or *`gaia key generate*"])
    assert server.seen == []
    assert (project.path / "a.json").read_bytes() == b""


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (KEY_VARIABLE, "nonsense-7f3bqxz", "GAIA_SIGNING_KEY: not a readable private key"),
        (KEY_FILE_VARIABLE, "gone.pem", "GAIA_SIGNING_KEY_FILE=gone.pem: cannot be read: No such file"),
    ],
)
def test_a_wrong_key_is_one_message(
    project: pytest.Pytester,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    said: str,
) -> None:
    add_suite(project, "health", PASSES)
    monkeypatch.setenv(variable, value)

    result = run(project, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --gaia-attest: {said}*"])
    assert "7f3bqxz" not in result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_a_run_without_tests_signs_nothing_and_needs_no_key(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", PASSES)

    assert run(project, server, "--collect-only").ret == 0

    assert (project.path / "a.json").read_bytes() == b""


def test_a_folder_instead_of_a_file_is_a_usage_error(
    project: pytest.Pytester, server: ScriptedServer, key: str
) -> None:
    add_suite(project, "health", PASSES)
    (project.path / "a.json").mkdir()

    result = run(project, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --gaia-attest=*a.json: cannot be written: Is a directory."])


def test_a_file_that_cannot_be_written_at_the_end_fails_the_run(
    project: pytest.Pytester, server: ScriptedServer, key: str
) -> None:
    blocked = "import pathlib\npath = pathlib.Path('a.json')\npath.unlink()\npath.mkdir()\n(path / 'x').touch()\n"
    add_suite(project, "health", f"{blocked}{PASSES}")

    result = run(project, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "gaia verdict: PROMOTE" in result.stdout.str()
    result.stderr.fnmatch_lines(["gaia: --gaia-attest=*a.json: cannot be written: Is a directory."])


@pytest.mark.own_interpreter
@pytest.mark.parametrize("name", ["r.jsonl", "v.json", "a.json"])
def test_a_file_that_is_changed_at_exit_makes_the_attestation_hold(
    project: pytest.Pytester, server: ScriptedServer, key: str, name: str
) -> None:
    add_suite(project, "health", IN_ATEXIT.format(name=name) + PASSES)

    result = run(project, server, *FILES)

    assert result.ret == 11
    found = attested(project)
    assert (found.run.result, found.run.details.verdict) == ("FAILED", "HOLD")
    assert found.run.details.reasons[0] == f"changed after the run wrote it: {name}"
    assert digests(found)["r.jsonl"] == sha256_of((project.path / "r.jsonl").read_bytes())
    assert digests(found)["v.json"] == sha256_of((project.path / "v.json").read_bytes())


def test_secrets_that_the_run_wrote_make_the_attestation_hold(
    project: pytest.Pytester, server: ScriptedServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_TOKEN", "token-7f3bqxz-7f3bqxz")
    leaks = "import os, pathlib\npathlib.Path('log.txt').write_text('key: ' + os.environ['OTHER_TOKEN'])\n"
    add_suite(project, "health", f"{leaks}{PASSES}")

    assert run(project, server, "--log-file=log.txt").ret == 11

    assert (attested(project).run.result, attested(project).run.details.verdict) == ("FAILED", "HOLD")


SPIES = """
import os, pathlib, subprocess, sys

KEY = {secret!r}
NAMES = ("GAIA_SIGNING_KEY", "GAIA_SIGNING_KEY_FILE")

def everywhere():
    yield str(dict(os.environ))
    yield subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True, text=True).stdout
    children = [each.name for each in pathlib.Path("/proc").iterdir() if each.name.isdigit()]
    for process in ("self", *(each for each in children if _parent(each) == str(os.getpid()))):
        try:
            yield pathlib.Path(f"/proc/{{process}}/environ").read_bytes().decode(errors="replace")
            yield pathlib.Path(f"/proc/{{process}}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            pass

def _parent(process):
    try:
        return pathlib.Path(f"/proc/{{process}}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""

async def test_it(gateway, gaia_run):
    (await gateway.get("/health")).expect(200)
    for text in everywhere():
        assert not any(name in text.replace(name + "=\\0", "") and KEY in text for name in NAMES)
        assert KEY not in text
    assert not any(name in gaia_run.options.environ for name in NAMES)
"""


@pytest.mark.own_interpreter
@pytest.mark.parametrize("variable", [KEY_VARIABLE, KEY_FILE_VARIABLE])
@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
def test_tests_cannot_read_the_key(
    project: pytest.Pytester,
    server: ScriptedServer,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    workers: tuple[str, ...],
) -> None:
    secret = key.splitlines()[1]
    if variable == KEY_FILE_VARIABLE:
        secret = str(project.path / "elsewhere.pem")
        Path(secret).write_text(key)
        monkeypatch.delenv(KEY_VARIABLE)
        monkeypatch.setenv(KEY_FILE_VARIABLE, secret)
    add_suite(project, "health", SPIES.format(secret=secret))

    assert run(project, server, *workers).ret == 0

    assert attested(project).run.result == "PASSED"


FORGES = """
def test_it(request):
    (found,) = [each for each in request.config.stash._storage.values() if type(each).__name__ == "SigningProcess"]
    try:
        found.sign({statement!r}.encode())
    except ValueError as error:
        assert "not the statement of an attestation" in str(error)
    else:
        raise AssertionError
"""


def test_the_process_with_the_key_signs_no_entry_of_a_ledger(
    project: pytest.Pytester, server: ScriptedServer, key: str
) -> None:
    statement = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "auth", "digest": {"sha256": "ab"}}],
            "predicateType": "https://in-toto.io/attestation/svr/v0.2",
            "predicate": {},
        }
    )
    add_suite(project, "health", FORGES.format(statement=statement))

    result = run(project, server)

    assert result.ret == 0


@pytest.mark.own_interpreter
def test_a_killed_run_leaves_no_process_and_no_attestation(
    project: pytest.Pytester, server: ScriptedServer, key: str
) -> None:
    """Not even if a forked child of a test keeps the pipe open."""
    (project.path / "a.json").write_text(NO_PROOF)
    source = "import os, time\nasync def test_it(gateway):\n    if not os.fork():\n        time.sleep(20)\n        os._exit(0)\n"
    source += "    print('up', flush=True)\n    time.sleep(60)\n"
    add_suite(project, "health", source)
    command = [sys.executable, "-m", "pytest", "-s", f"--gaia-url=gateway={server.url}", "--gaia-attest=a.json"]
    with subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "up" not in process.stdout.readline():
            pass
        children = signing_children(process.pid)
        process.send_signal(signal.SIGKILL)
    assert len(children) == 1
    deadline = time.monotonic() + 20
    while is_running(children[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(children[0])
    assert (project.path / "a.json").read_bytes() == b""


@pytest.mark.own_interpreter
def test_a_forked_child_that_outlives_the_run_does_not_delay_its_end(
    project: pytest.Pytester, server: ScriptedServer, key: str
) -> None:
    fork = (
        "    import os, pathlib, time\n    if not (child := os.fork()):\n        time.sleep(60)\n        os._exit(0)\n"
    )
    add_suite(project, "health", f"{PASSES}{fork}    pathlib.Path('child').write_text(str(child))\n")
    began = time.monotonic()

    run(project, server)

    child = int((project.path / "child").read_text())
    assert is_running(child)
    os.kill(child, signal.SIGKILL)
    assert time.monotonic() - began < 45
    assert (project.path / "a.json").read_bytes()


def signing_children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 2) for line in listed.splitlines())
    return [int(pid) for pid, above, command in rows if int(above) == parent and "promotion.attestation" in command]


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return not state.startswith("Z") and bool(state.strip())
