"""What a controller module sees of the host it works for; the engine gives it as `self.host`."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol, TypeVar

from remedy.agent.kinds import Failed
from remedy.transport.line import Line
from remedy.transport.reach import Address
from remedy.transport.tunnel import TcpTunnel, Tunnel

_ASKED = 80  # letters of a statement in one line
_SECRETIVE = re.compile(r"['\"$]")  # what may begin a text: where it ends hangs on the server's settings


class NotLetIn(Failed):
    """A server has refused a login: no step of the run tries it again, for that would lock the account.

    `wholly`: the password or the account is wrong; else another user of the host may get in, or to another database.
    """

    def __init__(self, message: str, *, wholly: bool, **result: Any) -> None:
        said = f"{message}; one attempt was made, and this run makes no other"
        super().__init__(said, None, **result)  # type: ignore[no-untyped-call]  # the agent speaks Python 3.6
        self.wholly = wholly

    def again(self) -> Failed:
        """Return it anew, for the next step that comes with the login."""
        return Failed(self.message, self.cause, **self.result)


class Held(Protocol):
    """A session that may outlive a step: whether it can still be used, and its end."""

    @property
    def alive(self) -> bool:
        """Say whether it can be used, without asking the service."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


T = TypeVar("T", bound=Held)


def not_known(asked: str) -> str:
    """Return what to say of a statement or a command whose answer never came."""
    return f"whether it took effect is not known: {shortly(asked)}"


def shortly(asked: str) -> str:
    """Return a statement in one line; a long one ends before its first text, half of which nobody would mask."""
    text = " ".join(asked.split())
    if len(text) <= _ASKED:
        return text
    return f"{_SECRETIVE.split(text[: _ASKED - 1], maxsplit=1)[0]}…"


class Site(Protocol):
    """A host of the inventory, seen from the control machine; everything on it is done by its own agent or a line.

    `name` is the inventory's, `address` where it is reached, `user` who the task's steps run as there; `yes`: the
    operator has said --yes, which what nobody can bring back may ask for beside an approval; `unattended`: a schedule
    plays, and what is marked ! is foreseen so that its permission refuses it.
    """

    name: str
    address: str
    user: str
    check: bool
    yes: bool
    unattended: bool
    clock_skew: float | None

    def reach(self, addresses: Sequence[Address]) -> Line:
        """Return a line to the first address of a service that answers; raises Failed where none does."""
        ...

    def tunnel(self, addresses: Sequence[Address], name: str, root_as: Sequence[str] = ()) -> Tunnel:
        """Return a private Unix socket of this machine, called `name`, that leads to the service.

        For clients that want a path to connect to. It ends with the step, or with what `held` keeps. Where the step
        runs as root, a socket of the host is gone to as the first of the users `root_as` that it has.
        """
        ...

    def port(self, host: str, port: int) -> TcpTunnel:
        """Return a port of 127.0.0.1 that leads to a TCP port as seen from the host, for clients that want TLS.

        It ends as a tunnel does. A TCP port alone: a socket would trust whoever connects.
        """
        ...

    def held(self, key: Hashable, open: Callable[[], T]) -> T:
        """Return the session that this run keeps on the host under `key`, opened by `open` where there is none.

        It stays open from step to step until the run ends; one that is not `alive` any more is opened anew.
        """
        ...

    def attempt(self, login: Hashable, circumstances: Hashable = None) -> AbstractContextManager[None]:
        """Log in to a service of the host within it, which raises NotLetIn where the service refuses the login.

        Where it has done so before in this run it is raised at once, and two never try the same at a time. `login` is
        who wants to get in where; `circumstances` what a refusal may hang on beside it and the step's user.
        """
        ...

    def mended(self) -> None:
        """Accounts of the host's services were changed: logins that were refused may be tried again."""
        ...

    def ask(
        self, module: str, *, finishing: bool = False, lent: float | None = None, **params: Any
    ) -> dict[str, Any]:
        """Run a target module on the host and return what it returned; its changes are journaled on their own.

        `finishing`: it puts something right, also where the operator stops the run. `lent`: a later step puts the
        object back; where none comes, because the run or its agent is gone or so many seconds are over, the host
        does. Raises Failed with the module's own message.
        """
        ...

    def lent(self) -> list[dict[str, Any]]:
        """Return what earlier runs lent on this host and nobody has put back: run, task, object, before, module,
        params."""
        ...

    def other(self, name: str) -> Site | None:
        """Return another host by its name in the inventory, or by its address; None where there is none."""
        ...

    def cut(self, line: Line, error: BaseException, asked: str = "", **result: Any) -> NoReturn:
        """A line broke: end the step with an unknown outcome where the connection is gone, else raise Failed.

        `asked` is what was under way: nobody knows whether it took effect. `result` goes with Failed.
        """
        ...

    def hide(self, secret: object) -> None:
        """Mask a value in every output from now on."""
        ...

    def warn(self, text: str) -> None:
        """Tell the operator something that is no failure."""
        ...

    def left(self) -> float | None:
        """Return the seconds until the step's deadline, None where it has none."""
        ...

    def stopping(self) -> bool:
        """Return whether the operator wants to stop."""
        ...
