"""Hosts without a host: a link that answers as an agent would, so that engine tests need no machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remedy.document import Map
from remedy.engine.approval import Approver, nobody
from remedy.engine.bus import Bus
from remedy.engine.context import RunContext
from remedy.engine.options import Options
from remedy.engine.run import Run
from remedy.errors import Unreachable
from remedy.events import Event
from remedy.inventory import load as load_inventory
from remedy.playbook import Playbook
from remedy.playbook import load as load_playbook
from remedy.project import Project
from remedy.secret import Secrets
from remedy.template import Layer, Templar

Behaviour = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass
class FakeHost:
    """What a fake host did: the batches it got (each a list of steps), and the words it was given."""

    name: str
    behaviour: Behaviour
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)
    identities: list[dict[str, Any]] = field(default_factory=list)
    start: dict[str, Any] = field(default_factory=dict)
    lock: dict[str, Any] = field(default_factory=lambda: {"held": True, "holder": None})

    def steps(self) -> list[str]:
        return [
            step["params"].get("cmd") or step["params"].get("path") or step["module"].rpartition(".")[2]
            for batch in self.batches
            for step in batch
        ]


class FakeLink:
    """One link: a thread plays the agent."""

    setup_trips = 2

    def __init__(self, host: FakeHost, start: Mapping[str, Any], first: Mapping[str, Any] | None) -> None:
        self.hello: dict[str, Any] = {}
        self._host = host
        self._in: queue.Queue[Any] = queue.Queue()
        self._out: queue.Queue[Any] = queue.Queue()
        host.start = dict(start)
        self._thread = threading.Thread(target=self._agent, daemon=True)
        self._thread.start()
        if first is not None:
            self.send(first)

    def send(self, message: Mapping[str, Any]) -> None:
        self._in.put(dict(message))

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        try:
            message = self._out.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(message, BaseException):
            raise message
        if message["t"] == "hello":
            self.hello = message
        return dict(message)

    def close(self, *, grace: float = 2.0) -> None:
        self._in.put(None)
        self._thread.join(5)

    def _agent(self) -> None:
        import time

        host = self._host
        self._out.put(
            {
                "t": "hello",
                "machine_id": host.name,
                "boot_id": "b",
                "pid_ns": "p",
                "clock": time.time(),
                "uid": 0,
                "user": "root",
                "lock": host.lock,
            }
        )
        while (message := self._in.get()) is not None:
            if message["t"] == "batch":
                self._batch(message)

    def _batch(self, message: dict[str, Any]) -> None:
        host, steps = self._host, message["steps"]
        if host.start.get("lock") and not host.lock["held"]:
            self._out.put(
                {"t": "ended", "batch": message["id"], "not_run": [s["id"] for s in steps], "why": "locked"}
            )
            return
        host.identities.extend(message["identities"])
        host.batches.append(steps)
        stop = None
        not_run = []
        for step in steps:
            if stop is not None and step["group"] != stop:
                not_run.append(step["id"])
                continue
            result = self._step(step)
            if isinstance(result, BaseException):
                self._out.put(result)
                return
            self._out.put(
                {"t": "result", "step": step["id"], "reason": "", "kept": [], "seconds": 0.0, **result}
            )
            if result["status"] == "failed" and not step["ignore"]:
                stop = step["group"]
        self._out.put({"t": "ended", "batch": message["id"], "not_run": not_run, "why": ""})

    def _step(self, step: dict[str, Any]) -> Any:
        answer = self._host.behaviour(self._host.name, step)
        if isinstance(answer, BaseException):
            return answer
        if answer["status"] == "changed" and not step["check"] and "change" in answer:
            intent = {"t": "intent", "step": step["id"], "change": step["id"], **answer["change"]}
            self._out.put(intent)
            word = self._in.get()
            if word is None:
                return Unreachable("link_lost", "closed")
            self._host.words.append(word)
            if word.get("refuse"):
                return {"status": "failed", "result": {"msg": word["refuse"]}, "reason": word["refuse"]}
        return answer


def plain(host: str, step: dict[str, Any]) -> dict[str, Any]:
    """Every probe is ok, every command prints its text, everything else is as wanted."""
    params = step["params"]
    if step["module"].endswith((".command", ".shell")):
        if step["check"]:
            return {"status": "skipped", "reason": "check mode", "result": {"skipped": True}}
        text = str(params["cmd"])
        if text.startswith("false"):
            return {"status": "failed", "result": {"rc": 1, "stdout": "", "msg": "rc 1"}, "reason": "rc 1"}
        return {"status": "ok", "result": {"rc": 0, "stdout": text, "stdout_lines": [text]}}
    if step["module"].endswith(".file"):
        object = f"file:{params['path']}"
        change = {
            "kind": "resource",
            "object": object,
            "before": None,
            "want": {"mode": "0644"},
            "kept": {"state": None},
            "after": {"mode": "0644"},
            "predicted": bool(step["check"]),
            "id": step["id"],
        }
        return {"status": "changed", "result": {"path": params["path"]}, "change": change}
    return {"status": "ok", "result": {"ping": "pong"}}


class FakeConnector:
    """Opens links to fake hosts; an Unreachable in their place is raised."""

    def __init__(self, hosts: Mapping[str, FakeHost | Unreachable]) -> None:
        self.hosts = hosts
        self.raws: list[str] = []
        self.targets: list[Any] = []

    def open(self, target: Any, *, start: Any, identity: Any, first: Any) -> FakeLink:
        self.targets.append(target)
        host = self.hosts[target.name]
        if isinstance(host, Unreachable):
            raise host
        return FakeLink(host, start, first)

    def raw(self, target: Any, command: str, identity: Any, timeout: float) -> tuple[int, bytes, bytes]:
        """Answer with the command's own text; `false` fails."""
        self.raws.append(command)
        self.targets.append(target)
        return int(command.startswith("false")), command.encode(), b""

    def close(self, host: str) -> None:
        """Nothing is open beside the links."""


