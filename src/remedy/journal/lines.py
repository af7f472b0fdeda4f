"""One event, one line: JSON in pure ASCII, so that no text from a host can break it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from datetime import time as clock
from functools import cache
from typing import Any, NamedTuple

from msgspec.structs import fields

from remedy import events
from remedy.events import Event

KINDS = {
    kind.__name__: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


class Blob(NamedTuple):
    """Where the rest of an Intent lies in the run's undo content: offset and length in bytes, and its hash."""

    at: int
    size: int
    sha256: str


class Line(NamedTuple):
    """A line read back, with the place of the rest of an Intent, if it has one."""

    seq: int
    event: Event
    blob: Blob | None


def write_line(
    seq: int, event: Event, *, without: frozenset[str] = frozenset(), blob: Blob | None = None
) -> bytes:
    """Return the line of an event; fields in `without` stand in the blob."""
    values: dict[str, Any] = {"seq": seq, "event": type(event).__name__}
    values.update((name, getattr(event, name)) for name in event.__struct_fields__ if name not in without)
    if blob is not None:
        values["blob"] = blob
    return _dump(values).encode("ascii") + b"\n"


def read_line(line: bytes) -> Line | None:
    """Return what a line says, None for an event of a newer remedy; ValueError where it is no line.

    What stands in a blob is None in the event ({} for params).
    """
    values = json.loads(line)
    if not isinstance(values, dict) or not isinstance(values.get("seq"), int):
        raise ValueError("not a line of a journal")
    kind = KINDS.get(str(values.get("event")))
    if kind is None:
        return None
    given = {name: values[name] for name in kind.__struct_fields__ if name in values}
    for name in _required(kind) - given.keys():
        given[name] = {} if name == "params" else None
    return Line(values["seq"], kind(**given), _blob(values.get("blob")))


@cache
def _required(kind: type[Event]) -> frozenset[str]:
    """Return the fields that every event of a kind has; msgspec works them out anew at each asking."""
    return frozenset(each.name for each in fields(kind) if each.required)


def _blob(written: Any) -> Blob | None:
    if written is None:
        return None
    at, size, name = written
    return Blob(int(at), int(size), str(name))


def _dump(values: dict[str, Any]) -> str:
    try:
        return _JSON.encode(values)
    except TypeError:  # keys that JSON has no word for
        return _JSON.encode(with_text_keys(values))


def with_text_keys(value: Any) -> Any:
    """Return the value with every key of its mappings as text."""
    if isinstance(value, Mapping):
        return {str(key): with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_text_keys(item) for item in value]
    return value


def _odd(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, datetime | date | clock):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


_JSON = json.JSONEncoder(default=_odd, separators=(",", ":"))  # json.dumps would make one for each event
