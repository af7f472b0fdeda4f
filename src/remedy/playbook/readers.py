"""What a keyword's value may be: each reader takes (value, keyword, position) and returns the checked value.

A text with a template passes where a template is allowed; it is checked again when it is rendered.
"""

from __future__ import annotations

import keyword as python
import re
from collections.abc import Callable, Iterable
from typing import Any

from remedy.document import Map, Seq, Text, VaultText
from remedy.errors import InputError, Position, nearest
from remedy.playbook.model import Condition, Flag, LoopControl, Number

Reader = Callable[[Any, str, Position], Any]

_TRUE = ("yes", "true", "on", "y", "t", "1")
_FALSE = ("no", "false", "off", "n", "f", "0")
_NAME = "letters, digits and _, no digit first, no word of Python's"
_SHOWN = 80  # letters of a value in an error: a file that was named by mistake is not poured out
_PERCENT = re.compile(r"[0-9]+%")


def is_template(value: Any) -> bool:
    """Say whether a value is a text of the author that holds a template."""
    return isinstance(value, Text) and ("{{" in value or "{%" in value or "{#" in value)


def describe(value: Any) -> str:
    """Return what a value is, in words, for error texts."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, VaultText):
        return "a vaulted text"
    text = str(value)
    return f"the text '{text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}'"


def wrong(value: Any, name: str, position: Position, expected: str) -> InputError:
    """Return the error for a value of the wrong type or form."""
    return InputError(f"'{name}' is {describe(value)}", where=position, hint=f"expected {expected}")


def either(words: Iterable[str]) -> str:
    """Return words as a choice: "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def text(value: Any, name: str, position: Position) -> Text:
    """Read a text; a plain number counts as the text it was written as."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise wrong(value, name, position, "a text" if value != "" else "a text that is not empty")
    return value if isinstance(value, Text) else Text(str(value), position)


def delegate(value: Any, name: str, position: Position) -> Text:
    """Read the name of the host that a task runs on instead; an empty one is none, as in Ansible."""
    return Text("", position) if value == "" else text(value, name, position)


def constant(value: Any, name: str, position: Position) -> str:
    """Read a text that must stand as it is, without a template."""
    if is_template(value):
        raise wrong(value, name, position, "a constant: a template cannot be used here")
    return str(text(value, name, position))


def flag(value: Any, name: str, position: Position) -> Flag:
    """Read true or false, or a template that gives one."""
    if isinstance(value, bool) or is_template(value):
        return value  # type: ignore[no-any-return]
    word = str(value).lower()
    if not isinstance(value, str | int) or word not in _TRUE + _FALSE:
        raise wrong(value, name, position, "true or false")
    return word in _TRUE


def plain_flag(value: Any, name: str, position: Position) -> bool:
    """Read true or false that must stand as it is."""
    found = flag(value, name, position)
    if isinstance(found, Text):
        raise wrong(value, name, position, "true or false: a template cannot be used here")
    return found


def number(lowest: int = 0, highest: int | None = None, whole: bool = True) -> Reader:
    """Return a reader of numbers within bounds, or templates."""
    bounds = f"from {lowest} to {highest}" if highest is not None else f"of {lowest} or more"
    expected = f"a {'whole ' if whole else ''}number {bounds}"

    def read(value: Any, name: str, position: Position) -> Number:
        if is_template(value):
            return value  # type: ignore[no-any-return]
        found = value
        if isinstance(value, str):
            try:
                found = int(value) if whole else float(value)
            except ValueError:
                raise wrong(value, name, position, expected) from None
        if isinstance(found, bool) or not isinstance(found, int if whole else int | float):
            raise wrong(value, name, position, expected)
        if not lowest <= found <= (found if highest is None else highest):
            raise wrong(value, name, position, expected)
        return found

    return read


def items(value: Any, position: Position) -> list[tuple[Any, Position]]:
    """Return a list's items with their places; anything else is one item."""
    if isinstance(value, Seq):
        return list(zip(value, value.items_at, strict=True))
    return [(item, position) for item in value] if isinstance(value, list) else [(value, position)]


def texts(value: Any, name: str, position: Position) -> tuple[Text, ...]:
    """Read a text or a list of texts."""
    return tuple(text(item, name, at) for item, at in items(value, position))


def constants(value: Any, name: str, position: Position) -> tuple[str, ...]:
    """Read a text or a list of texts without templates."""
    return tuple(constant(item, name, at) for item, at in items(value, position))


def tags(value: Any, name: str, position: Position) -> tuple[str, ...]:
    """Read tags: names separated by commas, or a list of names."""
    expected = "a name or a list of names, such as [web, nightly]"
    if value is None or not isinstance(value, str | list):
        raise wrong(value, name, position, expected)
    found: list[str] = []
    for item, at in items(value, position):
        if is_template(item):
            raise wrong(item, name, at, "a constant: a template cannot be used here")
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise wrong(item, name, at, expected)
        found += [tag.strip() for tag in str(item).split(",") if tag.strip()]
    return tuple(dict.fromkeys(found))


