"""Plan a rollback: the target image of each service, and its source.

The target is the last known-good image of the deployment history, other than the running one. Without such an image it
is the newest complete deployment that the tool lists. An image that was rolled back before is never a target.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_gaia.config.deployfiles.fly import app_of
from pytest_gaia.config.deployfiles.model import App, Deployment
from pytest_gaia.config.environment import Environment
from pytest_gaia.deploy.contract import DeployHook, Observation
from pytest_gaia.deploy.outcome import is_gone, is_id, key_of, pinned
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import read_text
from pytest_gaia.rollout.journal import KEPT, Entry, Journal
from pytest_gaia.rollout.model import Progress, Rollout, Step
from pytest_gaia.rollout.plan import apps_of, choose, rollout_of, settings_of, step_of
from pytest_gaia.rollout.step import Pace, Worker


def plan_rollback(
    environment: Environment,
    deployment: Deployment | None,
    hook: DeployHook,
    *,
    rootdir: Path,
    services: Sequence[str] = (),
    targets: Mapping[str, str] | None = None,
) -> Rollout:
    """Return the plan of a rollback, in reverse order: services before those that they depend on.

    Without ``services``, the plan contains the services that the last rollout changed, including the incomplete
    rollouts that it continued. Without a history it contains every service. ``targets`` is service → image; the other
    targets are searched. An unfinished rollback continues with its own targets, except for those that the registry no
    longer has.

    Raises ``ConfigError`` without a deployment, for an unknown service, without a target, for an image that is gone from
    this machine and in no registry, and if a rollback led to what runs (name the image to go back further).
    """
    settings_of(environment)
    apps = apps_of(deployment)
    history = History(_entries(rootdir, environment.name), environment.name)
    given = dict(targets or {})
    left = {} if services or given else history.interrupted_rollback()
    asked = (
        services or tuple(given or left) or tuple(each for each in history.changed_last() if each in apps or not apps)
    )
    chosen = choose(environment, deployment, apps, asked)
    if left_out := [service for service in given if service not in chosen]:
        raise ConfigError(f"--to names {', '.join(left_out)}, which --services leaves out. Nothing was changed.")
    going_back = rollout_of(environment, rootdir, (), "rollback")
    steps = tuple(_Search(environment, going_back, apps, history, hook).steps(chosen, given, left, strict=bool(asked)))
    if not steps:
        raise ConfigError(_nothing(environment.name, chosen))
    return replace(going_back, steps=steps)


@dataclass(frozen=True, slots=True)
class SeenWell:
    """A known-good image: it ran on all machines, with every check passing."""

    image: str
    when: str
    """when it last ran well"""
    config: str
    """name of the stored deploy file; empty if it was deployed by other means"""
    unpublished: bool = False
    """whether it was only on this machine"""


class History:
    """The deployment history of ``environment``, read for a rollback."""

    def __init__(self, entries: Sequence[Entry], environment: str) -> None:
        self.environment = environment
        self._entries = entries
        runs: dict[str, list[Entry]] = {}
        for entry in entries:
            runs.setdefault(entry.run, []).append(entry)
        self._runs = [lines for lines in runs.values() if any(line.event == "start" for line in lines)]
        """of rollouts that changed something, oldest first"""

    def interrupted_rollback(self) -> Mapping[str, str]:
        """Return service → target of the last rollout if it was a rollback that did not succeed."""
        if not self._runs or _finished(self._runs[-1]):
            return {}
        begun = _begun(self._runs[-1])
        return begun.targets if begun is not None and begun.action == "rollback" else {}

    def gone(self, service: str) -> Mapping[str, str]:
        """Return image → when the registry last did not have it, for the images of ``service``."""
        found: dict[str, str] = {}
        for lines in self._runs:
            begun = _begun(lines)
            for line in lines:
                if line.event != "end" or line.service != service:
                    continue
                if line.well:
                    found = {each: when for each, when in found.items() if key_of(each) != key_of(line.image)}
                elif begun is not None and service in begun.targets and is_gone(line.reason):
                    found[begun.targets[service]] = line.when
        return found

    def changed_last(self) -> tuple[str, ...]:
        """Return what the last rollout changed, together with earlier rollouts that stopped half-way."""
        changed: list[str] = []
        for number, lines in enumerate(reversed(self._runs)):
            if number and _finished(lines):
                break
            changed += _changed(lines)
        return tuple(dict.fromkeys(changed))

    def last_well(self, service: str, now: Observation) -> SeenWell | None:
        """Return the last known-good image of ``service`` before the latest deployment.

        Images that the registry no longer has are skipped. After a failed deployment it is the last known-good image
        of all, even if it still runs: deploying it again repairs what the tool left half-way.
        """
        running = _running(now)
        half_way, gone = self._is_half_way(service), self.gone(service)
        well = [seen for seen in self.seen_well(service) if not _is_among(seen.image, gone)]
        found = [seen for seen in well if half_way or {key_of(seen.image)} != running]
        return found[-1] if found else None

    def _is_half_way(self, service: str) -> bool:
        lines = [line for line in self._entries if line.service == service and line.event in ("start", "end")]
        return bool(lines) and (lines[-1].event == "start" or not lines[-1].well)

    def seen(self, service: str, image: str) -> SeenWell | None:
        """Return the record of ``image`` if it ran well."""
        return next((seen for seen in self.seen_well(service) if key_of(seen.image) == key_of(image)), None)

    def refuse_to_go_further(self, service: str, now: Observation) -> None:
        """Raise ``ConfigError`` if the last change of ``service`` was a successful rollback, and nothing else runs now."""
        ends = [line for line in self._entries if line.event == "end" and line.service == service]
        if ends and ends[-1].action == "rollback" and ends[-1].well and _running(now) <= {key_of(ends[-1].image)}:
            others = (seen for seen in self.seen_well(service) if key_of(seen.image) != key_of(ends[-1].image))
            known = ", ".join(seen.image for seen in others)
            raise ConfigError(
                f"{service} of {self.environment} was rolled back on {ends[-1].when}, to {ends[-1].image}; a rollback "
                f"is not rolled back. To go back further, name the image: --to {service}=IMAGE. "
                f"Known-good images: {known or 'none'}. Nothing was changed."
            )

    def seen_well(self, service: str) -> list[SeenWell]:
        """All known-good images of ``service`` that were not rolled back, oldest first."""
        found: dict[str, SeenWell] = {}
        for line in self._entries:
            if line.service != service:
                continue
            if line.event == "end" and line.action == "rollback" and line.was:
                found.pop(key_of(line.was), None)
            if line.well and line.image:
                earlier = found.pop(key_of(line.image), None)
                config = line.config or (earlier.config if earlier else "")
                # A container that was rolled back has the id of its image alone.
                image = earlier.image if earlier and is_id(line.image) else line.image
                found[key_of(image)] = SeenWell(image, line.when, config, line.unpublished)
        return list(found.values())


class _Search:
    """Finds the target of each service."""

    def __init__(
        self,
        environment: Environment,
        rollout: Rollout,
        apps: Mapping[str, App],
        history: History,
        hook: DeployHook,
    ) -> None:
        self._environment = environment
        self._apps = apps
        self._history = history
        self._hook = hook
        self._worker = Worker(rollout, hook, Progress(), Pace())
        self._kept = Journal(rollout.rootdir, rollout.environment).folder / KEPT

    def steps(
        self, services: Sequence[str], given: Mapping[str, str], left: Mapping[str, str], *, strict: bool
    ) -> Iterator[Step]:
        """Yield the steps in reverse order; with ``strict``, a service without a target raises ``ConfigError``.

        ``given`` is service → requested image, ``left`` service → target of an unfinished rollback.
        """
        for service in reversed(self._environment.platform.in_order(services)):
            gone = self._history.gone(service)
            if service in given:
                yield self._step(service, given[service], "requested", self._history.seen(service, given[service]))
            elif service in left and not _is_among(left[service], gone):
                origin = "target of the last rollback, which did not finish"
                yield self._step(service, left[service], origin, self._history.seen(service, left[service]))
            elif step := self._found(service, gone):
                yield step
            elif strict:
                raise ConfigError(_nothing(self._history.environment, [service], _passed_over(gone)))

    def _found(self, service: str, gone: Mapping[str, str]) -> Step | None:
        now = self._worker.look([step_of(self._environment, service, self._apps.get(service), None)])[service]
        self._history.refuse_to_go_further(service, now)
        if seen := self._history.last_well(service, now):
            return self._step(service, seen.image, f"ran well until {seen.when}{_passed_over(gone)}", seen)
        if (earlier := _earlier(self._hook, now.app, now)) and not _is_among(earlier[0], gone):
            image, which = earlier
            return self._step(
                service, image, f"{which}; reported by the tool only, not in the deployment history", None
            )
        return None

    def _step(self, service: str, image: str, origin: str, seen: SeenWell | None) -> Step:
        self._refuse_lost(service, image, seen)
        app = self._apps.get(service)
        step = step_of(self._environment, service, app, image, origin)
        if app is None or (kept := self._kept_file(seen, app.path)) is None:
            return step
        step = replace(step, config=kept, origin=f"{origin}, with the deploy file of that time")
        # If the stored file cannot be parsed any more, the current one determines the required checks.
        with suppress(ConfigError):
            text = read_text(kept, kept.name)
            then = app_of(text, kept, kept.name, service=service, environment=app.environment, form=app.form)
            step = replace(step, checks_required=any(then.checked.values()), groups=then.checked)
        return step

    def _refuse_lost(self, service: str, image: str, seen: SeenWell | None) -> None:
        """Raise ``ConfigError`` if ``image`` was only on this machine, and is there no longer."""
        if self._hook.name != "compose" or not (is_id(image) or (seen is not None and seen.unpublished)):
            return
        from pytest_gaia.deploy.compose.tool import images_here

        known = [each.image for each in self._history.seen_well(service)]
        here = images_here([image, *known])
        if image not in here:
            others = ", ".join(each for each in known if each in here)
            raise ConfigError(
                f"{service} cannot return to {image}: the image is no longer on this machine, and in no registry. "
                f"Known-good images on this machine: {others or 'none'}. To choose one: --to {service}=IMAGE. "
                "Nothing was changed."
            )

    def _kept_file(self, seen: SeenWell | None, today: Path) -> Path | None:
        """Return the stored deploy file; None if there is none, or if it cannot be used from another folder."""
        # A Compose file refers to other files relative to its folder; Fly's needs none if nothing is built.
        if seen is None or not seen.config or not today.name.startswith("fly."):
            return None
        kept = self._kept / seen.config
        return kept.absolute() if kept.is_file() else None


def _entries(rootdir: Path, environment: str) -> tuple[Entry, ...]:
    journal = Journal(rootdir, environment)
    try:
        return journal.entries()
    except OSError as problem:
        raise ConfigError(
            f"the deployment history {journal.path} cannot be read: {problem.strerror}. A rollback needs its targets. "
            "Make it readable, or name the images: --to SERVICE=IMAGE. Nothing was changed."
        ) from None


def _passed_over(gone: Mapping[str, str]) -> str:
    return "".join(f"; {image} was skipped: it was not in its registry on {when}" for image, when in gone.items())


def _nothing(environment: str, services: Sequence[str], passed_over: str = "") -> str:
    return (
        f"{environment}: no rollback target for {', '.join(services)}: the deployment history has no other known-good "
        "image, and the tool lists no earlier complete "
        f"deployment{passed_over}. Name the image: --to SERVICE=IMAGE. Nothing was changed."
    )


def _running(now: Observation) -> set[str]:
    return {key_of(pinned(machine)) for machine in now.machines}


def _is_among(image: str, others: Iterable[str]) -> bool:
    return key_of(image) in map(key_of, others)


def _begun(lines: Sequence[Entry]) -> Entry | None:
    return next((line for line in lines if line.event == "begin"), None)


def _finished(lines: Sequence[Entry]) -> bool:
    return any(line.event == "finish" and line.outcome == "done" for line in lines)


def _changed(lines: Sequence[Entry]) -> Iterator[str]:
    """Yield the services whose image a rollout changed."""
    ends = {line.service: line for line in lines if line.event == "end"}
    for line in lines:
        if line.event == "start":
            end = ends.get(line.service)
            if end is None or not end.well or key_of(end.image) != key_of(end.was):
                yield line.service


def _earlier(hook: DeployHook, app: str, now: Observation) -> tuple[str, str] | None:
    """Return an earlier image and its description by the tool; None if the tool lists none."""
    if hook.name != "fly":
        return None
    from pytest_gaia.deploy.fly.operations import releases

    # Fly lists images by tag; for what runs, tag and digest are known.
    running = {(machine.image or "").partition("@")[0] for machine in now.machines}
    for release in releases(app):
        is_earlier = now.version is None or release.version < now.version
        is_other = release.image_ref and release.image_ref.partition("@")[0] not in running
        if release.complete and is_earlier and is_other:
            return release.image_ref, f"release {release.version}, the newest complete one with another image"
    return None
