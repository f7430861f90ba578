"""Old and short names of commands and options, replaced before a command line is parsed."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gaia.wording import note_renamed

SHORT = {
    "configs": "config",
    "envs": "env",
    "exp": "expectations",
    "expectation": "expectations",
    "keys": "key",
    "ledgers": "ledger",
    "releases": "release",
}
"""Further first words, accepted without a notice."""

RENAMED: tuple[tuple[str, str], ...] = (
    ("policy lint", "expectations check"),
    ("policy prune", "expectations unused"),
    ("policy", "expectations"),
    ("expectations check --run FILE", "expectations check --results FILE"),
    ("expectations explain --run FILE", "expectations explain --results FILE"),
    ("expectations diff --run FILE", "expectations diff --results FILE"),
    ("replay --as-env ENV", "replay --env ENV"),
    ("replay --report FILE", "replay --output FILE"),
    ("quick-test ENV", "test --env ENV --smoke"),
    ("full-test ENV", "test --env ENV"),
    ("deploy-and-test ENV --quick", "deploy ENV --test=smoke"),
    ("deploy-and-test ENV", "deploy ENV --test=full"),
    ("config lint", "config check"),
    ("config check --sarif FILE", "config check --format=sarif --output FILE"),
    ("config check --github", "config check --format=github"),
    ("report --environment ENV", "report --env ENV"),
    ("monitor ENV --once", "status ENV --probe"),
    ("monitor ENV --interval=DURATION", "status ENV --watch=DURATION"),
    ("monitor ENV", "status ENV --watch=5s"),
    ("sandbox up --as ENV", "sandbox up --env ENV"),
    ("sandbox up --fixed", "sandbox up --no-known-bugs"),
    ("rollback plan ENV --bundle RELEASE", "rollback ENV --dry-run --release RELEASE"),
    ("rollback rehearse ENV --bundle RELEASE", "rollback ENV --drill --release RELEASE"),  # glossary: ok
    ("bundle create --from-env ENV", "release create --env ENV"),  # glossary: ok
    ("bundle", "release"),
    ("gate ENV --bundle RELEASE --edge", "release check RELEASE --env ENV --pre-deploy"),
    ("gate ENV --bundle RELEASE", "release check RELEASE --env ENV"),
    ("checklist ENV --bundle RELEASE", "release check RELEASE --env ENV"),  # glossary: ok
    ("check no-experimental-features --bundle RELEASE", "release attest experimental-features RELEASE"),
    (
        "signoff report --bundle RELEASE --run VERDICT --record RESULTS",
        "release report RELEASE --verdict VERDICT --results RESULTS",
    ),
    ("signoff CHECK --bundle RELEASE --why REASON", "release approve RELEASE CHECK --reason REASON"),
    ("waive CHECK --bundle RELEASE --why REASON", "release waive RELEASE CHECK --reason REASON"),
    ("promote ENV --bundle RELEASE --plan", "promote ENV RELEASE --dry-run"),
    ("promote ENV --bundle RELEASE", "promote ENV RELEASE"),
    ("promote --plan", "promote --dry-run"),
    ("api diff --bundle RELEASE --record", "api diff --release RELEASE --attest"),
    ("api diff --bundle RELEASE", "api diff --release RELEASE"),
    ("ledger show --bundle RELEASE", "ledger list --release RELEASE"),
    ("key create", "key generate"),
    ("key trust", "key add"),
    ("key retire", "key revoke"),
)
"""Old command lines, and what to write now. The rules apply in this order, each at most once.

``COMMAND ARGUMENT --option VALUE --flag``: words in lower case are the command, words in capitals are values.

- ``("policy", "expectations")`` renames a command with all its subcommands;
- ``("promote --plan", "promote --dry-run")`` renames an option of one command; it applies if all options of the rule are given;
- ``("gate ENV --bundle RELEASE", "release check RELEASE --env ENV")`` also moves values. Values that are missing are left
  out; further arguments and options stay. ``--quick``, without a value, and ``--interval=DURATION``, with an equals sign,
  have to be given.

