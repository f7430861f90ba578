"""``python -m pytest_gaia.sandbox DIRECTORY``: supervise the sandbox of one run; see :mod:`pytest_gaia.run.sandbox`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def main() -> int:
    """Run the supervisor for the directory on the command line, and return its exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m pytest_gaia.sandbox DIRECTORY (use 'gaia sandbox up')\n")
        return 2
    _keep_bytecode()
    from pytest_gaia.sandbox._supervisor import Supervisor

    return Supervisor(Path(sys.argv[1])).run()


def _keep_bytecode() -> None:
    """Keep compiled modules in the user's cache if Python must not write them next to the sources.

    Compiling all imports takes longer than the rest of the supervisor's start.
    """
    from pytest_gaia.sandbox.directories import cache_directory

    if sys.dont_write_bytecode and (cache := cache_directory()) is not None:
        sys.meta_path.insert(0, _Redirection(str(cache / "bytecode")))


class _Redirection:
    """A finder that finds nothing, but sets the cache folder for the module that is imported next.

    Packages with compiled modules next to their sources, such as the standard library, are not affected.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._otherwise = sys.pycache_prefix
        self._compiled: dict[str, bool] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        package = name.partition(".")[0]
        if package not in self._compiled:
            self._compiled[package] = package in sys.stdlib_module_names or _is_compiled(package)
        sys.dont_write_bytecode = self._compiled[package]
        sys.pycache_prefix = self._otherwise if self._compiled[package] else self._place


def _is_compiled(package: str) -> bool:
    places = (Path(entry, package) for entry in sys.path)
    found = next((place for place in places if place.is_dir()), None)
    return found is not None and (found / "__pycache__").is_dir()


if __name__ == "__main__":
    if not __package__:
        # Started by path: the package's folder may only be on the path of the run's process.
        sys.path.append(str(Path(__file__).parents[2]))
    sys.exit(main())
