"""Why no agent started: what the shell, sudo and Python said, as a reason and a text for the operator."""

from __future__ import annotations

from msgspec import Struct

from remedy.agent import stage
from remedy.errors import Unreachable
from remedy.transport.connection import Connection
from remedy.transport.identity import Identity
from remedy.transport.streams import Ending

_SHOWN = 400  # characters of the host's own words in a message

# sudo's, su's and doas's words with LC_ALL=C: sudo 1.8 and 1.9 (plugins/sudoers), util-linux, shadow, opendoas
_TERMINAL = ("must have a tty", "no tty present", "requires a tty")
_PASSWORD = (
    "a password is required",
    "a terminal is required to read the password",
    stage.NEEDS_PASSWORD,
    "Authentication required",
    "Authorization required",
    "Authentication failure",
)
_FORBIDDEN = (
    "is not in the sudoers file",
    "is not allowed to",
    "may not run sudo",
    "unknown user",
    "user does not exist",
    "does not exist or the user entry",
    "Operation not permitted",
    "must be owned by uid 0",
    "unable to initialize policy plugin",
)
_ABSENT = ("not found", "No such file or directory")
_NO_SHELL = ("currently not available", "nologin", "no login", "account has expired", "password has expired")


class Attempt(Struct, frozen=True):
    """What is known of a start that failed: as whom, what came instead of the agent, how it ended."""

    connection: Connection
    identity: Identity | None
    nonce: str
    printed: str
    errors: str
    ending: Ending
    seconds: float
    timed_out: bool = False

    @property
    def said(self) -> str:
        """Return all that the host said, standard error last."""
        return "\n".join(text for text in (self.printed.strip(), self.errors.strip()) if text)


def wants_terminal(attempt: Attempt) -> bool:
    """Return whether sudo refused only because it has no terminal (requiretty)."""
    return attempt.identity is not None and any(word in attempt.said for word in _TERMINAL)


def explain(attempt: Attempt) -> Unreachable:
    """Return the error for a start that failed."""
    reason, message, hint = _explain(attempt)
    return Unreachable(reason, message, hint=hint, host=attempt.connection.target.name)


def become(connection: Connection, identity: Identity, said: str, status: int | None) -> Unreachable | None:
    """Return the error for a refusal by sudo, su or doas; None where it was not they who refused."""
    attempt = Attempt(connection, identity, "", said, "", Ending(status), 0.0)
    found = _become(attempt, identity, f"{connection.user} at {connection.address}", f": {_shortened(said)}")
    return Unreachable(found[0], found[1], hint=found[2], host=connection.target.name) if found else None


def _explain(attempt: Attempt) -> tuple[str, str, str]:
    connection = attempt.connection
    who = f"{connection.user} at {connection.address}"
    words = f": {_shortened(attempt.said)}" if attempt.said else ""
    if attempt.timed_out:
        came = f"only printed{words}" if words else "printed nothing"
        return (
            "hung_shell",
            f"the login shell of {who} {came}, and started no agent within {attempt.seconds:g} s",
            "log in by hand: a hung mount in $HOME or in PATH, a .bashrc that waits, a host out of memory do this; "
            "a slow host may need -T SECONDS",
        )
    if f"{stage.NO_PYTHON} {attempt.nonce}" in attempt.said:
        tried = connection.target.python or "python3"
        return (
            "no_python",
            f"no Python 3.6 or newer that can import json on {connection.address} (tried {tried} and the usual names)",
            "install python3, or set ansible_python_interpreter; 'raw' works without Python",
        )
    if attempt.identity is not None and (found := _become(attempt, attempt.identity, who, words)):
        return found
    if not attempt.ending.alive:
        why = _shortened(str(attempt.ending.error or ""))
        return (
            "link_lost",
            f"the connection to {connection.address} ended while the agent started{f' ({why})' if why else ''}{words}",
            "try again",
        )
    if any(word in attempt.said for word in _NO_SHELL):
        return (
            "hung_shell",
            f"{who} has no usable login shell{words}",
            "give the user a shell (chsh -s /bin/sh USER), or set another ansible_user",
        )
    if attempt.ending.killed:
        return (
            "agent_killed",
            f"the agent of {who} was killed while it started{words}",
            "is the host out of memory? dmesg",
        )
    if attempt.ending.status is None:
        return (
            "hung_shell",
            f"the login shell of {who} prints without end, and starts no agent{words}",
            "log in by hand: what do .bashrc, .profile or a forced command run?",
        )
    return (
        "hung_shell",
        f"the login shell of {who} ended with exit status {attempt.ending.status} and started no agent{words}",
        "what does 'ssh HOST true' say? a .bashrc that reads its input or exits does this, and a forced command too",
    )


def _become(attempt: Attempt, identity: Identity, who: str, words: str) -> tuple[str, str, str] | None:
    """Explain a refusal by sudo, su or doas; None where it was not they who refused."""
    method, user = identity.method, identity.user
    if any(word in attempt.said for word in _PASSWORD):
        return (
            "sudo_password",
            f"{method} wants a password for {who} to become {user}, and none was given{words}",
            f"give it with -K or ansible_become_password, or allow it without (NOPASSWD for {user})",
        )
    if any(word in attempt.said for word in _TERMINAL):
        return (
            "sudo_password",
            f"{method} wants a terminal for {who} to become {user}{words}",
            "remove requiretty from sudoers for this user",
        )
    if any(word in attempt.said for word in _FORBIDDEN):
        return (
            "not_in_sudoers",
            f"{who} may not become {user} by {method}{words}",
            f"allow it in {'doas.conf' if method == 'doas' else 'sudoers'}, or set another ansible_become_user",
        )
    program = identity.exe or method
    if (
        attempt.ending.status in (126, 127)
        and program in attempt.said
        and any(word in attempt.said for word in _ABSENT)
    ):
        return (
            "not_in_sudoers",
            f"there is no {program} on {attempt.connection.address}{words}",
            "install it, or choose another ansible_become_method (sudo, su, doas)",
        )
    return None


def _shortened(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"
