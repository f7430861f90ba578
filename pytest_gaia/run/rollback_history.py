"""What the journal says of images: which were seen to run well, which were gone back from, and what changed last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.deploy.outcome import is_gone
from pytest_gaia.errors import ConfigError
from pytest_gaia.run.references import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_gaia.deploy.contract import Observation
    from pytest_gaia.run.journal import Entry


@dataclass(frozen=True, slots=True)
class SeenWell:
    """An image that was seen to run everywhere, with every check passing."""

    image: str
    when: str
    """when it was last seen so"""
    config: str
    """name of the kept deploy file; empty where it was deployed by other means"""


class History:
    """The journal of ``environment``, read for a rollback."""

    def __init__(self, entries: Sequence[Entry], environment: str) -> None:
        self.environment = environment
        self._entries = entries
        runs: dict[str, list[Entry]] = {}
        for entry in entries:
            runs.setdefault(entry.run, []).append(entry)
        self._runs = [lines for lines in runs.values() if any(line.event == "start" for line in lines)]
        """of roll-outs that touched anything, the oldest first"""

    def interrupted_rollback(self) -> Mapping[str, str]:
        """Return service → target of the last roll-out, if that was a rollback that did not come to its good end."""
        if not self._runs or _finished(self._runs[-1]):
            return {}
        begun = _begun(self._runs[-1])
        return begun.targets if begun is not None and begun.action == "rollback" else {}

    def gone(self, service: str) -> Mapping[str, str]:
        """Return image → when the registry was last seen not to have it, of the images that ``service`` was to run."""
        found: dict[str, str] = {}
        for lines in self._runs:
            begun = _begun(lines)
            for line in lines:
                if line.event != "end" or line.service != service:
                    continue
                if line.well:
                    found.pop(line.image, None)
                elif begun is not None and service in begun.targets and is_gone(line.reason):
                    found[begun.targets[service]] = line.when
        return found

    def changed_last(self) -> tuple[str, ...]:
        """Return what the last roll-out changed, together with those before it that had stopped half-way."""
        changed: list[str] = []
        for number, lines in enumerate(reversed(self._runs)):
            if number and _finished(lines):
                break
            changed += _changed(lines)
        return tuple(dict.fromkeys(changed))

    def last_well(self, service: str, now: Observation) -> SeenWell | None:
        """Return the last image of ``service`` that ran well before what was last deployed there.

        One that the registry no longer has is passed over. After a deployment that did not end well that is the last one at all, even if it still runs: what the tool left
        half-way is put right by it.
        """
        running = {pinned(machine) for machine in now.machines}
        half_way, gone = self._is_half_way(service), self.gone(service)
        well = [seen for seen in self._seen_well(service) if seen.image not in gone]
        found = [seen for seen in well if half_way or {seen.image} != running]
        return found[-1] if found else None

    def _is_half_way(self, service: str) -> bool:
        lines = [line for line in self._entries if line.service == service and line.event in ("start", "end")]
        return bool(lines) and (lines[-1].event == "start" or not lines[-1].well)

    def seen(self, service: str, image: str) -> SeenWell | None:
        """Return what is known of ``image``, if it was seen to run well."""
        return next((seen for seen in self._seen_well(service) if seen.image == image), None)

    def refuse_to_go_further(self, service: str) -> None:
        """Raise ``ConfigError`` if the last that was done to ``service`` was a rollback that came to its good end."""
        ends = [line for line in self._entries if line.event == "end" and line.service == service]
        if ends and ends[-1].action == "rollback" and ends[-1].well:
            known = ", ".join(seen.image for seen in self._seen_well(service) if seen.image != ends[-1].image)
            raise ConfigError(
                f"{service} of {self.environment} was rolled back on {ends[-1].when}, to {ends[-1].image}; a rollback "
                f"is not rolled back. To go further, name the image: --to {service}=IMAGE. "
                f"Seen to run well before: {known or 'none'}. Nothing was changed."
            )

    def _seen_well(self, service: str) -> list[SeenWell]:
        """All images of ``service`` that ran well and were not gone back from, the last one last."""
        found: dict[str, SeenWell] = {}
        for line in self._entries:
            if line.service != service:
                continue
            if line.event == "end" and line.action == "rollback" and line.was:
                found.pop(line.was, None)
            if line.well and line.image:
                earlier = found.pop(line.image, None)
                config = line.config or (earlier.config if earlier else "")
                found[line.image] = SeenWell(line.image, line.when, config)
        return list(found.values())


def _begun(lines: Sequence[Entry]) -> Entry | None:
    return next((line for line in lines if line.event == "begin"), None)


def _finished(lines: Sequence[Entry]) -> bool:
    return any(line.event == "finish" and line.outcome == "done" for line in lines)


def _changed(lines: Sequence[Entry]) -> Iterator[str]:
    """Yield the services that a roll-out touched, but for those that run the same image as before."""
    ends = {line.service: line for line in lines if line.event == "end"}
    for line in lines:
        if line.event == "start":
            end = ends.get(line.service)
            if end is None or not end.well or end.image != end.was:
                yield line.service
