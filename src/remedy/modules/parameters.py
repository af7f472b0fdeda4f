"""From what the user wrote to a module's parameters: names, aliases, defaults, types, choices."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from remedy.agent.kinds import Param
from remedy.document import Map, Text, VaultText
from remedy.errors import InputError, Position, nearest
from remedy.modules.registry import ModuleSpec
from remedy.modules.values import TYPES

_SHOWN = 60


def check(
    spec: ModuleSpec, args: Mapping[str, Any], position: Position | None, *, templates_allowed: bool
) -> Map:
    """Return a task's complete parameters: canonical names, defaults, values converted to their types.

    With `templates_allowed` a value that is still a template is kept as it is, and what rests on it is checked
    when the rendered parameters come here again. `args` may be a Map, which knows where each name stands. Raises
    InputError with the nearest valid name.
    """
    known = by_name(spec)
    checked = Map(position)
    open_ends = False
    for written, value in args.items():
        at = _at(args, written, position)
        param = known.get(written)
        if param is None and not spec.any_params:
            raise InputError(
                f"'{written}' is not a parameter of '{spec.name}'", where=at, hint=nearest(written, known)
            )
        name = written if param is None else param.name
        if name in checked:
            raise InputError(f"'{name}' of '{spec.name}' is given twice, once as '{written}'", where=at)
        if templates_allowed and has_template(value):
            open_ends = True
        elif param is not None:
            value = _convert(spec, param, value, _value_at(args, written, at))
        checked[name] = value
        if at is not None:
            checked.keys_at[name] = at
            checked.values_at[name] = _value_at(args, written, at) or at
    return _complete(spec, checked, position, whole=not open_ends)


def has_template(value: Any) -> bool:
    """Say whether a value the author wrote must still be rendered or decrypted."""
    if isinstance(value, VaultText):
        return True
    if isinstance(value, Text):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(has_template(key) or has_template(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(has_template(item) for item in value)


@cache
def by_name(spec: ModuleSpec) -> dict[str, Param]:
    """Return a module's parameters by each of their names."""
    return {name: param for param in spec.params for name in (param.name, *param.aliases)}


@cache
def defaults(spec: ModuleSpec) -> tuple[tuple[Param, Any], ...]:
    """Return each parameter with its default as a value of its type."""
    return tuple((each, None if each.required else _convert(spec, each, each.default, None)) for each in spec.params)


def _complete(spec: ModuleSpec, checked: Map, position: Position | None, *, whole: bool) -> Map:
    for param, default in defaults(spec):
        if checked.get(param.name) is None:
            if param.required:
                raise InputError(
                    f"'{spec.name}' needs the parameter '{param.name}'",
                    where=position,
                    hint=param.help or None,
                )
            checked[param.name] = deepcopy(default) if isinstance(default, list | dict) else default
    rule = getattr(spec.loaded, "check_params", None)
    broken = rule(checked) if rule is not None and whole else None
    if broken:
        raise InputError(f"'{spec.name}': {broken}", where=position)
    return checked


def _convert(spec: ModuleSpec, param: Param, value: Any, at: Position | None) -> Any:
    if value is None:
        return None
    try:
        converted = TYPES[param.type](value)
        if param.type == "list" and param.elements:
            converted = [TYPES[param.elements](item) for item in converted]
    except ValueError as error:
        raise InputError(
            f"'{param.name}' of '{spec.name}' is {_show(param, value)}",
            where=at,
            hint=f"it must be {error}",
        ) from None
    for item in converted if isinstance(converted, list) else [converted]:
        if param.choices and item not in param.choices:
            choices = [str(choice) for choice in param.choices]
            raise InputError(
                f"'{param.name}' of '{spec.name}' cannot be {_show(param, item)}",
                where=at,
                hint=f"it must be one of {', '.join(choices)}",
            )
    return converted


def _show(param: Param, value: Any) -> str:
    if param.secret:
        return "not what it should be"
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _at(args: Mapping[str, Any], name: str, otherwise: Position | None) -> Position | None:
    return args.keys_at.get(name, otherwise) if isinstance(args, Map) else otherwise


def _value_at(args: Mapping[str, Any], name: str, otherwise: Position | None) -> Position | None:
    return args.values_at.get(name, otherwise) if isinstance(args, Map) else otherwise
