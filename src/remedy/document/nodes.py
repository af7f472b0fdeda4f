"""What a loaded document is made of: texts, mappings and sequences that know where they stand."""

from __future__ import annotations

from typing import Any

from remedy.errors import Position


class Text(str):
    """A text that the author of a file (or of a command line) wrote: it may be a template."""

    __slots__ = ("position",)
    position: Position | None

    def __new__(cls, value: str, position: Position | None = None) -> Text:
        text = super().__new__(cls, value)
        text.position = position
        return text


class VaultText(str):
    """A `!vault` scalar: the ciphertext as written; the template layer decrypts it when it is used."""

    __slots__ = ("position",)
    position: Position | None

    def __new__(cls, value: str, position: Position | None = None) -> VaultText:
        text = super().__new__(cls, value)
        text.position = position
        return text


class Unsafe(str):
    """A text marked `!unsafe` by its author: never a template."""

    __slots__ = ()


class Map(dict[str, Any]):
    """A mapping that knows where it stands, and where each of its keys and values stands."""

    __slots__ = ("keys_at", "position", "values_at")

    def __init__(self, position: Position | None = None) -> None:
        super().__init__()
        self.position = position
        self.keys_at: dict[str, Position] = {}
        self.values_at: dict[str, Position] = {}


class Seq(list[Any]):
    """A sequence that knows where it and its items stand."""

    __slots__ = ("items_at", "position")

    def __init__(self, position: Position | None = None) -> None:
        super().__init__()
        self.position = position
        self.items_at: list[Position] = []
