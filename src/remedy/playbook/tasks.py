"""One task: a module, its arguments, and the keywords around them."""

from __future__ import annotations

from typing import Any

from remedy import modules
from remedy.document import Map, Text
from remedy.errors import InputError, Position
from remedy.modules import ModuleSpec
from remedy.playbook import keywords, readers
from remedy.playbook.guard import refuse_in_diagnose
from remedy.playbook.keywords import HANDLER, TASK, place
from remedy.playbook.model import Become, Task
from remedy.playbook.reading import Reading

_CONDITIONS = ("when", "changed_when", "failed_when", "until")
_BECOME = {
    "become": "become",
    "become_user": "user",
    "become_method": "method",
    "become_flags": "flags",
    "become_exe": "exe",
}


def read_task(node: Map, position: Position, reading: Reading) -> Task:
    """Read a task or, in the handlers section, a handler."""
    owner = HANDLER if reading.section == "handlers" else TASK
    word, spec = _module(node, position, owner)
    args = _arguments(node, word, spec, place(node, word))
    params = modules.check(spec, args, place(node, word), templates_allowed=True)
    if reading.section.startswith("diagnose"):  # the engine's last one is "diagnose again"
        refuse_in_diagnose(spec, params, node.keys_at.get(word, position))
    values = common(keywords.read(node, owner, skip=(word, "action", "args")), reading)
    reading.notified.extend(values.get("notify", ()))
    if owner == HANDLER and not values.get("name") and not values.get("listen"):
        reading.warn("a handler without a name or 'listen' never runs", position)
    return Task(position=position, module=spec.name, spec=spec, args=args, **values)


def common(values: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """Return keyword values as the model's fields, become_* gathered; warn of delimiters in conditions."""
    for name in _CONDITIONS:
        for condition in values.get(name, ()):
            if readers.is_template(condition):
                reading.warn(
                    f"'{name}' is an expression already: write it without {{{{ }}}} or {{% %}}",
                    condition.position,
                )
    become = {field: values.pop(word) for word, field in _BECOME.items() if word in values}
    values.pop("collections", None)
    return {**values, "become": Become(**become)} if become else values


def _module(node: Map, position: Position, owner: str) -> tuple[str, ModuleSpec]:
    """Return the key that names the module, and the module."""
    found: list[tuple[str, ModuleSpec]] = []
    for word in node:
        at = node.keys_at.get(word, position)
        keyword = keywords.known(word, owner, at)
        if word == "action":
            found.append((word, modules.find(_action_module(node, at), place(node, word))))
        elif keyword is None:
            found.append((word, _find(word, owner, at)))
        if len(found) > 1:
            (first, _), (second, _) = found
            raise InputError(
                f"two modules in one task: '{first}' and '{second}'", where=at, hint="make two tasks of them"
            )
    if not found:
        raise InputError(
            "a task without a module", where=position, hint="expected a module, such as 'stat: {path: /etc}'"
        )
    return found[0]


def _find(word: str, owner: str, at: Position) -> ModuleSpec:
    try:
        return modules.find(word, at)
    except InputError as error:
        if error.message == f"no module '{word}'":
            raise keywords.unknown(word, owner, at) from None
        raise


def _action_module(node: Map, at: Position) -> str:
    value = node["action"]
    name = (
        value.get("module") if isinstance(value, Map) else str(value).split(maxsplit=1)[0] if value else None
    )
    if not isinstance(name, str) or readers.is_template(name):
        raise InputError(
            "'action' names no module", where=at, hint="expected 'action: MODULE name=value' or {module: ...}"
        )
    return name


def _arguments(node: Map, word: str, spec: ModuleSpec, at: Position) -> Map:
    """Return the arguments as written: those of `args`, then those of the module itself."""
    value = node[word]
    if word == "action":
        value = _without_module(value, at)
    if isinstance(value, str):
        own = modules.parse_free_form(spec, value, at)
    elif isinstance(value, Map):
        own = value
    elif value is None:
        own = Map(at)
    else:
        raise readers.wrong(
            value, word, at, "parameters: a mapping such as {path: /etc/hosts}, or name=value"
        )
    extra = node.get("args")
    if extra is None:
        return own
    if not isinstance(extra, Map):
        raise readers.wrong(extra, "args", place(node, "args"), "a mapping of parameters")
    merged = Map(own.position or at)
    for part in (extra, own):
        merged.update(part)
        merged.keys_at.update(part.keys_at)
        merged.values_at.update(part.values_at)
    return merged


def _without_module(value: Any, at: Position) -> Any:
    if not isinstance(value, Map):
        rest = str(value).split(maxsplit=1)[1:]
        return Text(rest[0], at) if rest else None
    rest_of = Map(value.position)
    rest_of.update({name: item for name, item in value.items() if name != "module"})
    rest_of.keys_at.update(value.keys_at)
    rest_of.values_at.update(value.values_at)
    return rest_of