class Memory:
    """A sink and recorder in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.commits: list[int] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def commit(self) -> None:
        self.commits.append(len(self.events))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Played:
    """What came of a playbook on fake hosts."""

    code: int
    memory: Memory
    hosts: dict[str, FakeHost]
    targets: list[Any] = field(default_factory=list)

    def statuses(self, host: str = "h1") -> list[tuple[str, str]]:
        from remedy.events import TaskDone

        return [(event.task, event.status) for event in self.memory.of(TaskDone) if event.host == host]


Act = Callable[[Run, Playbook], int]


def forward(run: Run, playbook: Playbook) -> int:
    return run.play(playbook, "test", "me", [])


def play(
    folder: Path,
    text: str,
    *,
    hosts: int = 1,
    behaviour: Behaviour = plain,
    unreachable: Mapping[str, Unreachable] | None = None,
    extra: Mapping[str, Any] | None = None,
    tasks: Mapping[str, str] | None = None,
    locked: Mapping[str, str] | None = None,
    beside: Sequence[str] = (),
    inventory_text: str | None = None,
    select: str = "all",
    approver: Approver = nobody,
    act: Act = forward,
    **options: Any,
) -> Played:
    """Run a playbook's text on h1..hN and return what happened.

    `inventory_text` is an inventory of its own instead, of which `select` are the run's hosts; `beside` answer too.
    `act` is what the run does with it.
    """
    (folder / "play.yml").write_text(text)
    for name, content in (tasks or {}).items():
        (folder / name).write_text(content)
    project = Project(folder)
    names = [f"h{number}" for number in range(1, hosts + 1)]
    source = ",".join(names) + ","
    if inventory_text is not None:
        source = str(folder / "hosts.yml")
        (folder / "hosts.yml").write_text(inventory_text)
    inventory = load_inventory([source], root=folder, vault=None)
    names = [*(host.name for host in inventory.hosts), *beside]
    secrets = Secrets()
    memory = Memory()
    fakes = {name: FakeHost(name, behaviour) for name in names}
    for name, holder in (locked or {}).items():
        fakes[name].lock = {"held": False, "holder": holder}
    connector = FakeConnector({**fakes, **(unreachable or {})})
    values = Map()
    values.update(extra or {})
    context = RunContext(
        id="test-run",
        label="remedy test-run, me@here, since now",
        options=Options(**{"yes": True, **options}),
        project=project,
        inventory=inventory,
        templar=Templar(secrets),
        secrets=secrets,
        bus=Bus([memory], secrets),
        recorder=memory,
        connector=connector,  # type: ignore[arg-type]
        approver=approver,
        extra_vars=Layer("extra vars", values),
    )
    run = Run(context, inventory.select(select))
    code = act(run, load_playbook(folder / "play.yml", project=project))
    return Played(code, memory, fakes, connector.targets)
