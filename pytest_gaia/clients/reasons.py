"""Why there was no connection to a peer."""

from __future__ import annotations

import os
import ssl


def reason_of(error: BaseException) -> str:
    """Return what lies at the bottom of a chain of errors, such as ``connection refused``."""
    deepest = error
    while (below := deepest.__cause__ or deepest.__context__) is not None:
        deepest = below
    if isinstance(deepest, BaseExceptionGroup):
        return reason_of(deepest.exceptions[0])
    if isinstance(deepest, OSError) and deepest.errno and not isinstance(deepest, ssl.SSLError):
        # asyncio writes its own text into strerror; the system's is the one people know.
        return os.strerror(deepest.errno).lower() if deepest.errno > 0 else (deepest.strerror or str(deepest))
    return str(error) or str(deepest) or type(error).__name__
