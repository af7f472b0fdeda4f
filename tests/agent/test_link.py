"""The end of the link, in every state: no write without its word, and nothing left on the host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.agent import frames
from tests.agent.driver import Agent, interpreters
from tests.agent.test_batches import alive, wait_for

WORDS: dict[str, dict[str, bytes]] = {"contents": {}}


@pytest.fixture
def mark() -> str:
    """A number that no other process has in its command line."""
    return str(20_000_000 + int.from_bytes(os.urandom(3), "big"))


def family(agent: Agent) -> list[int]:
    """Return the process ids of the agent and its worker."""
    result = agent.one("t_probe")["result"]
    return [result["ppid"], result["pid"]]


def dead(pids: list[int]) -> bool:
    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "gone"

    return all(state(pid) in ("gone", "Z") for pid in pids)


def test_an_idle_agent_goes_at_once(any_agent: Agent) -> None:
    pids = family(any_agent)
    any_agent.cut()
    any_agent.gone(2)
    assert dead(pids)


def test_an_end_frees_the_host(agent: Agent) -> None:
    pids = family(agent)
    agent.send(t="end")
    assert agent.receive() is None
    assert agent.gone(2) == 0
    assert dead(pids)


def test_what_waits_for_its_word_is_not_written(any_agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    pids = family(any_agent)
    for params in ({}, {"patient": True}):
        any_agent.batch(any_agent.step("t_line", {"path": str(path), "text": "new", **params}))
        any_agent.next("intent")
        if not params:
            any_agent.send(t="cancel", batch="b2")
            any_agent.next("result")
            any_agent.next("ended")
    any_agent.cut()
    any_agent.gone()
    assert not list(tmp_path.iterdir())
    assert dead(pids)


def test_a_change_whose_word_had_come_is_finished_and_no_other(any_agent: Agent, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    any_agent.batch(
        any_agent.step("t_line", {"path": str(first), "text": "new", "slow": 0.5}),
        any_agent.step("t_line", {"path": str(second), "text": "new"}),
    )
    any_agent.batch(any_agent.step("t_line", {"path": str(second), "text": "new"}))
    intent = any_agent.next("intent")
    any_agent.send(t="word", change=intent["change"], **WORDS)
    any_agent.cut()
    any_agent.gone()
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_write_that_takes_too_long_after_the_end_is_ended_whole(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    agent.batch(agent.step("t_line", {"path": str(path), "text": "new", "slow": 30}))
    intent = agent.next("intent")
    agent.send(t="word", change=intent["change"], **WORDS)
    wait_for(tmp_path / "file.sibling")
    agent.cut()
    agent.gone()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_running_command_ends_with_all_it_started(any_agent: Agent, tmp_path: Path, mark: str) -> None:
    line = f"(setsid sleep {mark} &); nohup sleep {mark} & touch {tmp_path}/on; sleep {mark}"
    any_agent.batch(any_agent.step("t_command", {"line": line}))
    wait_for(tmp_path / "on")
    any_agent.cut()
    any_agent.gone()
    assert alive(mark) == []


def test_what_must_not_be_cut_off_finishes(any_agent: Agent, tmp_path: Path) -> None:
    line = f"touch {tmp_path}/on; read x < {tmp_path}/gate; touch {tmp_path}/done"
    os.mkfifo(tmp_path / "gate")
    any_agent.batch(
        any_agent.step("t_command", {"line": line, "patient": True}),
        any_agent.step("t_command", {"line": f"touch {tmp_path}/never"}),
    )
    wait_for(tmp_path / "on")
    any_agent.cut()
    with pytest.raises(subprocess.TimeoutExpired):
        any_agent.gone(0.5)
    (tmp_path / "gate").write_text("go\n")
    any_agent.gone()
    assert (tmp_path / "done").exists()
    assert not (tmp_path / "never").exists()


def test_a_sweep_takes_no_further_item(agent: Agent, tmp_path: Path) -> None:
    agent.send(t="code", sources={"remedy.modules.target.t_slow": SLOW})
    agent.batch(agent.step("t_slow", {"folder": str(tmp_path)}))
    intent = agent.next("intent")
    agent.send(t="word", change=intent["change"], **WORDS)
    wait_for(tmp_path / "0")
    agent.cut()
    agent.gone()
    assert len(list(tmp_path.iterdir())) == 1


SLOW = """
import os, time
from remedy.agent.kinds import Item, Sweep

