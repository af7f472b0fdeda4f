"""Lists of tasks: tasks, blocks, and the files that include_tasks and import_tasks bring."""

from __future__ import annotations

from typing import Any

from remedy.document import Map, Seq, Text
from remedy.errors import InputError, Position
from remedy.playbook import keywords, readers
from remedy.playbook.keywords import APPLY, BLOCK, IMPORT, INCLUDE, place
from remedy.playbook.model import Block, Common, Include, Node
from remedy.playbook.reading import Reading
from remedy.playbook.tasks import common, read_task


def read_nodes(value: Any, name: str, position: Position, reading: Reading) -> tuple[Node, ...]:
    """Read a list of tasks; an empty value is an empty list."""
    if value is None:
        return ()
    if not isinstance(value, Seq):
        raise readers.wrong(value, name, position, "a list of tasks, each beginning with '- '")
    return tuple(_read_node(item, at, reading) for item, at in readers.items(value, position))


def read_file(reading: Reading) -> tuple[Node, ...]:
    """Read the tasks file at which the reading stands."""
    return read_nodes(reading.document(), reading.file.name, Position(str(reading.file), 1, 1), reading)


def _read_node(node: Any, position: Position, reading: Reading) -> Node:
    if not isinstance(node, Map):
        raise InputError(
            f"a task is {readers.describe(node)}",
            where=position,
            hint="expected a mapping: a module and keywords, such as '- stat: {path: /etc/hosts}'",
        )
    for word in node:
        if word in ("block", "rescue", "always"):
            return _read_block(node, position, reading)
        if keywords.short(word) == INCLUDE:
            return _read_include(node, word, position, reading)
        if keywords.short(word) == IMPORT:
            return _read_import(node, word, position, reading)
    return read_task(node, position, reading)


def _read_block(node: Map, position: Position, reading: Reading) -> Block:
    if reading.section == "handlers":
        raise InputError(
            "a block cannot be a handler", where=position, hint="write its tasks as handlers that 'listen'"
        )
    if "block" not in node:
        word = "rescue" if "rescue" in node else "always"
        raise InputError(
            f"'{word}' without a 'block'",
            where=node.keys_at.get(word, position),
            hint="expected 'block:' beside it",
        )
    values = common(keywords.read(node, BLOCK), reading)
    for part in node:
        if part in ("block", "rescue", "always"):
            values[part] = read_nodes(node[part], part, place(node, part), reading)
    if not values["block"]:
        raise InputError(
            "'block' is empty", where=node.keys_at.get("block", position), hint="expected a list of tasks"
        )
    return Block(position=position, **values)


def _read_include(node: Map, word: str, position: Position, reading: Reading) -> Include:
    file, options = _target(node, word)
    values = common(keywords.read(node, INCLUDE, skip=(word,)), reading)
    if "apply" in options:
        values["apply"] = _read_apply(options["apply"], place(options, "apply"), reading)
    if not readers.is_template(file):
        # Read ahead: what is wrong in the file is better known before the first host is contacted.
        inside = reading.included(file, file.position or position)
        if inside is not None:
            read_file(inside)
    return Include(position=position, file=file, **values)


def _read_import(node: Map, word: str, position: Position, reading: Reading) -> Block:
    file, options = _target(node, word)
    at = file.position or position
    if "apply" in options:
        raise InputError(
            "'apply' cannot stand in import_tasks",
            where=options.keys_at.get("apply"),
            hint="use include_tasks",
        )
    if readers.is_template(file):
        hint = "an import is read before there are variables: use include_tasks"
        raise InputError(f"import_tasks of the template '{file}'", where=at, hint=hint)
    values = common(keywords.read(node, IMPORT, skip=(word,)), reading)
    if reading.section == "handlers" and set(values) - {"name"}:
        word = next(key for key in values if key != "name")
        raise InputError(
            f"'{word}' cannot stand in import_tasks among the handlers",
            where=node.keys_at.get(word, position),
            hint="write it on each of the imported handlers",
        )
    return Block(position=position, block=read_file(reading.imported(file, at)), **values)


def _target(node: Map, word: str) -> tuple[Text, Map]:
    """Return the file that an include or import names, and its options."""
    value = node[word]
    options = Map(node.position)
    for part, name in ((node.get("args"), "args"), (value if not isinstance(value, str) else None, word)):
        if part is None:
            continue
        if not isinstance(part, Map):
            raise readers.wrong(
                part, name, place(node, name), "the name of a tasks file, or {file: ..., apply: ...}"
            )
        readers.read_mapping(part, name, {"file": readers.text, "apply": lambda *_: None})
        options.update(part)
        options.keys_at.update(part.keys_at)
        options.values_at.update(part.values_at)
    file = value if isinstance(value, str) else options.get("file")
    at = place(node, word) if isinstance(value, str) else place(options, "file")
    return readers.text(file, word, at), options


def _read_apply(value: Any, position: Position, reading: Reading) -> Common:
    if not isinstance(value, Map):
        raise readers.wrong(value, "apply", position, "a mapping of keywords, such as {tags: [logs]}")
    return Common(position=position, **common(keywords.read(value, APPLY), reading))
