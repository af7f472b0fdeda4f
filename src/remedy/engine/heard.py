"""What a host says is looked at before anything rests on it: an agent that lies harms its own host's run alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from remedy.engine.flight import CHANGED, FAILED, OK, SKIPPED, UNKNOWN
from remedy.errors import REASONS, Unreachable

_DEEPEST = 100  # levels of a message; what masks, stores and prints it goes down as far
_CHATTER = 1000  # messages of a batch that answer nothing, and so many more for each of its steps
_ASIDE = 8 << 20  # bytes that a host may say beside intents and results: each is printed and stored
_KEPT = 128 << 20  # bytes of a host that the journal takes; the agent itself stops at half of it
_LARGEST = 1 << 62
_STATUSES = (OK, CHANGED, FAILED, SKIPPED, UNKNOWN)


class Ear:
    """Hears one host for the length of a run."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._kept = 0
        self._aside = 0

    def listen(self, sent: Collection[str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """Return what checks each message of a batch of these steps, and returns it; it raises Unreachable."""
        waiting = set(sent)
        left = _CHATTER * (len(waiting) + 1)

        def heard(message: Mapping[str, Any]) -> dict[str, Any]:
            nonlocal left
            kind = message.get("t")
            if not isinstance(kind, str) or _depth_exceeds(message, _DEEPEST):
                raise self._nonsense("a message without a kind, or nested too deeply")
            if wrong := _wrong(kind, message):
                raise self._nonsense(f"'{kind}' with a wrong {wrong}")
            if kind in ("intent", "result") and message["step"] not in waiting:
                raise self._nonsense(f"'{kind}' of a step that it was not given, or that has ended")
            if kind == "result":
                waiting.discard(message["step"])
                return dict(message)
            if kind == "intent":
                self._kept += _weight(message.get("kept"))
            else:
                self._aside += _weight(message)
            left -= 1
            if left < 0 or self._kept > _KEPT or self._aside > _ASIDE:
                raise self._nonsense("messages without end")
            return dict(message)

        return heard

    def _nonsense(self, what: str) -> Unreachable:
        return Unreachable(
            "nonsense",
            f"the agent sent {what}",
            hint="is this the host you think it is? Look at it by other means before you work on it again",
            host=self._host,
        )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _maybe_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and -_LARGEST < value < _LARGEST)


def _mapping(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _items(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and all(
            isinstance(each, dict)
            and "item" in each
            and _number(each.get("size"))
            and _number(each.get("count"))
            and _maybe_text(each.get("noun"))
            for each in value
        )
    )


def _kept_items(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and all(isinstance(each, dict) and {"item", "reason"} <= each.keys() for each in value)
    )


def _diff(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return all(
        part is None
        or (isinstance(part, dict) and _text(part.get("after_source", "")) and _text(part.get("note", "")))
        for part in parts
    )


def _change(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and not _first(_CHANGE, value))


_CHANGE: dict[str, Callable[[Any], bool]] = {
    "id": _maybe_text,
    "kind": _maybe_text,
    "object": _maybe_text,
    "happened": _maybe_text,
    "irreversible": _maybe_text,
    "means": _maybe_text,
    "diff": _diff,
    "items": _items,
    "bytes_freed": _number,
}

_SHAPES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "hello": {
        "clock": _number,
        "machine_id": _maybe_text,
        "boot_id": _maybe_text,
        "pid_ns": lambda value: _maybe_text(value) or _number(value),
        "lock": _mapping,
    },
    "intent": {
        **_CHANGE,
        "step": _text,
        "change": _text,
        "needs": _texts,
        "kept": _mapping,
    },
    "need": {"source": _text},
    "result": {
        "step": _text,
        "status": lambda value: value in _STATUSES,
        "reason": _maybe_text,
        "result": _mapping,
        "kept": _kept_items,
        "seconds": _number,
        "change": _change,
    },
    "identity_failed": {"reason": lambda value: _text(value) and value in REASONS, "message": _text},
    "warn": {"text": _text},
}


def _wrong(kind: str, message: Mapping[str, Any]) -> str | None:
    return _first(_SHAPES.get(kind, {}), message)


def _first(shape: Mapping[str, Callable[[Any], bool]], message: Mapping[str, Any]) -> str | None:
    """Return the first field that is not as it should be."""
    return next((name for name, right in shape.items() if not right(message.get(name))), None)


def _depth_exceeds(message: Mapping[str, Any], most: int) -> bool:
    level: list[Any] = [message]
    for _ in range(most):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return False
    return True


_CONTAINERS = (dict, list)  # what JSON is made of: no subclasses


def _weight(value: Any) -> int:
    """Return about how many bytes a value takes."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + _weight(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(_weight, value))
    return 8
