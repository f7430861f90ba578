"""``environment.properties``: what a run was about, in the form that Java reads properties in."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gaia.verdict.judged import Judged


def circumstances(judged: Judged, environment: str, policy: str) -> dict[str, str]:
    """Return what the run itself knows; ``policy`` is the digest of its rules. What is not known is left out."""
    start, end = judged.start, judged.end
    known = {
        "environment": environment,
        "topology": start.topology,
        "verdict": judged.verdict.word,
        "reasons": "; ".join(judged.verdict.reasons),
        "release": start.release,
        "bundle": end.bundle if end else "",
        "plan": end.plan if end else "",
        "policy": policy,
        "capabilities": ", ".join(start.capabilities),
        "capabilities.unknown": ", ".join(start.unknown),
        "started": start.started,
        "finished": end.finished if end else "",
        "versions.pytest-gaia": start.version,
        **{f"versions.{member.member}": member.version or "" for member in start.members},
    }
    return {key: value for key, value in known.items() if value}


def properties(values: Mapping[str, str]) -> str:
    """Return ``values`` as the text of a properties file."""
    return "".join(f"{_escaped(key, ' :=')}={_escaped(value)}\n" for key, value in values.items())


def _escaped(text: str, also: str = "") -> str:
    plain = text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    for character in also:
        plain = plain.replace(character, f"\\{character}")
    # Readers of properties disagree on encodings; in ASCII they agree. A space at the start would be lost.
    units = plain.encode("utf-16-be", "surrogatepass")
    pairs = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    ascii_only = "".join(chr(each) if each < 128 else f"\\u{each:04x}" for each in pairs)
    return f"\\{ascii_only}" if ascii_only[:1] in (" ", "#", "!") else ascii_only
