"""What ``@pytest.mark.gaia(...)`` may say. Every pytest run registers the marker, so this module imports only names."""

from __future__ import annotations

from pytest_gaia.config.platform import HTTP_SERVICES, MEMBERS

DIRECT = ":direct"

REQUIRABLE = (*MEMBERS, *(f"{service}{DIRECT}" for service in HTTP_SERVICES), "api_key", "jwt")
"""What ``requires`` may name: a member; a service at a URL of its own (``asset:direct``); the secret for a purpose."""

MARKER = (
    "gaia(requires=[], writes=False, core=False, experimental=False, command=None): what a check needs. "
    f"requires: any of {', '.join(REQUIRABLE)}; writes: it changes the environment; core: production rests on it; "
    "experimental: it may be missing in a release; command: the old test.sh commands that it stands for."
)
