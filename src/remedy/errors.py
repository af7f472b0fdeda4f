"""Every error remedy raises on purpose, as one tree.

RemedyError                     exit 1   something in remedy itself is wrong
├── InputError                  exit 5   what the user wrote cannot be run; no host was contacted
│   ├── UndefinedVariable                a template names a variable that does not exist
│   └── VaultError                       a vaulted value cannot be decrypted
├── Refused                     exit 3   a guard, a lock or a missing approval said no before the first write
├── Unreachable                 exit 4   a host could not be worked on; `reason` says why (see REASONS)
│   └── LinkLost                         the link to a host ended in the middle of the work
├── history.HistoryError        exit 4   the history database cannot be reached, read or written
├── lab.LabError                exit 4   the lab cannot run here, or a lab host does not do what it should
├── TaskFailed                  exit 2   a task failed on a host
└── Interrupted                 exit 99  the operator stopped the run

Data stands on the exception, the text is made from it: what, where, what was expected, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from msgspec import Struct

REASONS = {
    "dns": "the name does not resolve",
    "refused": "the port refuses connections",
    "no_route": "no route to the host",
    "timeout": "no answer in time",
    "no_banner": "the port is open, but no SSH server answers",
    "authentication": "no key or password was accepted",
    "host_key": "the host key is unknown or has changed",
    "sudo_password": "the become password is wrong or missing",
    "not_in_sudoers": "the user may not become the wanted user",
    "no_python": "no Python 3.6 or newer on the host",
    "hung_shell": "the login shell does not answer",
    "agent_killed": "the agent was killed on the host",
    "link_lost": "the connection ended in the middle of the work",
    "nonsense": "its agent sent what no agent sends",
    "same_machine": "two names of the inventory are one machine",
    "late": "its diagnose did not end before the others' question for approval",
    "locked": "another run is changing this host",
    "configuration": "the SSH configuration for the host cannot be used",
}
"""Why a host could not be worked on: the machine-readable word, and what it means."""


EXIT_CODES = (1, 5, 99, 3, 4, 2, 11, 10, 0)
"""Of several that apply the first one counts."""


def first_of(*codes: int) -> int:
    """Return the exit code of what has ended with all of these; one that is not known is a fault of remedy's own."""
    return min(codes, key=lambda code: EXIT_CODES.index(code) if code in EXIT_CODES else 0)


class Position(Struct, frozen=True):
    """A place in a file the user wrote; line and column count from 1, 0 where unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)


class RemedyError(Exception):
    """Something went wrong; `message` says what was found, `hint` what was expected and what to do."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        where: Position | None = None,
        hint: str | None = None,
        host: str | None = None,
        task: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.host = host
        self.task = task

    def __str__(self) -> str:
        places = [str(self.where)] if self.where else []
        places += [f"host {self.host}"] if self.host else []
        places += [f"task '{self.task}'"] if self.task else []
        text = f"{', '.join(places)}: {self.message}" if places else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class InputError(RemedyError):
    """What the user wrote cannot be run; nothing was contacted or changed."""

    exit_code = 5


class UndefinedVariable(InputError):
    """A template names a variable that does not exist."""


class VaultError(InputError):
    """A vaulted value cannot be decrypted."""


class Refused(RemedyError):
    """A guard, a lock or a missing approval said no before the first write."""

    exit_code = 3


class Unreachable(RemedyError):
    """A host could not be worked on; `reason` is a key of REASONS."""

    exit_code = 4

    def __init__(self, reason: str, message: str, *, hint: str | None = None, host: str | None = None) -> None:
        super().__init__(message, hint=hint, host=host)
        self.reason = reason


class LinkLost(Unreachable):
    """The link to a host ended in the middle of the work."""


class TaskFailed(RemedyError):
    """A task failed on a host."""

    exit_code = 2


class Interrupted(RemedyError):
    """The operator stopped the run."""

    exit_code = 99


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint such as "did you mean 'copy'?", or what is valid when nothing is near."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid here: {', '.join(names)}" if names else "nothing is valid here"
