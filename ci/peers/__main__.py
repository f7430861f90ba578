"""``make peers`` (``python -m ci.peers``): the test suites of other projects, with this plugin installed and without it.

Every test must have the same outcome in both. pip fetches the sources that the lock pins, checks their hashes, and builds
nothing but their metadata; the tests run in two environments of links to ``.venv``, one without this package. A
difference counts if two rounds show it, because some of these tests depend on time. It takes 10 to 30 minutes and removes
all its files. Exit 0 if nothing differs, 1 if anything does, 12 if there is nothing to compare.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "ci" / "lock" / "peers.txt"
PEERS = {
    "pytest-xdist": ("testing",),
    "pytest-asyncio": ("tests",),
    "pytest-rerunfailures": ("tests",),
    # It turns warnings into errors, and pytest-asyncio warns if this is not set.
    "httpx": ("tests", "-o", "asyncio_default_fixture_loop_scope=function"),
}
"""project → the arguments of its pytest; the source archives of all four contain their tests"""
ROUNDS = 2
OURS = ("pytest_gaia", "_editable_impl_pytest_gaia", "__editable__")


class Unavailable(Exception):
    """The comparison is not possible; the message explains why."""


@dataclass(frozen=True, slots=True)
class Results:
    """The report of one run of a test suite."""

    outcomes: Mapping[str, str]
    """test → outcome; a test that fails and then errors has both"""
    ending: str
    """exit code, and the last line of pytest without the time, because it counts warnings too"""
    seconds: float

    @property
    def counts(self) -> str:
        """Return the number of tests by outcome."""
        return ", ".join(f"{number} {outcome}" for outcome, number in sorted(Counter(self.outcomes.values()).items()))

    def differences(self, other: Results) -> list[str]:
        """Return a line for each difference to ``other``."""
        names = sorted(self.outcomes.keys() | other.outcomes.keys())
        pairs = [(name, self.outcomes.get(name, "absent"), other.outcomes.get(name, "absent")) for name in names]
        pairs.append(("the end of the run", self.ending, other.ending))
        return [
            f"{name}: {mine} without the plugin, {theirs} with it" for name, mine, theirs in pairs if mine != theirs
        ]


def main() -> int:
    """Compare each chosen project, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m ci.peers", description=__doc__.partition("\n")[0])
    parser.add_argument("peers", metavar="PROJECT", nargs="*", help=f"only these of {', '.join(PEERS)}")
    chosen = parser.parse_args().peers or list(PEERS)
    if unknown := sorted(set(chosen) - PEERS.keys()):
        parser.error(f"there is no project {', '.join(unknown)}; there are: {', '.join(PEERS)}")
    with tempfile.TemporaryDirectory(prefix="gaia-peers-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            archives = fetch(chosen, folder / "archives")
            pythons = [
                environment(folder / "without", with_plugin=False),
                environment(folder / "with", with_plugin=True),
            ]
            alike = [compare(archive, PEERS[peer], pythons, folder) for peer, archive in archives.items()]
        except Unavailable as error:
            print(f"peers: {error}", file=sys.stderr)
            return 12
    return 0 if all(alike) else 1


def fetch(peers: Sequence[str], folder: Path) -> dict[str, Path]:
    """Download the source archives of the locked versions, and return their paths."""
    entries = re.split(r"\n(?=\S)", LOCK.read_text(encoding="utf-8"))
    pins = [entry for entry in entries if entry.partition("==")[0] in peers]
    folder.mkdir()
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(pins) + "\n", encoding="utf-8")
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--no-binary",
        ",".join(peers),
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"pip could not fetch the sources:\n{done.stderr.strip()}")
    archives = {path.name.rpartition("-")[0].replace("_", "-"): path for path in folder.glob("*.tar.gz")}
    return {peer: archives[peer] for peer in peers}


def environment(folder: Path, *, with_plugin: bool) -> str:
    """Create an environment of links to all installed packages, with or without this one. Return its Python."""
    venv.create(folder, symlinks=True)
    python = str(folder / "bin" / "python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    target = Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # Not with a .pth file, which would shadow the tests of others with those of this project.
        if not path.name.startswith(OURS) or (with_plugin and path.suffix == ".dist-info"):
            (target / path.name).symlink_to(path)
    if with_plugin:
        (target / "pytest_gaia").symlink_to(ROOT / "pytest_gaia")
    return python


def compare(archive: Path, arguments: Sequence[str], pythons: Sequence[str], folder: Path) -> bool:
    """Run the tests of a project in both environments, print the result, and return whether nothing differs."""
    name = archive.name.removesuffix(".tar.gz")
    differences: list[str] = []
    for number in range(ROUNDS):
        without, with_it = (run(archive, arguments, python, folder) for python in pythons)
        again = without.differences(with_it)
        differences = [each for each in again if each in differences] if number else again
        print(
            f"{name}: {len(without.outcomes)} tests; without the plugin {without.counts} in {without.seconds:.0f} s; "
            f"with it {with_it.counts} in {with_it.seconds:.0f} s; {len(again)} differences",
            flush=True,
        )
        if not differences:
            return True
    print("\n".join(f"  {each}" for each in differences))
    return False


def run(archive: Path, arguments: Sequence[str], python: str, folder: Path) -> Results:
    """Run the tests of a freshly unpacked project."""
    place = folder / "unpacked"
    shutil.rmtree(place, ignore_errors=True)
    shutil.unpack_archive(archive, place, filter="data")
    (project,) = place.iterdir()
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    begun = time.monotonic()
    options = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    done = subprocess.run(
        [python, "-m", "pytest", *arguments, *options],
        cwd=project,
        env=_variables(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begun
    if not report.exists():
        raise Unavailable(f"pytest did not run the tests of {project.name}:\n{done.stdout}{done.stderr}")
    last = re.sub(r" in [\d.]+s.*", "", (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2])
    return Results(_outcomes(report), f"exit {done.returncode}, {last}", seconds)


def _variables(folder: Path) -> dict[str, str]:
    """Return the variables of this process without those that control pytest, Python or this plugin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON", "GAIA_"))}
    # Both environments use the same folder, because paths appear in outcomes.
    return {**kept, "TMPDIR": str(folder), "COLUMNS": "120"}


def _outcomes(report: Path) -> dict[str, str]:
    outcomes: dict[str, str] = {}
    # The run has just written it.
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        name = f"{case.get('file')}::{case.get('classname')}::{case.get('name')}"
        found = [f"{each.tag} {each.get('type', '')}".strip() for each in case if each.tag in _NOT_PASSED]
        outcomes[name] = " ".join(filter(None, (outcomes.get(name, ""), *found))) or "passed"
    return outcomes


_NOT_PASSED = ("failure", "error", "skipped")


if __name__ == "__main__":
    sys.exit(main())