class Slow(Sweep):
    interruptible = False
    def key(self):
        return "slow"
    def find(self):
        return [Item(str(n), True, "old") for n in range(50)]
    def drain(self, item):
        open(os.path.join(self.params["folder"], item.id), "w").close()
        time.sleep(0.4)
        return 0

def kind(params):
    return Slow
"""


def test_a_frame_cut_in_the_middle_is_no_word(agent: Agent, tmp_path: Path) -> None:
    agent.batch(agent.step("t_line", {"path": str(tmp_path / "file"), "text": "new"}))
    intent = agent.next("intent")
    word = frames.encode({"t": "word", "change": intent["change"], **WORDS})
    agent.write(word[:-1])
    agent.cut()
    agent.gone()
    assert not list(tmp_path.iterdir())


def test_noise_on_the_line_ends_the_agent(agent: Agent) -> None:
    pids = family(agent)
    agent.write(b"\xff" * 64)
    agent.gone()
    assert dead(pids)


def test_silence_longer_than_the_lease_ends_the_agent(
    start: Callable[..., Agent], tmp_path: Path, mark: str
) -> None:
    agent = start(lease=1)
    agent.hello()
    agent.batch(agent.step("t_command", {"line": f"touch {tmp_path}/on; sleep {mark}"}))
    wait_for(tmp_path / "on")
    began = time.monotonic()
    while time.monotonic() < began + 1.5:
        agent.send(t="ping", n=0)
        agent.next("pong")
        time.sleep(0.1)
    assert alive(mark)
    agent.gone(6)
    assert alive(mark) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_agent_and_leaves_nothing(
    start: Callable[..., Agent], tmp_path: Path, number: signal.Signals
) -> None:
    agent = start()
    pid = agent.hello()["pid"]
    agent.batch(agent.step("t_line", {"path": str(tmp_path / "file"), "text": "new", "slow": 30}))
    agent.send(t="word", change=agent.next("intent")["change"], **WORDS)
    wait_for(tmp_path / "file.sibling")
    os.kill(pid, number)
    assert agent.gone(6) == 0
    assert not list(tmp_path.iterdir())


def test_a_killed_agent_leaves_no_command_behind(
    start: Callable[..., Agent], tmp_path: Path, mark: str
) -> None:
    agent = start()
    pid = agent.hello()["pid"]
    agent.batch(agent.step("t_command", {"line": f"touch {tmp_path}/on; sleep {mark}"}))
    wait_for(tmp_path / "on")
    os.kill(pid, signal.SIGKILL)
    assert agent.gone() == 137
    deadline = time.monotonic() + 5
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(mark) == []


def test_a_control_machine_that_does_not_read_stops_nothing(agent: Agent) -> None:
    pids = family(agent)
    for _ in range(3):
        agent.batch(agent.step("t_command", {"line": "head -c 20000000 /dev/zero | tr '\\0' x"}))
    agent.send(t="ping", n=1)
    time.sleep(0.5)
    agent.cut()
    agent.gone()
    assert dead(pids)


@pytest.fixture
def dead_mount(tmp_path: Path) -> tuple[str, ...]:
    """A shell in a mount namespace of its own, with a file server that never answers at tmp_path/dead."""
    (tmp_path / "dead").mkdir()
    os.mkfifo(tmp_path / "said")
    program = Path(__file__).parents[2] / "src/remedy/lab/dead_mount.py"
    script = (
        f"exec 9<>/dev/fuse; {sys.executable} -I {program} {tmp_path}/dead 9 > {tmp_path}/said 2>&1 </dev/null & "
        f'echo $! > {tmp_path}/server; read said < {tmp_path}/said; exec 9>&-; exec /bin/sh -c "$0"'
    )
    return ("unshare", "-m", "/bin/sh", "-c", script)


def test_a_step_stuck_in_the_kernel_is_left_behind(
    start: Callable[..., Agent], dead_mount: tuple[str, ...], tmp_path: Path
) -> None:
    agent = start(interpreters()[0], shell=dead_mount)
    agent.hello()
    try:
        stuck = agent.step("t_seen", {"path": f"{tmp_path}/dead/file"}, timeout=0.5, ignore=True)
        came = agent.run(stuck, agent.step("t_probe"))
        assert [m["status"] for m in came if m["t"] == "result"] == ["failed", "ok"]
        assert came[0]["result"]["cause"] == "timeout"
        agent.batch({**stuck, "timeout": 0})
        agent.send(t="ping", n=3)
        agent.next("pong")
        agent.cut()
        agent.gone()
    finally:
        os.kill(int((tmp_path / "server").read_text()), signal.SIGKILL)
