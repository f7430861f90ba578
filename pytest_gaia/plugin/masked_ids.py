"""Parametrised tests whose ids hold secrets: masked before anybody has seen them.

The id of a test is what rules, plans, ``--lf`` and other runs know it by, so the masks in it are numbers, which are the
same in every run, and not digests.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest

from pytest_gaia.plugin.pytest_private import rename_parameters
from pytest_gaia.secrets.masks import MASKED, ordinal_mask


def mask_ids(items: Sequence[pytest.Item], mask: Callable[[str], str]) -> None:
    """Mask the parameters in the ids of the ``items`` of one file or class, where they hold a secret.

    In the ids of one function the first secret is ``***1***``, the next one ``***2***``.
    """
    parametrised = [item for item in items if "[" in item.name]
    together = "\n".join(item.name for item in parametrised)
    # Nearly always there is nothing, and one look is enough.
    if not parametrised or mask(together) == together:
        return
    masks: defaultdict[str, _NumberedMasks] = defaultdict(lambda: _NumberedMasks(mask))
    for item in parametrised:
        rename_parameters(item, masks[item.name.partition("[")[0]])


class _NumberedMasks:
    """Masks the parameters of one function; the same secret has the same number in all of them."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._known: dict[str, int] = {}

    def __call__(self, parameter: str) -> str:
        return MASKED.sub(self._number, self._mask(parameter))

    def _number(self, found: re.Match[str]) -> str:
        return ordinal_mask(self._known.setdefault(found[0], len(self._known) + 1))
