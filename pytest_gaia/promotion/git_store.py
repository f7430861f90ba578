"""The ledger in a git reference: one commit an entry."""

from __future__ import annotations

from pytest_gaia.promotion.git_reference import GitReference, Taken


class GitStore:
    """Entries as files ``NNNNNN.json`` in the tree of a reference."""

    def __init__(self, reference: GitReference) -> None:
        self.reference = reference
        self.name = reference.name

    def read(self) -> dict[int, bytes]:
        """Return number → envelope, from the remote where there is one."""
        files = self.reference.files(self.reference.fetch())
        return {int(name[:6]): content for name, content in files.items()}

    def add(self, number: int, content: bytes) -> None:
        """Commit one more entry; another process or machine that was faster makes it :class:`Taken`."""
        tip, name = self.reference.fetch(), f"{number:06}.json"
        if name in self.reference.files(tip):
            raise Taken
        self.reference.put(tip, {name: content}, f"ledger entry {number}")
