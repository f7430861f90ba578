"""Lines of the logs of any deploy tool."""

import json
import re

import msgspec

_LEVELS = "trace|debug|info|notice|warn|warning|error|critical|fatal|panic"
_FIRST_WORD = re.compile(rf"\s*(?:[\[<(]?({_LEVELS.upper()})\b|[\[<(]({_LEVELS})[\])>]|({_LEVELS}):)")
_KEYS = ("level", "severity", "levelname", "lvl")


class LogLine(msgspec.Struct, frozen=True):
    """One line of an app's log."""

    message: str = ""
    timestamp: str = ""
    """ISO 8601"""
    level: str = ""
    instance: str = ""
    """id of the machine, or name of the container"""
    region: str = ""


def level_of(message: str) -> str:
    """Return the level in a line that is a JSON object with a level, or begins with one; empty for any other line.

    >>> [level_of(each) for each in ('{"level": "WARN", "msg": "late"}', "ERROR: no route", "[info] ready", "Errors: 0")]
    ['warn', 'error', 'info', '']
    """
    if message.lstrip().startswith("{"):
        try:
            values = json.loads(message)
        except ValueError:
            return ""
        found = next((values[key] for key in _KEYS if key in values), "")
        return found.lower() if isinstance(found, str) else ""
    word = _FIRST_WORD.match(message)
    return next(filter(None, word.groups())).lower() if word else ""
