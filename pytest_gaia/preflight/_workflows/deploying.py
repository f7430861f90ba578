"""Which environment a command of a CI file deploys to, tests, or rolls back."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from pytest_gaia.preflight._workflows.exit_codes import is_message
from pytest_gaia.preflight._workflows.model import Command, Job
from pytest_gaia.preflight._workflows.shell import TooDeep, parse, read, simples

_TOOL = r"(?:^|[\s;&|(`/])"
_GAIA = r"(?:gaia|ci/gate)"
_DEPLOYS = re.compile(
    rf"{_TOOL}(?:fly|flyctl)\s+(?:[^|;&]*\s)?deploy\b|{_TOOL}{_GAIA}\s+deploy(?:-and-test)?\b|"
    rf"{_TOOL}{_GAIA}\s+promote\b(?!.*\s--plan\b)|{_TOOL}deploy\.sh\b|"
    rf"{_TOOL}manage\.sh\s+deploy|--gaia-deploy\b|uses superfly/flyctl-actions[^ ]*@\S+ .*\bargs=[^=]*\bdeploy\b",
    re.IGNORECASE,
)
_BY_BUILDING = re.compile(
    rf"{_TOOL}(?:fly|flyctl)\s+(?:[^|;&]*\s)?deploy\b|\bflyctl-actions|{_TOOL}deploy\.sh\b|{_TOOL}manage\.sh\s+deploy",
    re.IGNORECASE,
)
_TESTS = re.compile(
    rf"{_TOOL}(?:pytest|{_GAIA}\s+(?:test|legacy|quick-test|full-test|deploy-and-test|promote))\b|"
    rf"{_TOOL}{_GAIA}\s+deploy\s(?:.*\s)?--test\b|"
    rf"{_TOOL}manage\.sh\s+(?:deploy-and-)?test\b",
    re.IGNORECASE,
)
_ROLLS_BACK = re.compile(r"\broll[-_ ]?back", re.IGNORECASE)
_DETACHED = re.compile(r"\s--detach\b(?!=false)")
_IMMEDIATE = re.compile(r"\s--strategy[=\s]+[\"']?immediate\b")
_SETS_SECRETS = re.compile(
    rf"(?:{_TOOL}(?:fly|flyctl)\s(?:.*\s)?|\bflyctl-actions.*\bargs=)secrets\s+set\s(?P<rest>.*)", re.DOTALL
)
_ASSIGNED = re.compile(r"(?:^|\s)(?P<name>[A-Za-z_]\w*)=(?P<value>'[^']*'|\"[^\"]*\"|\S+)")
_ONLY_PREPARES = re.compile(r"\s--(?:build-only|dry-run|help)\b(?!=false)")
"""options with which a tool deploys nothing"""
_INSTALLS = re.compile(
    r"(?:\S*/)?(?:pip3?|pipx|uv|poetry|conda|npm|brew|apt|apt-get|python3?|sudo)\s(?:.*\s)?(?:install|add)\s"
)
_NOTICE = re.compile(r"notif|notice|announc|report|comment|message|alert|remind|instruction|hint", re.IGNORECASE)
_PREPARES = re.compile(
    r"(?:exit|set|cd|export|\[|\[\[|test|sleep|curl|uses actions/(?:checkout|setup-|github-script))(?:\s|$|(?<=-))"
)
"""programs that roll nothing back by themselves, whatever their step is called"""
_MENTIONS = re.compile(r"(?:gh\s+(?:issue|pr|release)|git\s+(?:commit|tag|log|branch|checkout))\b")
_ACTION_COMMANDS = re.compile(r"\b(?:args|command|cmd|run|script|workflow\w*)=(\S+(?:\s+[^\s=]+(?=\s|$))*)")
_GIVEN_TO_SHELL = re.compile(
    r"(?:sudo\s+)?(?:(?:ba|z)?sh\s+-\w*c|ssh\s+\S+|eval)\s+(?P<script>'[^']*'|\"[^\"]*\")", re.DOTALL
)
_QUOTED = re.compile(r"'[^']*\s[^']*'|\"[^\"]*\s[^\"]*\"")


def deploys(command: Command) -> bool:
    """Whether ``command`` deploys something."""
    return any(map(program_deploys, _programs(command.text)))


def program_deploys(program: str) -> bool:
    """Whether one program, or action, deploys something."""
    text = _without_quotes(program)
    return bool(_DEPLOYS.search(text)) and not _ROLLS_BACK.search(text) and not _ONLY_PREPARES.search(text)


def deploys_by_building(command: Command) -> bool:
    """Whether it is a tool that builds an image unless it is given one: flyctl, or the platform's old scripts."""
    return any(program_deploys(each) and _BY_BUILDING.search(each) for each in _programs(command.text))


