"""CI files of any system."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_gaia.config.deployfiles.read import Environments
from pytest_gaia.files.toml import Place

GITHUB_FOLDER = ".github/workflows"
GITLAB_FILE = ".gitlab-ci.yml"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that the file gives to jobs."""

    name: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a script, or one action with its inputs; lines that are continued make one command."""

    text: str
    place: Place
    step: str = ""
    """the name of its step"""
    on_failure: bool = False
    """whether it runs because something before it failed"""
    in_loop: bool = False
    """whether it is inside of a loop, which ends when something is reached"""
    lost: tuple[str, ...] = ()
    """the programs in it whose failure the job does not notice"""
    otherwise: tuple[str, ...] = ()
    """the programs in it that run because another one has failed"""
    condition: str = ""
    """when its step runs, in GitHub's words; nothing for ``success()``"""
    step_id: str = ""
    """what conditions call its step; the number of one that has no name for them"""
    leg: str = ""
    """the values of the matrix that it runs with, where they name an environment"""
    environment: str | None = None
    """the environment that its job names for these values"""


@dataclass(frozen=True, slots=True)
class Job:
    """One job."""

    name: str
    place: Place
    needs: tuple[str, ...] = ()
    """jobs that must succeed before; for GitLab without ``needs``, all jobs of earlier stages"""
    environment: str | None = None
    """environment of the job, as spelled in the file"""
    by_hand: bool = False
    """whether it is started only manually"""
    passes: tuple[str, ...] = ()
    """manual jobs of earlier stages that it does not wait for"""
    condition: str = ""
    """condition as a GitHub expression; empty for ``success()``"""
    alone: bool = False
    """whether another run of it waits for the end of this one"""
    is_cancelled: bool = False
    """whether another run of it cancels this one"""
    commands: tuple[Command, ...] = ()
    known: Environments = field(default_factory=Environments, repr=False)
    """the environments of the project"""


@dataclass(frozen=True, slots=True)
class Workflow:
    """One CI file."""

    file: str
    name: str
    """its name in other workflows"""
    jobs: tuple[Job, ...]
    lines: tuple[str, ...]
    """the text, line by line"""
    after: tuple[str, ...] = ()
    """names of workflows that must have ended before it starts"""
    events: tuple[str | None, ...] = (None,)
    """events that start it; None for an unknown one"""
    variables: tuple[Variable, ...] = ()
    containers: frozenset[str] = frozenset()
    """names of service containers of its jobs"""
    comments: Mapping[int, str] = field(default_factory=dict)
    """line → comment on it, without `#`"""

    def job(self, name: str) -> Job | None:
        """Return the job of that name."""
        return next((job for job in self.jobs if job.name == name), None)

    def before(self, job: Job) -> tuple[Job, ...]:
        """Return all jobs that must succeed before ``job``, directly or not."""
        jobs = {each.name: each for each in self.jobs}
        found: dict[str, Job] = {}
        waiting = list(job.needs)
        while waiting:
            needed = jobs.get(waiting.pop())
            if needed is not None and needed.name not in found:
                found[needed.name] = needed
                waiting += needed.needs
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One CI file."""

    name: str
    document: Mapping[str, Any]
    places: Mapping[str, Place]
    lines: tuple[str, ...]
    known: Environments = field(default_factory=Environments)
    """the environments of the project"""
    names_read: frozenset[str] = frozenset()
    """the outputs and variables that its expressions look at"""

    def place(self, *step: str) -> Place:
        """Return where the key stands, or the nearest one around it."""
        for length in range(len(step), 0, -1):
            found = self.places.get(".".join(step[:length]))
            if found is not None:
                return found
        return Place(self.name, 1)

    def variables(self, *step: str) -> Iterator[Variable]:
        """Yield the variables of the table at ``step``, which may be missing."""
        node: Any = self.document
        for part in step:
            name, _, number = part.partition("[")
            node = as_table(node).get(name)
            if number:
                node = node[int(number.rstrip("]"))] if isinstance(node, list) else None
        for name, given in as_table(node).items():
            # GitLab describes a variable by a table that holds its value.
            value = given.get("value") if isinstance(given, dict) else given
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield Variable(name, str(value), self.place(*step, name))


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty list, and a value that stands alone as a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def as_table(value: Any) -> dict[str, Any]:
    """Return a table as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}