Put a rule with more words before one with fewer. Each rule prints one line of notice.
"""

OPTIONAL_VALUES = {"deploy --test": ("smoke|full", "full"), "status --watch": (r"[0-9.]+[smhd]?", "5s")}
"""Options whose value may be left out: what a value looks like, and the default."""

GLOBAL_WITH_VALUE = ("--color",)
"""Options before the command that take a value."""


@dataclass(frozen=True, slots=True)
class Form:
    """One side of a rule."""

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    """names of positional values, in order"""
    options: tuple[tuple[str, str], ...]
    """options with the name of their value, empty for a flag"""
    required: tuple[str, ...]
    """options without which the form does not match"""

    @staticmethod
    def of(text: str) -> "Form":
        """Parse ``gate ENV --bundle RELEASE``."""
        option = r"(?<!\S)(--?[a-z][a-z-]*(?:=[a-z0-9]+)?)(?:([ =])([A-Z]+))?"
        options, words = re.findall(option, text), re.sub(option, "", text).split()
        return Form(
            tuple(word for word in words if not word.isupper()),
            tuple(word for word in words if word.isupper()),
            tuple((name, value) for name, _, value in options),
            tuple(name for name, before, _ in options if before != " "),
        )


def current(
    words: Sequence[str],
    options_with_value: Callable[[Sequence[str]], Collection[str]],
    rules: Iterable[tuple[str, str]] = RENAMED,
) -> list[str]:
    """Return the command line ``words`` with today's names, and print a notice for each old one.

    ``options_with_value`` returns the options of a command that take a value; it is called only if values move.
    """
    start = _start(words)
    before, rest = list(words[:start]), list(words[start:])
    if rest:
        rest[0] = SHORT.get(rest[0], rest[0])
    if rest[1:2] == ["ls"]:
        rest[1] = "list"
    for old, new in rules:
        if rest[:1] != [old.split(" ", 1)[0]]:
            continue
        found = _rewritten(rest, Form.of(old), Form.of(new), options_with_value)
        if found is not None:
            note_renamed(f"`gaia {old}`", f"`gaia {new}`")
            rest = found
    _complete(rest)
    return [*before, *rest]


def _complete(words: list[str]) -> None:
    """Insert the defaults of optional values."""
    for option, (value, default) in OPTIONAL_VALUES.items():
        command, _, name = option.partition(" ")
        if words[:1] == [command] and name in words:
            after = words.index(name) + 1
            if not re.fullmatch(value, "".join(words[after : after + 1])):
                words.insert(after, default)


def _start(words: Sequence[str]) -> int:
    """Return the index of the first word of the command."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in GLOBAL_WITH_VALUE else 1
    return at


def _rewritten(
    words: list[str], old: Form, new: Form, options_with_value: Callable[[Sequence[str]], Collection[str]]
) -> list[str] | None:
    """Return ``words`` as the new form has them; None if the old form does not match."""
    length = len(old.command)
    if tuple(words[:length]) != old.command:
        return None
    rest, values = words[length:], dict[str, list[str]]()
    for option, value in old.options:
        if taken := _take(rest, option, bool(value)):
            values[value or option] = taken
        elif option in old.required or old.command == new.command:
            return None
    if old.arguments:
        known = {*options_with_value(new.command), *(option for option, value in old.options if value)}
        found = _positions(rest, known)[: len(old.arguments)]
        if not found and old.command[:-1] == new.command:
            # `gaia rollback plan` names an environment.
            return None
        values |= {name: [rest[at]] for name, at in zip(old.arguments, found, strict=False)}
        for at in reversed(found):
            del rest[at]
    return [*_filled(new, values, rest)]


def _filled(form: Form, values: Mapping[str, Sequence[str]], rest: Sequence[str]) -> Iterator[str]:
    """Yield the command line of ``form``; ``rest`` is between its arguments and its options."""
    yield from form.command
    for name in form.arguments:
        yield from values.get(name, ())
    yield from rest
    for option, name in form.options:
        for value in values.get(name, ()) if name else ("",):
            yield from (option, value) if name else (option,)


def _take(words: list[str], option: str, with_value: bool) -> list[str]:
    """Remove each ``option`` from ``words``, and return the values; an empty string for a flag."""
    found, kept = [], []
    given = iter(words)
    for word in given:
        if word == option:
            found.append(next(given, "") if with_value else "")
        elif with_value and word.startswith(f"{option}="):
            found.append(word.partition("=")[2])
        else:
            kept.append(word)
    words[:] = kept
    return found


def _positions(words: Sequence[str], with_value: Collection[str]) -> list[int]:
    """Return the indices of the words that are neither options nor values of options."""
    found, at = [], 0
    while at < len(words):
        word = words[at]
        if word in with_value:
            at += 1
        elif not word.startswith("-") or word == "-":
            found.append(at)
        at += 1
    return found
