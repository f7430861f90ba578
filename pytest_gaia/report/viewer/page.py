"""The page that Allure makes, made fit to be passed on: nothing of it asks another machine for anything."""

import base64
import hashlib
import html
import re
from collections.abc import Iterator

_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script\s*>\s*", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"<(?:link|img|iframe|base)\b[^>]*>\s*", re.IGNORECASE)
_LOADS = re.compile(
    r"<(?:script|link|img|iframe|frame|base|source|video|audio|track|embed|object|input)\b[^>]*>", re.IGNORECASE
)
_ADDRESS = re.compile(r"\b(?:src|href|data)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_REMOTE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_SCRIPT_DATA = re.compile(r"data:text/javascript;base64,(.*)", re.DOTALL)
_ANALYTICS = re.compile(r"\bgtag\s*\(|\bdataLayer\b|google-?analytics", re.IGNORECASE)
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_SMALL = 16 * 1024
"""characters; a script that counts readers is shorter, and the application (which may hold any word) is longer"""

# A page that is opened from a disk has no origin: it may read itself, and what it makes out of itself.
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline' data:; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; frame-src 'self' data: blob:; "
    "worker-src 'none'; object-src 'none'; form-action 'none'; base-uri 'self'"
)


def passed_on(page: str) -> str:
    """Return ``page`` without analytics and remote references, and with a policy that lets it run no other script.

    Scripts in ``data:`` addresses become scripts of the page, so that the policy can name each by its digest.
    """
    page = _LINK.sub(lambda found: "" if _address(found[0], remote=True) else found[0], page)
    page = _SCRIPT.sub(_script, page)
    allowed = " ".join(dict.fromkeys(_sources(page)))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(scripts=allowed)}">'
    return _HEAD.sub(lambda found: f"{found[0]}\n    {policy}", page, count=1)


def remote_references(page: str) -> list[str]:
    """Return the addresses on other machines that tags of ``page`` load by themselves."""
    # What a script holds between its tags is no tag.
    tags = _LOADS.findall(_SCRIPT.sub(lambda found: f"<script{found[1]}>", page))
    return [address for tag in tags if (address := _address(tag, remote=True))]


def _script(found: re.Match[str]) -> str:
    attributes, text = found[1], found[2]
    address = _address(attributes)
    if _REMOTE.match(address) or (len(text) < _SMALL and _ANALYTICS.search(text)):
        return ""
    if data := _SCRIPT_DATA.match(address):
        return f"<script>{_inline(base64.b64decode(data[1]).decode('utf-8'))}</script>\n"
    return found[0]


def _inline(script: str) -> str:
    # In a page, these two would end the script, or begin a comment that hides its end. Both stand in literals alone.
    # And a page knows one kind of line break, of which the digest has to be made.
    lines = script.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"<(?=/script|!--)", r"\\x3C", lines, flags=re.IGNORECASE)


def _sources(page: str) -> Iterator[str]:
    for found in _SCRIPT.finditer(page):
        if _address(found[1]):
            yield "'self'"
        else:
            yield f"'sha256-{base64.b64encode(hashlib.sha256(found[2].encode()).digest()).decode()}'"


def _address(tag: str, *, remote: bool = False) -> str:
    found = _ADDRESS.search(tag)
    address = html.unescape(next(filter(None, found.groups()), "")) if found else ""
    return address if not remote or _REMOTE.match(address) else ""
