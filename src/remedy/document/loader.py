"""From YAML text to nodes with positions, within limits that no honest file reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from remedy.document.broken import explain
from remedy.document.nodes import Map, Seq, Text, Unsafe, VaultText
from remedy.errors import InputError, Position

MAX_CHARACTERS = 32 * 1024 * 1024
MAX_DEPTH = 100
MAX_NODES = 2_000_000
MAX_ALIASED_NODES = 100_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # wheels without libyaml exist
_YAML = "tag:yaml.org,2002:"
_TEXT_TAGS: dict[str, Callable[[str, Position], Any]] = {
    "!vault": VaultText,
    "!vault-encrypted": VaultText,
    "!unsafe": lambda value, position: Unsafe(value),
    _YAML + "str": Text,
    _YAML + "value": Text,
}
_SCALARS = {
    _YAML + "null": "construct_yaml_null",
    _YAML + "bool": "construct_yaml_bool",
    _YAML + "int": "construct_yaml_int",
    _YAML + "float": "construct_yaml_float",
    _YAML + "timestamp": "construct_yaml_timestamp",
    _YAML + "binary": "construct_yaml_binary",
}
_MERGE = _YAML + "merge"
_SUPPORTED = "expected one of !vault, !unsafe, or no tag at all"


def load_yaml(text: str, file: str) -> Any:
    """Return the one document in a YAML 1.1 text, None where it is empty.

    Texts become Text (VaultText and Unsafe by their tags), mappings Map, sequences Seq; plain words become
    numbers, booleans, dates and null as in PyYAML's SafeLoader. `file` is the name that positions and errors
    show. Raises InputError with file, line and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"the file has {len(text)} characters",
            where=Position(file),
            hint=f"expected at most {MAX_CHARACTERS}; split it",
        )
    return _Builder(text, file).document()


class _Builder:
    """Builds the nodes of one document from the parser's events."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._nodes = 0
        self._aliased = 0

    def document(self) -> Any:
        try:
            self._loader = _Loader(self._text)
            try:
                return self._document()
            finally:
                self._loader.dispose()
        except yaml.YAMLError as error:
            raise explain(error, self._text, self._file) from error

    def _document(self) -> Any:
        self._next()  # the start of the stream
        if isinstance(self._next(), StreamEndEvent):
            return None
        value = self._node(self._next(), 0)
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, StreamEndEvent):
            hint = "expected one document a file; remove the '---'"
            raise self._error(event, "a second document begins", hint)
        return value

    def _next(self) -> Any:
        return self._loader.get_event()

    def _node(self, event: Event, depth: int) -> Any:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(event, f"the file has more than {MAX_NODES} values", "split it")
        before, anchor = self._nodes, event.anchor  # type: ignore[attr-defined]  # all but aliases have one
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        else:
            if depth >= MAX_DEPTH:
                hint = "expected a flatter document"
                raise self._error(event, f"nested more than {MAX_DEPTH} levels deep", hint)
            build = self._mapping if isinstance(event, MappingStartEvent) else self._sequence
            value = build(event, depth)
        if anchor is not None:
            self._anchors[anchor] = (value, self._nodes - before + 1)
        return value

    def _alias(self, event: AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            hint = f"expected &{event.anchor} somewhere above"
            raise self._error(event, f"*{event.anchor} names no anchor", hint)
        found = self._anchors[event.anchor]
        if found is None:
            hint = "expected an anchor that is complete"
            raise self._error(event, f"*{event.anchor} stands inside itself", hint)
        value, size = found
        self._nodes += size  # what holds this alias counts its content too, so bombs grow in this number
        self._aliased += size
        if self._aliased > MAX_ALIASED_NODES:
            raise self._error(
                event,
                f"aliases repeat more than {MAX_ALIASED_NODES} values",
                "write the values out, or move them into variables",
            )
        return value

    def _scalar(self, event: ScalarEvent) -> Any:
        tag, value, position = event.tag, event.value, self._at(event)
        if tag is None or tag == "!":
            if not event.implicit[0]:
                return Text(value, position)
            tag = self._loader.resolve(yaml.ScalarNode, value, event.implicit)
        make = _TEXT_TAGS.get(tag)
        if make is not None:
            return make(value, position)
        name = _SCALARS.get(tag)
        if name is None:
            if tag == _MERGE:
                hint = "quote it, or use it as a key to merge mappings"
                raise self._error(event, "'<<' stands as a value", hint)
            raise self._error(event, f"the tag {_short(tag)} is not known", _SUPPORTED)
        try:
            return getattr(self._loader, name)(yaml.ScalarNode(tag, value))
        except (ValueError, KeyError) as error:
            message = f"'{value}' is no {tag.removeprefix(_YAML)}: {error}"
            raise self._error(event, message, "quote it if it is a text") from error

    def _sequence(self, event: Event, depth: int) -> Seq:
        self._no_tag(event, "seq")
        seq = Seq(self._at(event))
        while not isinstance(item := self._next(), SequenceEndEvent):
            seq.items_at.append(self._at(item))
            seq.append(self._node(item, depth + 1))
        return seq

    def _mapping(self, event: Event, depth: int) -> Map:
        self._no_tag(event, "map")
        found, merged = Map(self._at(event)), []
        while not isinstance(at_key := self._next(), MappingEndEvent):
            key = self._key(at_key)
            at_value = self._next()
            position = self._at(at_value)
            value = self._node(at_value, depth + 1)
            if key is None:
                merged += self._mergeable(value, at_value)
            elif key in found:
                hint = f"first on line {found.keys_at[key].line}; keep one"
                raise self._error(at_key, f"the key '{key}' stands twice in one mapping", hint)
            else:
                found[key] = value
                found.keys_at[key] = self._at(at_key)
                found.values_at[key] = position
        for source in merged:  # what the mapping itself says wins, then the first of the merged ones
            for key in source:
                if key not in found:
                    found[key] = source[key]
                    found.keys_at[key] = source.keys_at[key]
                    found.values_at[key] = source.values_at[key]
        return found

    def _key(self, event: Event) -> str | None:
        """Return a key, None for the merge key `<<`."""
        if isinstance(event, CollectionStartEvent):
            hint = 'a value that starts with {{ needs quotes: "{{ name }}"'
            raise self._error(event, "a key is a list or a mapping", hint)
        if isinstance(event, ScalarEvent) and event.tag is None and event.value == "<<" and event.implicit[0]:
            return None
        key = self._node(event, 0)
        if not isinstance(key, Text):
            written = event.value if isinstance(event, ScalarEvent) else key
            raise self._error(event, f"the key {written} is no text", f"quote it: '{written}':")
        return str(key)

    def _mergeable(self, value: Any, event: Event) -> list[Map]:
        sources = value if isinstance(value, Seq) else [value]
        maps = [source for source in sources if isinstance(source, Map)]
        if len(maps) != len(sources):
            raise self._error(event, "'<<' merges mappings only", "expected a mapping, or a list of mappings")
        return maps

    def _no_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _YAML + kind):
            raise self._error(event, f"the tag {_short(event.tag)} does not fit here", _SUPPORTED)

    def _at(self, event: Event) -> Position:
        mark: Any = event.start_mark
        return Position(self._file, mark.line + 1, mark.column + 1)

    def _error(self, event: Event, message: str, hint: str) -> InputError:
        return InputError(message, where=self._at(event), hint=hint)


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_YAML) if tag.startswith(_YAML) else tag
