"""Connection variables as typed values: each reader takes the first name that is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remedy.errors import InputError

_TRUE = ("true", "yes", "on", "1", "y", "t")
_FALSE = ("false", "no", "off", "0", "n", "f")


class Variables:
    """The connection variables of one host; a value that does not fit raises InputError and is named."""

    def __init__(self, host: str, values: Mapping[str, Any]) -> None:
        self.host = host
        self._values = values

    def text(self, *names: str) -> str | None:
        """Return a text of one line, None where unset or empty."""
        name, value = self._first(names)
        if value is None or value == "":
            return None
        if isinstance(value, bool | dict | list | tuple) or "\n" in str(value) or "\0" in str(value):
            raise self._wrong(name, value, "a text of one line")
        return str(value)

    def secret(self, *names: str) -> str | None:
        """Return a password, None where unset; the value stays out of error messages."""
        name, value = self._first(names)
        if value is None:
            return None
        if isinstance(value, bool | dict | list | tuple) or "\n" in str(value):
            raise InputError(f"{name} is no password", hint="expected: a text of one line", host=self.host)
        return str(value)

    def integer(self, *names: str, low: int, high: int) -> int | None:
        """Return a whole number from `low` to `high`."""
        name, value = self._first(names)
        if value is None or value == "":
            return None
        try:
            number = int(str(value))
        except ValueError:
            number = low - 1
        if isinstance(value, bool) or not low <= number <= high:
            raise self._wrong(name, value, f"a number from {low} to {high}")
        return number

    def number(self, *names: str) -> float | None:
        """Return a number above zero."""
        name, value = self._first(names)
        if value is None or value == "":
            return None
        try:
            number = float(str(value))
        except ValueError:
            number = 0.0
        if isinstance(value, bool) or not 0 < number < 86400:
            raise self._wrong(name, value, "seconds, above 0 and below a day")
        return number

    def flag(self, *names: str) -> bool | None:
        """Return true or false, also from the words YAML 1.1 knows."""
        name, value = self._first(names)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise self._wrong(name, value, "true or false")

    def _first(self, names: tuple[str, ...]) -> tuple[str, Any]:
        for name in names:
            if self._values.get(name) is not None:
                return name, self._values[name]
        return names[0], None

    def _wrong(self, name: str, value: Any, expected: str) -> InputError:
        return InputError(f"{name} is {value!r}", hint=f"expected: {expected}", host=self.host)
