"""Parametrised tests whose ids hold secrets: masked before anybody has seen them.

The id of a test is what rules, plans, ``--lf`` and other runs know it by, so the masks in it are numbers, which are the
same in every run, and not digests.
"""

# pytest computes an id once, from the name that a test is made with, and offers no way to give it another.
# ruff: noqa: SLF001

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from _pytest.nodeid import NodeId

from pytest_gaia.secrets.masks import MASKED, ordinal_mask

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    import pytest


def mask_ids(items: Sequence[pytest.Item], mask: Callable[[str], str]) -> None:
    """Mask the parameters in the ids of the ``items`` of one file or class, where they hold a secret.

    In the ids of one function the first secret is ``***1***``, the next one ``***2***``.
    """
    parametrised = [item for item in items if "[" in item.name]
    together = "\n".join(item.name for item in parametrised)
    # Nearly always there is nothing, and one look is enough.
    if not parametrised or mask(together) == together:
        return
    numbers: defaultdict[str, _Numbers] = defaultdict(_Numbers)
    for item in parametrised:
        function = item.name.partition("[")[0]
        _rename(item, numbers[function], mask)


class _Numbers:
    """The numbers of the secrets in the ids of one function."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __call__(self, found: re.Match[str]) -> str:
        return ordinal_mask(self._known.setdefault(found[0], len(self._known) + 1))


def _rename(item: Any, numbers: _Numbers, mask: Callable[[str], str]) -> None:
    old = getattr(item, "callspec", None)
    if old is None:
        return
    new = replace(old, _idlist=[MASKED.sub(numbers, mask(part)) for part in old._idlist])
    if new.id == old.id:
        return
    name = item.name
    item.callspec, item.name = new, name.replace(f"[{old.id}]", f"[{new.id}]")
    item._id = NodeId(path=item._id.path, names=item._id.names, params=new.id)
    # -k looks at these, and reports carry them.
    known = item.keywords._markers
    for before, after in ((name, item.name), (old.id, new.id)):
        if known.pop(before, None):
            known[after] = True
