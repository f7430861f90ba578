"""Import contracts for import-linter: private modules, and the only importer of each library."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class PrivateModules(Contract):
    """A module or package whose name begins with an underscore is imported by its own top-level package only."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find every import of a private module from outside its package."""
        broken = [
            f"{importer} imports {imported}, which is private to {owner}"
            for imported in sorted(graph.modules)
            if (owner := _owner(imported)) is not None
            for importer in sorted(graph.find_modules_that_directly_import(imported))
            if importer != owner and not importer.startswith(f"{owner}.")
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import."""
        _print(check)


class SingleImporters(Contract):
    """Each library is imported by one module, and other modules use that one.

    ``importers`` has one ``library = module`` per line.
    """

    importers = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find every other module that imports one of the libraries, and every line that is out of date."""
        broken = []
        for line in self.importers:  # type: ignore[attr-defined]
            library, _, allowed = str(line).partition(" = ")
            found = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
            if allowed not in found:
                broken.append(f"{allowed} does not import {library}: correct the contract in pyproject.toml")
            broken += [f"{each} imports {library}; go through {allowed}" for each in sorted(found - {allowed})]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import."""
        _print(check)


def _owner(module: str) -> str | None:
    """Return the top-level package that ``module`` is private to; None where it is public."""
    root, *parts = module.split(".")
    private = root == "pytest_gaia" and any(part.startswith("_") for part in parts)
    return f"{root}.{parts[0]}" if private else None


def _print(check: ContractCheck) -> None:
    for line in check.metadata["broken"]:
        output.print_error(line)
    output.new_line()
