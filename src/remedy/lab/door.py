"""Programs and files of a host, whichever way leads into it."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from remedy.lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Output:
    """What a program in a host left behind."""

    code: int
    stdout: str
    stderr: str


class Door(ABC):
    """A way into one host, for programs and files; `_execute` is the way."""

    name: str
    seconds: ClassVar[float] = 60
    """How long a program may take where nobody says otherwise."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        user: str = "root",
        ok: Sequence[int] | None = (0,),
        timeout: float | None = None,
    ) -> Output:
        """Run a program in the host; an exit code not in `ok` is a LabError, None allows all."""
        code, out, err = self._execute(argv, user, stdin, timeout or self.seconds)
        output = Output(code, out.decode(errors="replace"), err.decode(errors="replace"))
        if ok is not None and output.code not in ok:
            said = (output.stderr or output.stdout).strip()[-2000:] or "nothing was printed"
            raise LabError(f"exit code {output.code} from: {shlex.join(argv)}\n  {said}", host=self.name)
        return output

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file in the host, with the folders that lead to it."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        self.run(["sh", "-c", script, "put", path, f"{mode:o}"], stdin=content)

    def get(self, path: str) -> bytes:
        """Read a file of the host."""
        code, content, err = self._execute(["cat", "--", path], "root", b"", self.seconds)
        if code:
            raise LabError(err.decode(errors="replace").strip(), host=self.name)
        return content

    @abstractmethod
    def _execute(
        self, argv: Sequence[str], user: str, stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run it; return exit code, standard output and standard error."""


class Doors(ABC):
    """Several hosts, each with its door."""

    @abstractmethod
    def inside(self, name: str) -> Door:
        """Return the door into a host."""

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        user: str = "root",
        ok: Sequence[int] | None = (0,),
        timeout: float | None = None,
    ) -> Output:
        """Run a program in a host; an exit code not in `ok` is a LabError, None allows all."""
        return self.inside(name).run(argv, stdin=stdin, user=user, ok=ok, timeout=timeout)

    def put(self, name: str, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file in a host, with the folders that lead to it."""
        self.inside(name).put(path, content, mode)

    def get(self, name: str, path: str) -> bytes:
        """Read a file of a host."""
        return self.inside(name).get(path)
