"""A batch runs in order, stops where it must, and keeps its deadlines whatever a step does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.agent.driver import Agent, results

OK: dict[str, Any] = {}


def alive(mark: str) -> list[int]:
    """Return the ids of processes whose command line holds `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_for(path: Path, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.01)


def test_a_batch_stops_at_a_failure(any_agent: Agent) -> None:
    good, bad = any_agent.step("t_probe"), any_agent.step("t_probe", {"do": "fail"})
    came = any_agent.run(good, {**bad, "ignore": True}, good, bad, good, good)
    assert [status for _, status in results(came)] == ["ok", "failed", "ok", "failed"]
    assert came[-1] == {"t": "ended", "batch": "b1", "not_run": ["b1.5", "b1.6"], "why": "failed"}


def test_a_loop_runs_all_its_items_and_then_fails(agent: Agent) -> None:
    item = agent.step("t_probe", group="loop")
    bad = agent.step("t_probe", {"do": "fail"}, group="loop")
    came = agent.run(item, bad, item, agent.step("t_probe", group="next"))
    assert [status for _, status in results(came)] == ["ok", "failed", "ok"]
    assert (came[-1]["not_run"], came[-1]["why"]) == (["b1.4"], "failed")


def test_batches_wait_for_one_another(agent: Agent) -> None:
    for _ in range(3):
        agent.batch(agent.step("t_probe"), agent.step("t_probe"))
    came = [agent.receive() for _ in range(9)]
    assert [m["batch"] for m in came if m and m["t"] == "ended"] == ["b1", "b2", "b3"]
    assert [m["step"] for m in came if m and m["t"] == "result"] == [
        f"b{b}.{s}" for b in (1, 2, 3) for s in (1, 2)
    ]


def test_one_worker_serves_all_batches(agent: Agent) -> None:
    pids = {agent.one("t_probe")["result"]["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert pids != {agent.one("t_probe")["result"]["ppid"]}


def test_modules_may_come_later(agent: Agent) -> None:
    agent.one("t_probe")
    source = "from remedy.agent.kinds import Probe\nclass L(Probe):\n def read(self): return {'late': 1}\n"
    agent.send(t="code", sources={"remedy.modules.target.t_late": source + "def kind(params): return L\n"})
    assert agent.one("t_late")["result"]["late"] == 1
    assert agent.one("remedy.modules.target.t_late")["result"]["late"] == 1


def test_a_worker_holds_nothing_of_the_channel(any_agent: Agent) -> None:
    found = any_agent.one("t_probe")["result"]["open"]
    assert {number: found[number] for number in ("0", "1", "2")} == dict.fromkeys("012", "/dev/null")
    assert len(found) == 5
    theirs = {str(Path(f"/proc/{any_agent.process.pid}/fd/{n}").readlink()) for n in (0, 1, 2)}
    assert not theirs & set(found.values())


def test_a_deadline_ends_a_step_and_all_it_started(any_agent: Agent, tmp_path: Path) -> None:
    mark = f"600.{os.urandom(4).hex()}"
    mark = str(int(mark[4:], 16) + 1000)
    stray = f"(setsid sleep {mark} &) ; (trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep {mark}') & sleep {mark}"
    came = any_agent.run(
        any_agent.step("t_command", {"line": stray}, timeout=0.7, ignore=True),
        any_agent.step("t_probe"),
    )
    assert [status for _, status in results(came)] == ["failed", "ok"]
    failed = next(message for message in came if message["t"] == "result")
    assert failed["result"]["cause"] == "timeout"
    assert failed["reason"] == "took longer than its deadline of 0.7 seconds and was ended"
    assert alive(mark) == []


def test_a_deadline_that_is_not_ignored_ends_the_batch(agent: Agent) -> None:
    came = agent.run(agent.step("t_probe", {"do": "hang"}, timeout=0.3), agent.step("t_probe"))
    assert [status for _, status in results(came)] == ["failed"]
    assert came[-1]["not_run"] == ["b1.2"]
    assert agent.one("t_probe")["status"] == "ok"


def test_no_deadline_is_a_deadline_of_zero(agent: Agent) -> None:
    assert agent.one("t_probe", timeout=0)["result"]["left"] is None
    assert 55 < agent.one("t_probe")["result"]["left"] <= 60
    assert 0 < agent.one("t_probe", timeout=5)["result"]["left"] <= 5


def test_what_must_not_be_cut_off_finishes_late_and_fails(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    params = {"path": str(path), "text": "new", "slow": 0.8, "patient": True}
    came = agent.run(agent.step("t_line", params, timeout=0.3), agent.step("t_probe"))
    result = next(message for message in came if message["t"] == "result")
    assert (result["status"], result["result"]["cause"]) == ("failed", "timeout")
    assert "longer than its deadline of 0.3; it was let finish" in result["reason"]
    assert result["change"]["after"]["text"] == "new"
    assert path.read_text() == "new"
    assert came[-1]["not_run"] == ["b1.2"]


def test_the_clock_stands_still_while_the_control_machine_thinks(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    agent.batch(agent.step("t_line", {"path": str(path), "text": "new"}, timeout=0.4))
    intent = agent.next("intent")
    agent.send(t="ping", n=1)
    agent.next("pong")
    late = time.monotonic() + 0.6
    while time.monotonic() < late:
        agent.send(t="ping", n=2)
        agent.next("pong")
        time.sleep(0.05)
    agent.send(t="word", change=intent["change"], contents={})
    assert agent.next("result")["status"] == "changed"


def test_a_killed_worker_is_a_failed_step_and_a_new_worker(any_agent: Agent) -> None:
    came = any_agent.run(
        any_agent.step("t_probe", {"do": "die", "signal": int(signal.SIGKILL)}, ignore=True),
        any_agent.step("t_probe"),
    )
    first = came[0]
    assert first["reason"] == "the agent's worker was killed (signal 9; out of memory?)"
    assert [status for _, status in results(came)] == ["failed", "ok"]


def test_a_worker_killed_in_a_write_leaves_the_change_open(agent: Agent, tmp_path: Path) -> None:
    came = agent.run(agent.step("t_line", {"path": str(tmp_path / "f"), "text": "x", "die": True}))
    change = came[1]["change"]
    assert change["after_unknown"] is True
    assert (change["id"], change["object"]) == (came[0]["change"], came[0]["object"])


def test_pings_are_answered_while_a_step_works(agent: Agent, tmp_path: Path) -> None:
    agent.batch(agent.step("t_command", {"line": f"touch {tmp_path}/on; sleep 600"}))
    wait_for(tmp_path / "on")
    agent.send(t="ping", n=7)
    assert agent.next("pong", 2.0)["n"] == 7
    agent.send(t="cancel", batch="b1")
    result = agent.next("result")
    assert (result["status"], result["reason"]) == ("failed", "cancelled")
    assert agent.next("ended")["why"] == "cancelled"
    assert agent.one("t_probe")["status"] == "ok"


def test_a_batch_that_has_not_begun_can_be_cancelled(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    agent.batch(agent.step("t_line", {"path": str(path), "text": "new"}))
    agent.batch(agent.step("t_probe"))
    intent = agent.next("intent")
    agent.send(t="cancel", batch="b2")
    assert agent.next("ended") == {"t": "ended", "batch": "b2", "not_run": ["b2.1"], "why": "cancelled"}
    agent.send(t="word", change=intent["change"], contents={})
    assert agent.next("result")["status"] == "changed"
    assert agent.next("ended")["why"] is None


def test_progress_is_told_after_half_a_second(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    agent.batch(agent.step("t_command", {"line": f"cat {tmp_path}/gate"}), agent.step("t_probe"))
    assert agent.receive() == {"t": "begin", "step": "b1.1"}
    (tmp_path / "gate").write_text("go")
    assert [agent.receive()["t"] for _ in range(4)] == ["result", "begin", "result", "ended"]  # type: ignore[index]


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for_nor_killed(agent: Agent) -> None:
    mark = str(10_000_000 + os.getpid())
    started = time.monotonic()
    result = agent.one("t_command", {"line": f"sleep {mark} & echo started"})
    assert result["result"]["stdout"] == "started\n"
    assert time.monotonic() - started < 5
    left = alive(mark)
    assert left
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_a_call_that_hangs_is_left_in_its_child(any_agent: Agent) -> None:
    quick = any_agent.one("t_probe", {"do": "child", "seconds": 0})
    assert quick["result"]["value"] > 1
    stuck = any_agent.one("t_probe", {"do": "child", "seconds": 60})
    assert (stuck["reason"], stuck["result"]["cause"]) == ("no answer within 0.3 seconds", "timeout")


def test_words_of_all_the_world_reach_a_program_under_any_locale(
    any_python: str, start: Callable[..., Agent], tmp_path: Path
) -> None:
    agent = start(any_python, environment={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    agent.hello()
    folder = tmp_path / "größe"
    folder.mkdir()
    run = {
        "argv": ["sh", "-c", "pwd; echo $WORD $0", "naïve \udcff"],
        "cwd": str(folder),
        "environment": {"WORD": "日"},
    }
    done = agent.one("t_probe", {"do": "bytes", "run": run})
    assert done["result"]["stdout"] == f"{folder}\n日 naïve ".encode() + b"\xff\n"
    assert agent.one("t_probe", {"do": "run", "run": {"argv": ["größe"]}})["reason"] == (
        "cannot run größe: no such file or directory"
    )


def test_a_host_that_cannot_fork_says_so(start: Callable[..., Agent]) -> None:
    nobody = str(3_000_000 + os.getpid())
    limits = ("prlimit", "--nproc=2", "setpriv", "--reuid", nobody, "--clear-groups", "/bin/sh", "-c")
    agent = start("/usr/bin/python3", shell=limits)
    agent.hello()
    result = agent.one("t_probe")
    assert result["reason"] == "the host cannot start a further process: Resource temporarily unavailable"
    agent.send(t="ping", n=1)
    assert agent.next("pong")["n"] == 1


def test_a_program_is_run_with_all_that_was_asked(any_agent: Agent, tmp_path: Path) -> None:
    def run(**options: Any) -> dict[str, Any]:
        return any_agent.one(
            "t_probe", {"do": "run", "run": options}, environment={"COLOUR": "red"}, ignore=True
        )

    assert run(argv=["sh", "-c", "echo $COLOUR $0", "x"])["result"]["stdout"] == "red x\n"
    assert run(argv="pwd; cat", shell=True, cwd=str(tmp_path))["result"]["stdout"] == f"{tmp_path}\n"
    big = "y" * 300_000
    code = "import sys; t = sys.stdin.read(); sys.stdout.write(t); sys.stderr.write(t)"
    noisy = run(argv=["python3", "-c", code], input=big.encode())
    assert (len(noisy["result"]["stdout"]), len(noisy["result"]["stderr"])) == (300_000, 300_000)
    assert run(argv=["true"], input=big.encode())["status"] == "ok"
    assert run(argv=["sh", "-c", "exit 4"], ok=[0, 4])["result"]["rc"] == 4
    refused = run(argv=["sh", "-c", "echo why >&2; exit 4"])
    assert refused["reason"] == "'sh -c echo why >&2; exit 4' ended with exit status 4: why"
    assert run(argv=["no-such-program"])["reason"] == "cannot run no-such-program: no such file or directory"
    assert (
        run(argv=["true"], cwd="/no/such")["reason"] == "cannot change to /no/such: no such file or directory"
    )
    late = run(argv=["sleep", "60"], timeout=0.2)
    assert (late["reason"], late["result"]["cause"]) == (
        "'sleep 60' took longer than 0.2 seconds and was ended",
        "timeout",
    )
    assert run(argv=["sh", "-c", "echo $LC_ALL"], c_locale=True)["result"]["stdout"] == "C\n"
