"""Runs modules in this process, by the agent's own runner, on real files; the control machine's half is a stub."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remedy.agent import frames, runner
from remedy.agent.host import Host
from remedy.agent.kinds import Failed
from remedy.errors import InputError
from remedy.modules import parameters, registry
from remedy.modules.prepare import prepare


class Controller:
    """The control machine: the contents it holds, what it was asked for, what the agent told it."""

    waited = 0.0

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.intents: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.refuse: str | None = None
        self.host: Host | None = None

    def running(self, seconds: float | None, interruptible: bool, kind: str) -> None:
        pass

    def ask(self, intent: dict[str, Any]) -> None:
        intent = _journey(intent)
        self.intents.append(intent)
        if self.refuse is not None:
            raise Failed(self.refuse)
        assert self.host is not None
        self.host.contents = {source: self.need(source) for source in intent["needs"]}

    def need(self, source: str) -> bytes:
        self.asked.append(source)
        return self.contents[source]

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def stopping(self) -> bool:
        return False

    def lost(self) -> bool:
        return False


class Sources:
    """What `prepare` may ask for: files below a folder, texts, and templates that are Python format strings."""

    def __init__(self, controller: Controller, folder: Path) -> None:
        self._controller = controller
        self._folder = folder

    def file(self, path: str, *, decrypt: bool = False) -> dict[str, Any]:
        found = self._folder / path
        if found.is_dir():
            return {"directory": True, "mode": None}
        if not found.is_file():
            raise InputError(f"no file '{path}'")
        mode = f"{stat.S_IMODE(found.stat().st_mode):04o}"
        return {**self._held(found.read_bytes()), "mode": mode, "path": str(found)}

    def text(self, text: str) -> dict[str, Any]:
        return {**self._held(text.encode()), "mode": None, "path": None}

    def render(self, path: str, **options: Any) -> dict[str, Any]:
        text = (self._folder / path).read_text().replace("{{ name }}", "rendered")
        text = text.replace("\n", options["newline_sequence"])
        return {**self._held(text.encode()), "mode": None, "path": str(self._folder / path)}

    def tree(self, path: str, *, decrypt: bool = False) -> list[tuple[str, str, dict[str, Any]]]:
        root = self._folder / path
        found: list[tuple[str, str, dict[str, Any]]] = []
        for each in sorted(root.rglob("*")):
            name = str(each.relative_to(root))
            if each.is_symlink():
                found.append((name, "link", {"target": str(each.readlink())}))
            elif each.is_dir():
                found.append((name, "directory", {"mode": f"{stat.S_IMODE(each.stat().st_mode):04o}"}))
            else:
                found.append((name, "file", self.file(str(each.relative_to(self._folder)))))
        return found

    def _held(self, content: bytes) -> dict[str, Any]:
        sha1 = hashlib.sha1(content).hexdigest()
        self._controller.contents[sha1] = content
        return {"id": sha1, "sha1": sha1, "size": len(content)}


@dataclass(frozen=True)
class Ran:
    """What a task came to: the frames of its steps; most tests look at the last one."""

    module: str
    steps: list[dict[str, Any]]
    frames: list[dict[str, Any]]
    intents: list[dict[str, Any]]

    @property
    def statuses(self) -> list[str]:
        return [frame["status"] for frame in self.frames]

    @property
    def status(self) -> str:
        """The task's status: the worst of its steps."""
        order = ("failed", "unknown", "changed", "skipped", "ok")
        return min(self.statuses, key=order.index)

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.frames[-1]["result"]
        return result

    @property
    def reason(self) -> str:
        return str(self.frames[-1]["reason"])

    @property
    def change(self) -> dict[str, Any]:
        change: dict[str, Any] = self.frames[-1]["change"]
        return change


@dataclass
class Bench:
    """One host whose agent runs here; `folder` is the control machine's."""

    folder: Path
    controller: Controller = field(default_factory=Controller)

    def __post_init__(self) -> None:
        self.host = Host(self.controller)
        self.controller.host = self.host
        self._number = 0

    def run(
        self, module: str, /, *, check_mode: bool = False, timeout: float | None = None, **params: Any
    ) -> Ran:
        """Run a task from what a user wrote to the result frames; check mode remembers its predictions."""
        spec = registry.find(module)
        given = dict(parameters.check(spec, params, None, templates_allowed=False))
        steps = prepare(spec, given, Sources(self.controller, self.folder))
        return self._all(module, [{"op": "run", "params": each} for each in steps], check_mode, timeout)

    def undo(self, ran: Ran) -> Ran:
        """Undo the changes of a task, the last one first, with what its intents kept."""
        kept = {intent["step"]: intent["kept"] for intent in ran.intents}
        steps = [
            {"op": "undo", "params": step["params"], "kept": kept[frame["step"]], "expect": [_after(frame)]}
            for step, frame in zip(ran.steps, ran.frames, strict=True)
            if frame["change"] is not None
        ]
        return self._all(ran.module, steps[::-1], False, None)

    def forget(self) -> None:
        """Begin anew: without predictions."""
        self.host = Host(self.controller)
        self.controller.host = self.host

    def _all(self, module: str, steps: list[dict[str, Any]], check_mode: bool, timeout: float | None) -> Ran:
        before = len(self.controller.intents)
        done: list[dict[str, Any]] = []
        for step in steps:
            self._number += 1
            step.update(id=f"s{self._number}", module=module, check=check_mode, diff=True, timeout=timeout)
            self.host.begin(step, "mark")
            done.append(_journey(runner.run(_journey(step), self.host, self.controller)))
        return Ran(module, steps, done, self.controller.intents[before:])


def _after(frame: Mapping[str, Any]) -> Any:
    return frame["change"]["after"]


def _journey(message: dict[str, Any]) -> Any:
    """Send a message through the frames, so that what cannot travel is found."""
    parts = iter([frames.encode(message)])
    data = next(parts)

    def receive(count: int) -> bytes:
        nonlocal data
        piece, data = data[:count], data[count:]
        return piece

    return frames.read(receive)


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below a folder that an undo must bring back: type, mode, owner, content, attributes."""
    return dict(_entries(os.fsencode(root), b""))


def _entries(root: bytes, name: bytes) -> Iterator[tuple[str, tuple[Any, ...]]]:
    path = os.path.join(root, name) if name else root  # noqa: PTH118
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    content: Any = None
    if stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)  # noqa: PTH115
    elif stat.S_ISREG(found.st_mode):
        content = Path(os.fsdecode(path)).read_bytes()
    attributes = {each: os.getxattr(path, each, follow_symlinks=False) for each in _xattrs(path)}
    mode = None if stat.S_ISLNK(found.st_mode) else stat.S_IMODE(found.st_mode)
    yield os.fsdecode(name), (kind, mode, found.st_uid, found.st_gid, content, sorted(attributes.items()))
    if stat.S_ISDIR(found.st_mode):
        for child in sorted(os.listdir(path)):  # noqa: PTH208
            yield from _entries(root, os.path.join(name, child))  # noqa: PTH118


def _xattrs(path: bytes) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)
