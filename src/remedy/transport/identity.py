"""Who a task runs as on the host: the user, and by which means the login user becomes that user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remedy.errors import InputError, nearest
from remedy.transport.values import Variables

METHODS = ("sudo", "su", "doas")


@dataclass(frozen=True)
class Identity:
    """A user to become; `exe` and `flags` replace the method's program and its options."""

    user: str = "root"
    method: str = "sudo"
    password: str | None = field(default=None, repr=False)
    exe: str | None = None
    flags: str | None = None

    @property
    def name(self) -> str:
        """Return the name that steps call this identity by: the same in every run, without the password."""
        rest = "|".join(part for part in (self.exe, self.flags) if part)
        return f"{self.method}:{self.user}" + (f"|{rest}" if rest else "")

    def frame(self) -> dict[str, Any]:
        """Return the protocol's `identity` frame."""
        return {"t": "identity", "name": self.name, "password": self.password, **self.means()}

    def means(self) -> dict[str, Any]:
        """Return how to become the user, without the password: what `bootstrap.command` takes."""
        return {"method": self.method, "user": self.user, "exe": self.exe, "flags": self.flags}

    @classmethod
    def choose(
        cls,
        host: str,
        variables: Mapping[str, Any],
        *,
        become: bool | None = None,
        user: str | None = None,
        method: str | None = None,
        password: str | None = None,
        exe: str | None = None,
        flags: str | None = None,
    ) -> Identity | None:
        """Return who to work as: the connection variables win over the keywords given; None: the login user.

        Raises InputError for a method or a value that cannot be used.
        """
        read = Variables(host, variables)
        wanted = read.flag("ansible_become")
        if not (become if wanted is None else wanted):
            return None
        written = read.text("ansible_become_method")
        chosen = written or method or "sudo"
        chosen = chosen.removeprefix("ansible.builtin.").removeprefix("community.general.")
        if chosen not in METHODS:
            what = "become method" if written is None else "ansible_become_method"
            raise InputError(
                f"{what} '{chosen}' cannot be used", hint=nearest(chosen, METHODS), host=host
            )
        return cls(
            user=read.text("ansible_become_user") or user or "root",
            method=chosen,
            password=read.secret("ansible_become_password", "ansible_become_pass") or password,
            exe=read.text("ansible_become_exe") or exe,
            flags=read.text("ansible_become_flags") or flags,
        )
