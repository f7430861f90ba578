"""Where a failure is shown: at the line of the check that asked. pytest leaves out the frames of a module that says
``__tracebackhide__ = hide``, as long as the error is one of ours; a bug of ours is shown in full.
"""

from __future__ import annotations

from operator import methodcaller

from pytest_gaia.errors import GaiaError

hide = methodcaller("errisinstance", GaiaError)
