"""The outcome of a deployment, computed only from observations."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self, TypeAlias

from pytest_gaia.deploy.contract import Machine, Observation, Reply, Request
from pytest_gaia.deploy.states import SERVING, condition, conditions, label

Kind: TypeAlias = Literal["deployed", "deployed_with_tool_error", "phantom", "failed", "split", "unchanged"]
"""
``deployed``                 the wanted version runs on every machine and is healthy
``deployed_with_tool_error`` the same, although the tool reported a failure
``unchanged``                the wanted version was already running
``phantom``                  not rolled out, although the tool reported success
``failed``                   the tool reported a failure, and the wanted version does not run
``split``                    mixed versions: only some machines run the wanted version
"""

GOOD: frozenset[Kind] = frozenset({"deployed", "deployed_with_tool_error", "unchanged"})

# Without messages of `docker` that may also mean a missing login, because the image may exist.
_GONE = re.compile(
    r"could not find image|manifest unknown|manifest for \S+ not found|no such image|failed to resolve .*: not found",
    re.IGNORECASE,
)
_SHOWN = 3
"""machines that a reason names"""
_ALIVE = ("starting", "unhealthy")
"""conditions of a machine that runs, although it is not healthy"""
_COMPARED = 19
"""characters of a digest in messages: ``sha256:`` and twelve more"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should run. None means unknown, and not compared."""

    image: str | None = None
    """reference, compared by digest if it has one, otherwise by name and tag"""
    version: int | None = None
    """number of the release on Fly; a later one is accepted"""
    checks_required: bool = True
    """whether every machine must have a health check; containers of compose need none"""
    groups: Mapping[str, bool] = field(default_factory=dict)
    """process group → whether its machines must have a health check; each needs at least one machine"""

    @classmethod
    def of(
        cls, request: Request, reply: Reply, *, checks_required: bool = True, groups: Mapping[str, bool] | None = None
    ) -> Self:
        """Return what should run after ``request`` and ``reply``."""
        asked = request.previous if request.phase == "rollback" else request.image
        image = asked if asked and digest_of(asked) else reply.image or asked
        return cls(image, reply.version, checks_required, groups or {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a deployment; ``reason`` is a sentence, or empty."""

    kind: Kind
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the wanted version runs."""
        return self.kind in GOOD


def classify(tool: Reply, before: Observation, after: Observation, wanted: Wanted) -> Outcome:
    """Return the outcome of a deployment.

    ``after`` decides; the result of the tool only selects the name of the outcome. If the tool reported no release number,
    every machine must run the newest release of the app. This detects a machine that returned to the old image.
    """
    changed = fingerprint(before) != fingerprint(after)
    if wanted.version is None and changed:
        wanted = replace(wanted, version=after.version)
    reason = converged(after, wanted)
    if not reason:
        if not changed:
            # Nothing was replaced: good if that was not necessary, but not after a failure of the tool.
            return Outcome("failed", _message(tool)) if tool.status in ("failed", "retry") else Outcome("unchanged")
        return (
            Outcome("deployed", _manner(before, after))
            if tool.status in ("done", "unchanged")
            else _despite_error(tool)
        )
    says_done = tool.status in ("done", "unchanged")
    if _is_split(after, wanted):
        return Outcome("split", reason if says_done else f"{reason}; {_message(tool)}")
    if says_done:
        return Outcome("phantom", f"the tool reported success, but {reason}")
    # The tool often repeats why a machine did not start.
    repeated = any(each.error and each.error in tool.message for each in after.machines)
    return Outcome("failed", reason if repeated else f"{_message(tool)}; {reason}")


def converged(observation: Observation, wanted: Wanted) -> str:
    """Return the reason why the wanted version does not run everywhere; empty if it does."""
    if not observation.exists:
        return f"{observation.app} does not exist"
    if not observation.machines:
        return f"{observation.app} has no serving machine"
    there = {machine.group for machine in observation.machines}
    # A hook without process groups leaves them empty.
    if "" not in there and (absent := [group for group in wanted.groups if group not in there]):
        return f"{observation.app} has no machine in the process group {absent[0]}"
    if len(digests := _running(observation)) > 1:
        shown = ", ".join(f"{_short(digest)} ×{number}" for digest, number in digests.items())
        return _and(f"{len(digests)} different images run: {shown}", observation.incomplete)
    problems = [
        f"{label(machine)} {problem}"
        for machine in observation.machines
        if (problem := next(_problems(machine, wanted, observation.taken), ""))
    ]
    more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return _and("; ".join(problems[:_SHOWN]) + more, observation.incomplete)


def _running(observation: Observation) -> Counter[str | None]:
    """Count the machines by digest. A machine that never ran, because its image cannot be pulled, has none."""
    ran = (each for each in observation.machines if each.digest is not None or each.state in SERVING)
    return Counter(machine.digest for machine in ran)


def _and(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def is_gone(reason: str) -> bool:
    """Whether a deployment failed because its image is no longer in the registry.

    >>> is_gone('`fly deploy` failed: could not find image "registry.fly.io/auth:v1"')
    True
    """
    return _GONE.search(reason) is not None


def is_id(reference: str) -> bool:
    """Whether ``reference`` is the id of an image on this machine, which no registry knows.

    >>> is_id("sha256:ab12"), is_id("chat@sha256:ab12")
    (True, False)
    """
    return reference.startswith("sha256:")


def digest_of(reference: str) -> str | None:
    """Return the digest of an image's reference; an id is its own.

    >>> digest_of("registry.fly.io/gaia-auth-dev:v1@sha256:ab12")
    'sha256:ab12'
    """
    if is_id(reference):
        return reference
    _, at, digest = reference.partition("@")
    return digest if at else None


def key_of(reference: str) -> str:
    """Return what identifies an image: its digest, or without one its reference."""
    return digest_of(reference) or reference


def repository_of(reference: str) -> str:
    """Return an image's reference without tag and digest; empty for an id.

    >>> repository_of("localhost:5000/gaia/auth:1.2")
    'localhost:5000/gaia/auth'
    """
    if is_id(reference):
        return ""
    head, slash, last = reference.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def name_and_tag(reference: str) -> tuple[str, str]:
    """Return the last part of an image's name, and its tag. Registries may be mirrors, so they are not compared.

    >>> name_and_tag("localhost:5000/gaia/auth@sha256:ab12")
    ('auth', 'latest')
    """
    name, _, tag = reference.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag or "latest"


def _problems(machine: Machine, wanted: Wanted, taken: str) -> Iterator[str]:
    """Yield the problems of one machine, the most informative first."""
    found = condition(machine, taken)
    if not machine.host_ok or (machine.digest is None and machine.state not in SERVING):
        yield found.text
    yield from _differences(machine, wanted)
    if not found.good:
        yield found.text
    if machine.checks == 0 and wanted.groups.get(machine.group, wanted.checks_required):
        yield "has no health check, so its health is unknown"


def _differences(machine: Machine, wanted: Wanted) -> Iterator[str]:
    """Yield the differences between a machine and the wanted version."""
    if wanted.image and (digest := digest_of(wanted.image)):
        if machine.digest != digest:
            yield f"runs {_short(machine.digest)}, not {_short(digest)}"
    elif wanted.image and machine.image and name_and_tag(machine.image) != name_and_tag(wanted.image):
        yield f"runs {machine.image}, not {wanted.image}"
    if wanted.version is not None and machine.version is not None and machine.version < wanted.version:
        yield f"runs release {machine.version}, not {wanted.version}"


def _is_split(observation: Observation, wanted: Wanted) -> bool:
    """Whether machines run different versions."""
    if len(_running(observation)) > 1:
        return True
    return len({any(_differences(machine, wanted)) for machine in observation.machines}) > 1


def fingerprint(observation: Observation) -> tuple[object, ...]:
    """Return values that only a deployment changes; with release numbers, scaling does not count."""
    runs = {(machine.digest, machine.image, machine.version) for machine in observation.machines}
    containers = () if observation.version is not None else sorted(_identity(each) for each in observation.machines)
    return observation.exists, observation.version, frozenset(runs), tuple(containers)


def _identity(machine: Machine) -> tuple[str, str]:
    return machine.id, machine.started_at


def _manner(before: Observation, after: Observation) -> str:
    """Return how a deployment changed ``before``, if it did not replace the machines; empty if it did."""
    if after.machines and all(each.state == "completed" for each in after.machines):
        return "ran once, and ended with exit code 0"
    down = next(conditions(before.machines, before.taken), "")
    same = {each.id for each in before.machines} == {each.id for each in after.machines}
    return f"{down}; it was started again" if same and down and before.version is None else ""


def _despite_error(tool: Reply) -> Outcome:
    return Outcome("deployed_with_tool_error", f"the wanted version runs everywhere, although {_message(tool)}")


def _message(tool: Reply) -> str:
    return tool.message.rstrip(". ") or "the tool failed"


def _short(digest: str | None) -> str:
    return digest[:_COMPARED] if digest else "an unknown image"


def running_image(observation: Observation) -> str:
    """Return the image that all machines run, with its digest; empty if they differ or it is unknown."""
    images = {pinned(machine) for machine in observation.machines}
    return images.pop() if len(images) == 1 else ""


def pinned(machine: Machine) -> str:
    """Return the reference of a machine's image, with its digest if that is known.

    >>> from pytest_gaia.deploy.contract import Machine
    >>> pinned(Machine(id="1", state="started", image="registry.fly.io/gaia-auth-dev:v7", digest="sha256:ab"))
    'registry.fly.io/gaia-auth-dev@sha256:ab'
    """
    image = machine.image or ""
    if not image or not machine.digest or is_id(image):
        return image
    return f"{repository_of(image)}@{machine.digest}"


def digests(observation: Observation) -> tuple[str, ...]:
    """Return the digests of all machines, without duplicates."""
    return tuple(sorted({machine.digest for machine in observation.machines if machine.digest}))


def difference(before: Observation, after: Observation) -> str:
    """Return the difference between ``before`` and ``after`` as one sentence; empty if there is none.

    Compares images and release numbers. Machines that were started, stopped or added with the same image do not count.
    """
    if before.exists != after.exists:
        return f"{after.app} {'was deployed meanwhile' if after.exists else 'no longer exists'}"
    if before.version is not None and after.version is not None and before.version != after.version:
        return f"{after.app} has release {after.version}, but had release {before.version} before"
    then, now = images(before), images(after)
    if then != now:
        return f"{after.app} runs {_listed(now)}, but ran {_listed(then)} before"
    return ""


def interruptions(before: Observation, after: Observation) -> Iterator[str]:
    """Yield a sentence for each machine of ``before`` that was ended, restarted or replaced, without its full stop."""
    now = {machine.id: machine for machine in after.machines}
    added = {machine.label for machine in after.machines} - {each.label for each in before.machines if each.id in now}
    for then in before.machines:
        machine = now.get(then.id)
        if machine is None:
            yield f"{label(then)} was {'replaced' if then.label in added else 'removed'}"
            continue
        found = condition(machine, after.taken)
        if found.text and found.word not in (condition(then, before.taken).word, *_ALIVE):
            yield f"{label(machine)} {found.text}"
        elif (machine.started_at, machine.restarts) != (then.started_at, then.restarts):
            yield f"{label(machine)} was restarted"


def images(observation: Observation) -> tuple[str, ...]:
    """Return the digests that the machines run, or references without a known digest; sorted, without duplicates."""
    return tuple(sorted({each.digest or each.image or "an unknown image" for each in observation.machines}))


def _listed(found: tuple[str, ...]) -> str:
    return ", ".join(each[:_COMPARED] if each.startswith("sha256:") else each for each in found) or "nothing"
