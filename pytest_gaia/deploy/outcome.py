"""What became of a deployment, judged by what was observed. Pure: the same values give the same outcome."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self, TypeAlias

from pytest_gaia.deploy.contract import Machine, Observation, Reply, Request

Kind: TypeAlias = Literal["deployed", "deployed_with_tool_error", "phantom", "failed", "split", "unchanged"]
"""
``deployed``                 everything wanted runs everywhere, and is well
``deployed_with_tool_error`` the same, although the tool said that it failed
``unchanged``                it ran before, and nothing was replaced
``phantom``                  the tool said that it is done, and it is not
``failed``                   the tool said that it failed, and it did
``split``                    some machines run what is wanted, others something else
"""

GOOD: frozenset[Kind] = frozenset({"deployed", "deployed_with_tool_error", "unchanged"})

# What `docker` says where a login may be missing instead is left out: that image may be there.
_GONE = re.compile(r"could not find image|manifest unknown|manifest for \S+ not found|no such image", re.IGNORECASE)
_SHOWN = 3
"""machines that a reason names"""
_COMPARED = 19
"""characters of a digest that people compare: ``sha256:`` and twelve more"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should run. Whatever is None is not known, and not asked for."""

    image: str | None = None
    """reference; by its digest if it has one, otherwise by its name and tag"""
    version: int | None = None
    """machines of this release or a later one will do"""
    checks_required: bool = True
    """whether a machine without a health check is not well; a container of compose may have none"""
    groups: Mapping[str, bool] = field(default_factory=dict)
    """process group → the same for its machines; each has at least one"""

    @classmethod
    def of(
        cls, request: Request, reply: Reply, *, checks_required: bool = True, groups: Mapping[str, bool] | None = None
    ) -> Self:
        """Return what ``request`` asked for, and ``reply`` says it has become."""
        asked = request.previous if request.phase == "rollback" else request.image
        image = asked if asked and digest_of(asked) else reply.image or asked
        return cls(image, reply.version, checks_required, groups or {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a deployment; ``reason`` is a sentence, empty where there is nothing to say."""

    kind: Kind
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether what is wanted runs."""
        return self.kind in GOOD


def classify(tool: Reply, before: Observation, after: Observation, wanted: Wanted) -> Outcome:
    """Return what became of a deployment.

    ``after`` decides; what the tool said only names it. Where the tool did not say which release it made, the app's
    newest is asked of every machine, so one that went back to the old image is not taken for the new one.
    """
    changed = _fingerprint(before) != _fingerprint(after)
    if wanted.version is None and changed:
        wanted = replace(wanted, version=after.version)
    reason = converged(after, wanted)
    if not reason:
        if not changed:
            # Nothing was replaced: good if nothing had to be, and no excuse for a tool that failed.
            return Outcome("failed", _said(tool)) if tool.status in ("failed", "retry") else Outcome("unchanged")
        return Outcome("deployed") if tool.status in ("done", "unchanged") else _in_spite(tool)
    says_done = tool.status in ("done", "unchanged")
    if _is_split(after, wanted):
        return Outcome("split", reason if says_done else f"{reason}; {_said(tool)}")
    if says_done:
        return Outcome("phantom", f"the tool said that it is done, but {reason}")
    return Outcome("failed", f"{_said(tool)}; {reason}")


def converged(observation: Observation, wanted: Wanted) -> str:
    """Return why what is wanted does not run everywhere, in one sentence; an empty text if it does."""
    if not observation.exists:
        return f"{observation.app} does not exist"
    if not observation.machines:
        return f"{observation.app} has no machine that serves"
    there = {machine.group for machine in observation.machines}
    # A hook that knows nothing of groups leaves them empty.
    if "" not in there and (absent := [group for group in wanted.groups if group not in there]):
        return f"{observation.app} has no machine of the process group {absent[0]}"
    if len(digests := {machine.digest for machine in observation.machines}) > 1:
        shown = Counter(_short(machine.digest) for machine in observation.machines)
        return f"{len(digests)} images run: " + ", ".join(f"{digest} ×{number}" for digest, number in shown.items())
    problems = [
        f"machine {machine.id} {problem}"
        for machine in observation.machines
        if (problem := next(_problems(machine, wanted), ""))
    ]
    more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


def is_gone(reason: str) -> bool:
    """Whether a deployment failed because the registry does not have its image any more.

    >>> is_gone('`fly deploy` failed: could not find image "registry.fly.io/auth:v1"')
    True
    """
    return _GONE.search(reason) is not None


def digest_of(reference: str) -> str | None:
    """Return the digest of an image's reference.

    >>> digest_of("registry.fly.io/gaia-auth-dev:v1@sha256:ab12")
    'sha256:ab12'
    """
    _, at, digest = reference.partition("@")
    return digest if at else None


def repository_of(reference: str) -> str:
    """Return an image's reference without tag and digest.

    >>> repository_of("localhost:5000/gaia/auth:1.2")
    'localhost:5000/gaia/auth'
    """
    head, slash, last = reference.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def name_and_tag(reference: str) -> tuple[str, str]:
    """Return the last part of an image's name, and its tag: registries are mirrored, and so not compared.

    >>> name_and_tag("localhost:5000/gaia/auth@sha256:ab12")
    ('auth', 'latest')
    """
    name, _, tag = reference.partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag or "latest"


def _problems(machine: Machine, wanted: Wanted) -> Iterator[str]:
    """Yield what is wrong with one machine, what tells most first."""
    if not machine.host_ok:
        yield "is on a host that does not answer"
    yield from _differences(machine, wanted)
    if machine.crashed:
        yield "crashed, or ran out of memory, after it started"
    if machine.state not in ("started", "completed"):
        yield f"is {machine.state}, not started"
    if machine.cordoned:
        yield "is cordoned: nothing is routed to it"
    if machine.checks == 0 and wanted.groups.get(machine.group, wanted.checks_required):
        yield "has no health check, so nothing is known of its health"
    if machine.critical or machine.passing < machine.checks:
        yield f"passes {machine.passing} of {machine.checks} health checks"


def _differences(machine: Machine, wanted: Wanted) -> Iterator[str]:
    """Yield how what runs on a machine is not what is wanted."""
    if wanted.image and (digest := digest_of(wanted.image)):
        if machine.digest != digest:
            yield f"runs {_short(machine.digest)}, not {_short(digest)}"
    elif wanted.image and machine.image and name_and_tag(machine.image) != name_and_tag(wanted.image):
        yield f"runs {machine.image}, not {wanted.image}"
    if wanted.version is not None and machine.version is not None and machine.version < wanted.version:
        yield f"runs release {machine.version}, not {wanted.version}"


def _is_split(observation: Observation, wanted: Wanted) -> bool:
    """Whether machines differ in what they run."""
    if len({machine.digest for machine in observation.machines}) > 1:
        return True
    return len({any(_differences(machine, wanted)) for machine in observation.machines}) > 1


def _fingerprint(observation: Observation) -> tuple[object, ...]:
    """What changes when something is deployed, and only then: where releases are counted, scaling is no deployment."""
    runs = {(machine.digest, machine.image, machine.version) for machine in observation.machines}
    containers = () if observation.version is not None else sorted(machine.id for machine in observation.machines)
    return observation.exists, observation.version, frozenset(runs), tuple(containers)


def _in_spite(tool: Reply) -> Outcome:
    return Outcome("deployed_with_tool_error", f"what is wanted runs everywhere, although {_said(tool)}")


def _said(tool: Reply) -> str:
    return tool.message.rstrip(". ") or "the tool failed"


def _short(digest: str | None) -> str:
    return digest[:_COMPARED] if digest else "an unknown image"


def running_image(observation: Observation) -> str:
    """Return what all machines run, pinned to its digest; empty where they differ or say nothing."""
    images = {pinned(machine) for machine in observation.machines}
    return images.pop() if len(images) == 1 else ""


def pinned(machine: Machine) -> str:
    """Return the reference of a machine's image: by digest where that is known, since a tag can move.

    >>> from pytest_gaia.deploy.contract import Machine
    >>> pinned(Machine(id="1", state="started", image="registry.fly.io/gaia-auth-dev:v7", digest="sha256:ab"))
    'registry.fly.io/gaia-auth-dev@sha256:ab'
    """
    image = machine.image or ""
    if not image or not machine.digest:
        return image
    return f"{repository_of(image)}@{machine.digest}"


def digests(observation: Observation) -> tuple[str, ...]:
    """Return the digests of all machines, each once."""
    return tuple(sorted({machine.digest for machine in observation.machines if machine.digest}))


def difference(before: Observation, after: Observation) -> str:
    """Return how ``after`` runs something else than ``before``, in one sentence; an empty text if it does not.

    Images and releases count. Machines that were started, stopped or added with the same image do not.
    """
    if before.exists != after.exists:
        return f"{after.app} {'was deployed meanwhile' if after.exists else 'is gone'}"
    if before.version is not None and after.version is not None and before.version != after.version:
        return f"{after.app} is at release {after.version}, it was at {before.version}"
    then, now = images(before), images(after)
    if then != now:
        return f"{after.app} runs {_listed(now)}, it ran {_listed(then)}"
    return ""


def images(observation: Observation) -> tuple[str, ...]:
    """Return what the machines run: digests, and references where no digest is known; each once, sorted."""
    return tuple(sorted({each.digest or each.image or "an unknown image" for each in observation.machines}))


def _listed(found: tuple[str, ...]) -> str:
    return ", ".join(each[:_COMPARED] if each.startswith("sha256:") else each for each in found) or "nothing"
