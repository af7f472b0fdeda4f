"""What stops a render that is no error: a value that is still on its way, or that cannot be known.

Both are BaseException, so that no filter's `except Exception` swallows them.
"""

from __future__ import annotations

from msgspec import Struct


class Pending(BaseException):
    """A template touched `name`, whose value is still on its way."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class UnknownValue(BaseException):
    """A template touched `name`, whose value check mode cannot know; `reason` says why."""

    def __init__(self, reason: str, name: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.name = name


class Unknowable(Struct, frozen=True):
    """Stands for a variable's value that check mode cannot know, with the reason."""

    reason: str


class Omit:
    """The type of OMIT, which takes the argument it is given to out of its mapping or list."""

    _only: Omit | None = None

    def __new__(cls) -> Omit:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "omit"


OMIT = Omit()
