"""What a template holds in place of a value that does not exist, or that could not be made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined
from jinja2.utils import missing as not_given

from remedy.errors import InputError, UndefinedVariable, nearest


class Missing(StrictUndefined):
    """Undefined: `default` and `is defined` see it, its attributes are missing too; all else fails."""

    __slots__ = ()

    @classmethod
    def because(cls, error: UndefinedVariable) -> Missing:
        """Return the value of a variable whose own template names something undefined."""
        return cls(exc=lambda message: error)  # type: ignore[arg-type]  # it is called, never caught by its type

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return str(self._undefined_hint)
        if self._undefined_obj is not_given or not isinstance(self._undefined_name, str):
            return str(super()._undefined_message)
        held, name = self._undefined_obj, self._undefined_name
        if isinstance(held, Mapping):
            return f"the mapping has no key '{name}'; {nearest(name, [str(key) for key in held])}"
        kind = {list: "a list", str: "a text", type(None): "nothing (null)"}.get(
            type(held), type(held).__name__
        )
        return f"{kind} has no attribute '{name}'"


class Broken(Missing):
    """A value whose making failed; unlike one that does not exist, `default` cannot stand in for it."""

    __slots__ = ()

    @classmethod
    def by(cls, error: InputError) -> Broken:
        """Return the value of a variable whose template failed."""
        return cls(exc=lambda message: error)  # type: ignore[arg-type]  # it is called, never caught by its type

    def reveal(self) -> None:
        """Raise the error."""
        self._fail_with_undefined_error()
