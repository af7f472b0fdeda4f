"""Files, texts and templates of the control machine that tasks send to hosts; content travels only when asked for."""

from __future__ import annotations

import stat
import threading
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remedy.document.files import is_vault, opened
from remedy.errors import InputError
from remedy.home import expanded
from remedy.playbook import Task
from remedy.template import Scope

if TYPE_CHECKING:
    from remedy.engine.context import PlayContext

_SHOWN = 100_000  # bytes; larger content gets no diff


class Contents:
    """The contents of one run by id; files are read when they leave, and hashed once."""

    def __init__(self) -> None:
        self._held: dict[str, Path | bytes] = {}
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._guard = threading.Lock()

    def add_bytes(self, data: bytes) -> dict[str, Any]:
        """Hold a text or a rendered template; return what `prepare` sees of it."""
        digest = sha1(data, usedforsecurity=False).hexdigest()
        with self._guard:
            self._held[digest] = data
        return {"id": digest, "sha1": digest, "size": len(data), "mode": None, "path": None}

    def add_file(self, path: Path) -> dict[str, Any]:
        """Hold a file; raises OSError where it cannot be read."""
        status = path.stat()
        key = (str(path), status.st_mtime_ns, status.st_size)
        with self._guard:
            digest = self._hashes.get(key)
        if digest is None:
            with path.open("rb") as file:
                summed = sha1(usedforsecurity=False)
                while block := file.read(1 << 20):
                    summed.update(block)
            digest = summed.hexdigest()
        with self._guard:
            self._hashes[key] = digest
            self._held[digest] = path
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        return {"id": digest, "sha1": digest, "size": status.st_size, "mode": mode, "path": str(path)}

    def data(self, id: str) -> bytes:
        """Return a content; raises OSError or KeyError."""
        held = self._held[id]
        return held if isinstance(held, bytes) else held.read_bytes()

    def text(self, source: str) -> str | None:
        """Return a source's content as text, None where it is binary or large."""
        held = self._held.get(source)
        if held is None or (isinstance(held, Path) and held.stat().st_size > _SHOWN):
            return None
        try:
            return self.data(source).decode()
        except UnicodeDecodeError:
            return None


class TaskSource:
    """What one task's `prepare` may ask for: paths are searched as Ansible does, beside the task, then the play.

    `secret` tells that a secret is in what was handed out.
    """

    def __init__(self, contents: Contents, play: PlayContext, task: Task, scope: Scope) -> None:
        self._contents = contents
        self._play = play
        self._task = task
        self._scope = scope
        self.secret = False

    def file(self, path: str, *, decrypt: bool = False) -> dict[str, Any]:
        """Take a file; with `decrypt` what is in it, where it is a vault."""
        return self._take(self._find(path, "files"), decrypt)

    def text(self, text: str) -> dict[str, Any]:
        """Take a text as it is."""
        self._judge(text)
        return self._contents.add_bytes(text.encode("utf-8", "surrogateescape"))

    def render(self, path: str, **options: Any) -> dict[str, Any]:
        """Render a template file with the task's variables."""
        found = self._find(path, "templates")
        templar = self._play.run.templar
        known = {"template_path": str(found), "template_host": self._scope.get("inventory_hostname")}
        encoding = str(options.pop("output_encoding", None) or "utf-8")
        written = {name: value for name, value in options.items() if value is not None}
        text = templar.render_file(found, self._scope.with_values("template", known), **written)
        self._judge(text)
        self.secret = self.secret or is_vault(found)
        try:
            data = text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
        except (LookupError, UnicodeEncodeError) as error:
            raise InputError(f"output_encoding '{encoding}': {error}", where=self._task.position) from error
        return {**self._contents.add_bytes(data), "path": str(found)}

    def tree(self, path: str, *, decrypt: bool = False) -> list[tuple[str, str, dict[str, Any]]]:
        """List a folder, parents before what they hold."""
        top = self._find(path, "files")
        listed: list[tuple[str, str, dict[str, Any]]] = []
        for entry in sorted(top.rglob("*")):
            relative = str(entry.relative_to(top))
            if entry.is_symlink():
                listed.append((relative, "link", {"target": str(entry.readlink())}))
            elif entry.is_dir():
                mode = f"{stat.S_IMODE(entry.stat().st_mode):04o}"
                listed.append((relative, "directory", {"mode": mode, "path": str(entry)}))
            elif entry.is_file():
                listed.append((relative, "file", self._take(entry, decrypt)))
        return listed

    def _take(self, path: Path, decrypt: bool) -> dict[str, Any]:
        if path.is_dir():
            return {"id": None, "sha1": None, "size": 0, "mode": None, "path": str(path), "directory": True}
        try:
            if decrypt and is_vault(path):
                self.secret = True
                data = opened(path.read_bytes(), str(path), vault=self._play.run.decrypt)
                mode = f"{stat.S_IMODE(path.stat().st_mode):04o}"
                return {**self._contents.add_bytes(data), "mode": mode, "path": str(path)}
            return self._contents.add_file(path)
        except OSError as error:
            raise InputError(f"cannot read '{path}': {error.strerror}", where=self._task.position) from error

    def _judge(self, text: str) -> None:
        self.secret = self.secret or self._play.run.secrets.mask(text) != text

    def _find(self, path: str, folder: str) -> Path:
        wanted = expanded(path)
        beside = Path(self._task.position.file).parent
        if wanted.is_absolute():
            places = [wanted]
        else:
            roots = dict.fromkeys((beside, self._play.playbook_dir, self._play.run.project.root))
            places = [place for root in roots for place in (root / folder / wanted, root / wanted)]
        for place in places:
            if place.exists():
                return place
        looked = ", ".join(str(place) for place in places)
        raise InputError(
            f"'{path}' does not exist on the control machine",
            where=self._task.position,
            hint=f"looked at {looked}",
        )
