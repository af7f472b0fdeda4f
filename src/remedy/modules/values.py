"""The types of parameters: how what a user wrote becomes a value of each type.

Every converter returns the value converted, or raises ValueError whose text completes "it must be ...".
Converting a converted value again changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

_TRUE = frozenset({"y", "yes", "on", "1", "true", "t", "1.0"})
_FALSE = frozenset({"n", "no", "off", "0", "false", "f", "0.0"})
_WHOLE = re.compile(r"([-+]?\d+)(?:\.0*)?")
_SIZE = re.compile(r"(-?\d+(?:\.\d+)?)\s*([kmgtpe]?)(i?b)?", re.IGNORECASE)
_MOST, _LONGEST = 10**100, 100  # of a size or a duration, as a number and in letters: a float holds three times that
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_OCTAL = re.compile(r"0?o?[0-7]{1,5}")
_CLAUSE = r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+"
_SYMBOLIC = re.compile(rf"{_CLAUSE}(?:,{_CLAUSE})*")


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, date):  # YAML reads an unquoted 2026-01-31 as one
        return value.isoformat()
    raise ValueError("a text")


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower() if isinstance(value, str | int | float) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("yes or no (true, on and 1, or false, off and 0)")


def _integer(value: Any) -> int:
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    match = _WHOLE.fullmatch(str(value).strip()) if plain else None
    if match is None:
        raise ValueError("a whole number")
    return int(match[1])


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError("a number")


def _sequence(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        return value.split(",") if value else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    raise ValueError("a list, or a text with commas")


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            read = json.loads(value)
        except ValueError:
            read = None
        if isinstance(read, dict):
            return read
    elif isinstance(value, str) and "=" in value:
        pairs = [pair.partition("=") for pair in re.split(r",\s*|\s+", value.strip())]
        if all(equals for _, equals, _ in pairs):
            return {key: text for key, _, text in pairs}
    raise ValueError("a mapping of names to values")


def _mode(value: Any) -> str:
    # YAML reads an unquoted 0644 as the number 420: the number is the mode, not its digits.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return f"{value:04o}"
    word = value.strip() if isinstance(value, str) else ""
    if _OCTAL.fullmatch(word):
        return f"{int(word.replace('o', ''), 8):04o}"
    if word == "preserve" or _SYMBOLIC.fullmatch(word):
        return word
    raise ValueError("a mode such as '0644' or u=rw,g=r,o=r")


def _size(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST:
        return int(value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < _LONGEST else None
    if match is None:
        raise ValueError("a size in bytes, such as 512, 10K, 10M or 1.5G (powers of 1024)")
    power = " kmgtpe".index(match[2].lower() or " ")
    return int(float(match[1]) * 1024**power) if "." in match[1] else int(match[1]) * 1024**power


def _duration(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST:
        return value  # .nan is neither too young nor too old: a guard that compares would let everything pass
    word = value.strip() if isinstance(value, str) and len(value) < _LONGEST else ""
    body = word.removeprefix("-")
    seconds = 0.0
    if re.fullmatch(r"\d+(\.\d+)?", body):
        seconds = float(body)
    elif body and re.fullmatch(rf"(?:{_DURATION.pattern}\s*)+", body, re.IGNORECASE):
        seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in _DURATION.findall(body))
    else:
        raise ValueError("a duration such as 90s, 15m, 12h, 3d, 2w or 1d12h; a bare number is seconds")
    seconds = -seconds if word.startswith("-") else seconds
    return int(seconds) if seconds == int(seconds) else seconds


def _percent(value: Any) -> float:
    word = value.strip().removesuffix("%").strip() if isinstance(value, str) else value
    try:
        number = _number(word)
    except ValueError:
        number = -1
    if not 0 <= number <= 100:
        raise ValueError("a percentage from 0 to 100, such as 85%")
    return int(number) if number == int(number) else number


def travelling(value: Any) -> Any:
    """Return a value as it can travel to a host: a date, which YAML knows and JSON does not, as text."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: travelling(item) for key, item in value.items()}
    if isinstance(value, list):
        return [travelling(item) for item in value]
    return value


TYPES: Mapping[str, Callable[[Any], Any]] = {
    "str": _text,
    "path": _text,
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "list": _sequence,
    "dict": _mapping,
    "raw": lambda value: value,
    "mode": _mode,
    "size": _size,
    "duration": _duration,
    "percent": _percent,
}
"""The converters by the name of the type that a Param gives."""
