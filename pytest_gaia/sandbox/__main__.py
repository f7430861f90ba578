"""``python -m pytest_gaia.sandbox DIRECTORY``: supervise one run's sandbox. Started by :mod:`pytest_gaia.run.sandbox`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def main() -> int:
    """Run the supervisor for the directory that the command line names, and return its exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m pytest_gaia.sandbox DIRECTORY (use 'gaia sandbox up')\n")
        return 2
    _keep_bytecode()
    from pytest_gaia.sandbox._supervisor import Supervisor

    return Supervisor(Path(sys.argv[1])).run()


def _keep_bytecode() -> None:
    """Keep compiled modules in the user's cache where Python was told not to keep them beside the sources.

    Without them a supervisor compiles everything it imports anew, which takes longer than all the rest of its start.
    """
    from pytest_gaia.sandbox.directories import cache_directory

    if sys.dont_write_bytecode and (cache := cache_directory()) is not None:
        sys.meta_path.insert(0, _Redirection(str(cache / "bytecode")))


class _Redirection:
    """Finds nothing, but is asked first: it says where the module that is about to be found is kept.

    What was installed with compiled modules beside the sources, as the standard library is, is used as ever.
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
        # Started by its path: the folder that holds the package may be known to the run's process alone.
        sys.path.append(str(Path(__file__).parents[2]))
    sys.exit(main())