def tests(command: Command) -> bool:
    """Whether it runs tests."""
    return any(map(program_tests, _programs(command.text)))


def program_tests(program: str) -> bool:
    """Whether one program runs tests."""
    return bool(_TESTS.search(_without_quotes(program))) and not _INSTALLS.search(program)


def is_only_message(command: Command) -> bool:
    """Whether ``command`` does nothing but print."""
    return not any(each.split()[0] != "exit" for each in _programs(command.text))


def is_detached(command: Command) -> bool:
    """Whether it deploys something without waiting for the end of it."""
    return any(program_deploys(each) and _DETACHED.search(each) for each in _programs(command.text))


def is_immediate(command: Command) -> bool:
    """Whether it deploys something by replacing all machines at once."""
    return any(program_deploys(each) and _IMMEDIATE.search(each) for each in _programs(command.text))


def secrets_set(command: Command) -> Iterator[tuple[str, str]]:
    """Yield name and value of each secret that is set on Fly, as the command writes them, quotes removed."""
    for program in _programs(command.text):
        found = _SETS_SECRETS.search(program)
        for match in _ASSIGNED.finditer(found["rest"]) if found else ():
            value = match["value"]
            quoted = value[:1] in ("'", '"') and value[-1:] == value[:1]
            # What a shell puts in is not written here.
            if value[:1] == "'" or not re.search(r"[$`]", value):
                yield match["name"], value[1:-1] if quoted else value


def lost_programs(command: Command) -> list[str]:
    """Return the deployments and tests in ``command`` whose failure goes unnoticed."""
    programs = (each for text in command.lost for each in _programs(text))
    return [each for each in programs if program_deploys(each) or program_tests(each)]


def rolls_back(command: Command) -> bool:
    """Whether ``command`` rolls back: by itself, or because its step is named so and it does more than print."""
    programs = _programs(command.text)
    if any(map(program_rolls_back, programs)):
        return True
    is_named = _ROLLS_BACK.search(command.step) and not _NOTICE.search(command.step)
    return bool(is_named) and any(not _PREPARES.match(each) for each in programs)


def program_rolls_back(program: str) -> bool:
    """Whether one program, or action, rolls back; of the inputs of an action only those that are commands count."""
    text = _without_quotes(program)
    if text.startswith("uses "):
        text = " ".join([text.split()[1] if text.split()[1:] else "", *_ACTION_COMMANDS.findall(text)])
    return bool(_ROLLS_BACK.search(text)) and not _MENTIONS.match(text)


@lru_cache(1024)
def _programs(text: str) -> tuple[str, ...]:
    """Return the programs that a command runs, those that only print left out, and those that a shell is given to run."""
    if text.startswith("uses "):
        return (text,)
    try:
        found = list(simples(parse(read(text)[0])))
    except TooDeep:
        return (text,)
    programs = [each.text for each in found if not is_message(each) or "$(" in each.text or "`" in each.text]
    inner = (match["script"][1:-1] for match in map(_GIVEN_TO_SHELL.match, programs) if match)
    return tuple(programs) + tuple(each for script in inner if script for each in _programs(script))


def _without_quotes(program: str) -> str:
    """Return ``program`` without what is quoted and has blanks: a text, and no argument that names something."""
    if program.startswith("uses "):
        return program
    return _QUOTED.sub(lambda found: found[0] if "$(" in found[0] or "`" in found[0] else "''", program)


def environments_of(command: Command, job: Job) -> frozenset[str]:
    """Return the environments that ``command`` deploys to: those it names, or else those that its job does."""
    for text in (command.text, command.environment or job.environment or "", job.name, command.step):
        named = frozenset(job.known.in_text(text))
        if named:
            return named
    return frozenset()


def deployed_by(job: Job) -> frozenset[str]:
    """Return the environments that ``job`` deploys to."""
    found = (environments_of(command, job) for command in job.commands if deploys(command) and not command.on_failure)
    return frozenset[str]().union(*found)


def with_role(role: str, environments: Iterable[str], job: Job) -> list[str]:
    """Return the environments with ``role``, sorted."""
    return sorted(each for each in environments if job.known.role(each) == role)
