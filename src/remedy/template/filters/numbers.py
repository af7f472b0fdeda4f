"""Filters over numbers and sizes, and chance."""

from __future__ import annotations

import math
import random as chance
import re
from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from remedy.modules.values import TYPES
from remedy.template.trouble import FilterError

_POWERS: dict[str, int] = {letter: 1024**power for power, letter in enumerate("BKMGTPEZY")}
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*")


def human_readable(size: Any, isbits: bool = False, unit: str | None = None) -> str:
    """Return bytes (or bits) as a number with two decimals and a unit of 1024: "10.00 KB"."""
    try:
        number = float(size)
    except (TypeError, ValueError) as error:
        raise FilterError(f"human_readable: '{size}' is no number") from error
    wanted = unit[:1].upper() if unit else None
    if wanted is not None and wanted not in _POWERS:
        raise FilterError(
            f"human_readable: the unit '{unit}' is not known; expected one of {', '.join(_POWERS)}"
        )
    if wanted is None:
        wanted = next((letter for letter, power in reversed(_POWERS.items()) if number >= power), "B")
    base = "bits" if isbits else "Bytes"
    suffix = base if wanted == "B" else wanted + base[0]
    return f"{number / _POWERS[wanted]:.2f} {suffix}"


def human_to_bytes(size: Any, default_unit: str | None = None, isbits: bool = False) -> int:
    """Return a size such as "2.5 MB" or "10K" as a number of bytes (or bits), units of 1024."""
    found = _SIZE.fullmatch(str(size))
    unit = (found[2] or default_unit or "B") if found else ""
    if found is None or unit[0].upper() not in _POWERS:
        raise FilterError(f"human_to_bytes: '{size}' is no size; expected for example 10K, 2.5 MB or 1G")
    rest = unit[1:] if unit.lower() not in ("byte", "bytes", "bit", "bits") else ""
    if rest and rest.lower() not in ("b", "byte", "bytes", "bit", "bits"):
        raise FilterError(f"human_to_bytes: the unit '{unit}' is not known; expected for example KB or MB")
    if rest in ("b", "B") and (rest == "b") != isbits:
        raise FilterError(f"human_to_bytes: '{unit}' is {'bits' if rest == 'b' else 'bytes'}; see isbits")
    return round(float(found[1]) * _POWERS[unit[0].upper()])


def percent(share: Any) -> float:
    """Return a share such as "85%" or 85 as a number from 0 to 100, as modules take it (Ansible has no such filter)."""
    return float(_of_type("percent", share))


def duration(time: Any) -> float:
    """Return a time such as "90s", "1d12h" or 90 as seconds, as modules take it (Ansible has no such filter)."""
    seconds: float = _of_type("duration", time)
    return seconds


def size(amount: Any) -> int:
    """Return a size such as "1.5G" or 512 as bytes, as modules take it, powers of 1024 (Ansible has no such filter)."""
    return int(_of_type("size", amount))


def days(time: Any) -> float:
    """Return a number of days, or a duration with its unit, as days (Ansible has no such filter)."""
    return float(_of_type("days", time))


def _of_type(name: str, value: Any) -> Any:
    try:
        return _READ[name](value)
    except ValueError as error:
        raise FilterError(f"{name}: '{value}' is not {error}") from None


def misread(value: Any, kind: str) -> str:
    """Return what a value of a type should be and is not, in words; "" where it is (Ansible has no such filter).

    `kind` is the name of a parameter's type (bool, duration, int, percent, size, ...), `names` (a text, or a list of
    texts) or `days` (a whole number of days, or a duration with its unit). What is counted is never less than 0; with
    "above 0" behind its type never 0 either.
    """
    name, _, above = kind.partition(" above ")
    if name == "names":
        listed = value if isinstance(value, list) else [value]
        return "" if all(isinstance(each, str) for each in listed) else "a list of names"
    if name not in _READ:
        raise FilterError(f"misread: '{name}' is no type; expected {', '.join(sorted([*_READ, 'names']))}")
    try:
        number = _READ[name](value)
    except ValueError as error:
        return str(error)
    if not isinstance(number, int | float) or isinstance(number, bool):
        return ""
    if above and not number > float(above):
        return f"more than {above}"
    return "" if number >= 0 else "0 or more"


def _days(time: Any) -> float:
    text = str(time).strip()
    bare = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None
    try:
        return float(TYPES["duration"](f"{text}d" if bare else text)) / 86400
    except ValueError:
        raise ValueError("a number of days, such as 14, or a duration such as 2w") from None


_READ: dict[str, Callable[[Any], Any]] = {**TYPES, "days": _days}


@pass_context  # a context keeps Jinja from drawing while it compiles
def random(context: Context, end: Any, start: Any = None, step: Any = None, seed: Any = None) -> Any:
    """Return a random number below `end`, or a random item of a list; `seed` makes it repeatable."""
    generator = chance.Random(seed) if seed is not None else chance.SystemRandom()
    if isinstance(end, int):
        return generator.randrange(start or 0, end, step or 1)
    if start is not None or step is not None:
        raise FilterError("random: start and step go with a number, not with a list")
    return generator.choice(list(end))


@pass_context
def shuffle(context: Context, items: Iterable[Any], seed: Any = None) -> list[Any]:
    generator = chance.Random(seed) if seed is not None else chance.SystemRandom()
    shuffled = list(items)
    generator.shuffle(shuffled)
    return shuffled


def logarithm(value: float, base: float = math.e) -> float:
    return math.log10(value) if base == 10 else math.log(value, base)


def root(value: float, base: float = 2) -> float:
    return math.sqrt(value) if base == 2 else math.pow(value, 1.0 / float(base))


FILTERS: dict[str, Callable[..., Any]] = {
    "human_readable": human_readable,
    "human_to_bytes": human_to_bytes,
    "percent": percent,
    "duration": duration,
    "size": size,
    "days": days,
    "misread": misread,
    "random": random,
    "shuffle": shuffle,
    "log": logarithm,
    "pow": math.pow,
    "root": root,
}