def conditions(value: Any, name: str, position: Position) -> tuple[Condition, ...]:
    """Read a condition or a list of conditions that must all be true."""
    found: list[Condition] = []
    for item, at in items(value, position):
        if not isinstance(item, bool | Text) or item == "":
            raise wrong(item, name, at, "an expression such as disk.full | length > 0, or true or false")
        found.append(item)
    return tuple(found)


def identifier(value: Any, name: str, position: Position) -> str:
    """Read the name of a variable."""
    if not isinstance(value, str) or not valid_name(value):
        raise wrong(value, name, position, f"the name of a variable: {_NAME}")
    return str(value)


def valid_name(name: str) -> bool:
    """Say whether a variable may be called so."""
    return name.isascii() and name.isidentifier() and not python.iskeyword(name)


def variables(value: Any, name: str, position: Position) -> Map:
    """Read a mapping of variables."""
    if value is None:
        return Map(position)
    if not isinstance(value, Map):
        raise wrong(value, name, position, "a mapping of variables, such as {disk_limit: 85%}")
    for variable in value:
        if not valid_name(variable):
            raise InputError(
                f"'{variable}' cannot name a variable",
                where=value.keys_at.get(variable, position),
                hint=f"expected {_NAME}",
            )
    return value


def variable_files(value: Any, name: str, position: Position) -> tuple[Any, ...]:
    """Read vars_files: each item a file, or a list of which the first that exists is taken."""
    if value is None:
        return ()
    return tuple(
        texts(item, name, at) if isinstance(item, list) else text(item, name, at)
        for item, at in items(value, position)
    )


def environment(value: Any, name: str, position: Position) -> Map | Seq | Text | None:
    """Read environment variables: a mapping, a template, or a list of these."""
    for item, at in items(value, position):
        if item is not None and not isinstance(item, Map) and not is_template(item):
            raise wrong(item, name, at, "a mapping of environment variables, such as {LANG: C.UTF-8}")
    return value  # type: ignore[no-any-return]


def choice(*allowed: str, templates: bool = False, others: tuple[str, ...] = ()) -> Reader:
    """Return a reader of one word of several; `others` are Ansible's that remedy does not have yet."""

    def read(value: Any, name: str, position: Position) -> Text:
        if templates and is_template(value):
            return value  # type: ignore[no-any-return]
        if isinstance(value, str) and value in others:
            hint = f"expected {either(allowed)}"
            raise InputError(f"'{name}: {value}' is not supported yet", where=position, hint=hint)
        if not isinstance(value, str) or value not in allowed:
            raise wrong(value, name, position, either(allowed))
        return value if isinstance(value, Text) else Text(value, position)

    return read


def serial(value: Any, name: str, position: Position) -> tuple[int | Text, ...]:
    """Read batch sizes: numbers of hosts, percentages, or a list of them."""
    found: list[int | Text] = []
    for item, at in items(value, position):
        whole = int(item) if isinstance(item, str) and item.isascii() and item.isdecimal() else item
        if isinstance(whole, int) and not isinstance(whole, bool) and whole > 0:
            found.append(whole)
        elif is_template(item) or (
            isinstance(item, Text) and _PERCENT.fullmatch(item) and int(item[:-1]) > 0
        ):
            found.append(item)
        else:
            raise wrong(item, name, at, "a number of hosts (5), a percentage (30%), or a list of these")
    return tuple(found)


def loop(value: Any, name: str, position: Position) -> Seq | Text:
    """Read what a task loops over: a list, or a template that gives one."""
    if isinstance(value, Seq) or is_template(value):
        return value  # type: ignore[no-any-return]
    raise wrong(value, name, position, "a list, or a template that gives one")


_LOOP_CONTROL: dict[str, Reader] = {
    "loop_var": identifier,
    "index_var": identifier,
    "label": lambda value, name, position: text(value, name, position),
    "pause": number(whole=False),
    "extended": plain_flag,
    "extended_allitems": plain_flag,
    "break_when": conditions,
}


def loop_control(value: Any, name: str, position: Position) -> LoopControl:
    """Read how a loop names its item and shows it."""
    if not isinstance(value, Map):
        raise wrong(value, name, position, "a mapping, such as {loop_var: disk}")
    return LoopControl(**read_mapping(value, name, _LOOP_CONTROL))


def read_mapping(value: Map, name: str, readers: dict[str, Reader]) -> dict[str, Any]:
    """Read a mapping whose keys are known; an unknown one is an error that names the nearest."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key not in readers:
            raise InputError(
                f"'{name}' has no '{key}'", where=value.keys_at.get(key), hint=nearest(key, readers)
            )
        found[key] = readers[key](item, key, value.values_at.get(key) or value.keys_at[key])
    return found


def hosts(value: Any, name: str, position: Position) -> Text:
    """Read a pattern of hosts; a list of patterns is joined by commas."""
    if value is None or value == []:
        raise wrong(value or None, name, position, "a pattern of hosts, such as all or web:!web3")
    parts = texts(value, name, position)
    return parts[0] if len(parts) == 1 else Text(",".join(parts), position)
