"""Steps as other users: sudo, su and doas, with and without a password, in one order, and the refusals."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agent.driver import Agent, results
from tests.agent.people import PASSWORD, USERS, People, hashed, install
from tests.agent.test_batches import wait_for
from tests.agent.test_link import dead

PYTHON = "/usr/bin/python3"  # one that every user may run
SECRET = "s3cr3t of the test"


# Runs the script that sudo would run, on a host whose interpreters all have names nobody looks for.
WITHOUT_PYTHON = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
exec /bin/sh -c "$(printf %s "$4" | sed s/python/nothing/g)" ""
"""


@pytest.fixture(scope="session")
def entry() -> str:
    install()
    return hashed(PASSWORD)


@pytest.fixture
def people(tmp_path: Path, entry: str) -> People:
    folder = tmp_path / "people"
    folder.mkdir()
    return People(folder, entry)


@pytest.fixture
def anna(people: People, start: Callable[..., Agent]) -> Callable[..., Agent]:
    """Start an agent as anna, after the test has said what she may do."""

    def starting(sudoers: str = "", doas: str = "", **options: Any) -> Agent:
        people.write("sudoers", f"Defaults passwd_tries=3, timestamp_timeout=0\n{sudoers}\n")
        people.write("doas.conf", f"{doas}\n")
        agent = start(PYTHON, shell=people.shell("anna"), **options)
        assert agent.hello()["user"] == "anna"
        return agent

    return starting


def become(agent: Agent, name: str = "x", **identity: Any) -> None:
    agent.send(t="identity", name=name, **{"method": "sudo", "user": "ben", "password": None, **identity})


def uid(agent: Agent, name: str = "x") -> int:
    came = agent.run(agent.step("t_probe", **{"as": name}))
    found = [message for message in came if message["t"] == "result"]
    assert found, came
    assert found[0]["status"] == "ok", found
    number: int = found[0]["result"]["uid"]
    return number


def refusal(agent: Agent, name: str = "x") -> dict[str, Any]:
    """Run three steps, the second as the identity; return why it cannot be had."""
    probe = agent.step("t_probe")
    came = agent.run(probe, {**probe, "as": name}, probe)
    failed = next(message for message in came if message["t"] == "identity_failed")
    assert failed["name"] == name
    assert results(came) == [(came[0]["step"], "ok")]
    batch = came[-1]["batch"]
    assert came[-1] == {
        "t": "ended",
        "batch": batch,
        "not_run": [f"{batch}.2", f"{batch}.3"],
        "why": "identity",
    }
    assert SECRET not in repr(came)
    assert PASSWORD not in repr(came)
    return failed


@pytest.mark.parametrize("method", ["sudo", "su", "doas"])
def test_root_becomes_anyone(agent: Agent, entry: str, method: str) -> None:
    become(agent, method=method, user="nobody", exe="sudo" if method == "doas" else None)
    assert uid(agent) == 65534
    assert uid(agent) == 65534
    assert agent.one("t_probe")["result"]["uid"] == 0


def test_every_python_serves_another_user(any_agent: Agent, entry: str) -> None:
    become(any_agent, user="nobody")
    assert uid(any_agent) == 65534


def test_sudo_with_its_password(anna: Callable[..., Agent]) -> None:
    agent = anna("anna ALL=(ALL) ALL")
    become(agent, password=PASSWORD)
    assert uid(agent) == USERS["ben"]
    become(agent, "r", user="root", password=PASSWORD)
    assert uid(agent, "r") == 0


def test_sudo_that_wants_a_terminal_and_a_pty(anna: Callable[..., Agent]) -> None:
    agent = anna("Defaults requiretty, use_pty\nanna ALL=(ALL) ALL")
    become(agent, password=PASSWORD)
    assert uid(agent) == USERS["ben"]


def test_sudo_without_a_password_never_reads_the_one_it_gets(anna: Callable[..., Agent]) -> None:
    agent = anna("anna ALL=(ALL) NOPASSWD: ALL")
    become(agent, password=SECRET)
    assert uid(agent) == USERS["ben"]
    become(agent, "n")
    assert uid(agent, "n") == USERS["ben"]


def test_a_service_user_without_a_shell(anna: Callable[..., Agent]) -> None:
    agent = anna("anna ALL=(ALL) NOPASSWD: ALL")
    become(agent, user="app")
    assert uid(agent) == USERS["app"]
    become(agent, "chain", method="sudo", user="root")
    assert uid(agent, "chain") == 0


def test_a_wrong_password_is_said_at_once_and_tried_once(anna: Callable[..., Agent], people: People) -> None:
    agent = anna(f"Defaults logfile={people.folder}/sudo.log\nanna ALL=(ALL) ALL")
    become(agent, password=SECRET)
    failed = refusal(agent)
    assert failed["reason"] == "sudo_password"
    assert failed["message"] == (
        "the password for sudo to ben is wrong; one attempt was made. Correct ansible_become_password"
    )
    log = (people.folder / "sudo.log").read_text() if (people.folder / "sudo.log").exists() else ""
    assert "2 incorrect" not in log
    assert "3 incorrect" not in log


def test_a_missing_password_is_said(anna: Callable[..., Agent]) -> None:
    agent = anna("anna ALL=(ALL) ALL")
    become(agent)
    failed = refusal(agent)
    assert failed["reason"] == "sudo_password"
    assert "the password for sudo to ben is missing" in failed["message"]


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_who_is_not_in_sudoers_is_told(anna: Callable[..., Agent], password: str | None) -> None:
    agent = anna("ben ALL=(ALL) ALL")
    become(agent, password=password)
    failed = refusal(agent)
    # sudo -n does not say more than that it wants a password: it asks for one before it looks.
    assert failed["reason"] == ("not_in_sudoers" if password else "sudo_password")


def test_a_user_who_does_not_exist(anna: Callable[..., Agent]) -> None:
    agent = anna("anna ALL=(ALL) NOPASSWD: ALL")
    become(agent, user="nemo")
    failed = refusal(agent)
    assert failed["reason"] == "not_in_sudoers"
    assert "unknown user" in failed["message"]


def test_a_method_that_is_not_installed(anna: Callable[..., Agent]) -> None:
    agent = anna()
    become(agent, exe="/opt/no/such/sudo")
    assert "not found" in refusal(agent)["message"]
    agent.send(t="ping", n=1)
    agent.next("pong")


def test_a_user_without_a_python(anna: Callable[..., Agent], people: People) -> None:
    people.write("sudo-without-python", WITHOUT_PYTHON)
    agent = anna()
    become(agent, exe="/etc/sudo-without-python")
    failed = refusal(agent)
    assert (failed["reason"], failed["message"]) == ("no_python", "no Python 3.6 or newer that ben may run")


def test_an_identity_nobody_described(agent: Agent) -> None:
    assert "never described" in refusal(agent, "stranger")["message"]


def test_su_with_its_password(anna: Callable[..., Agent]) -> None:
    agent = anna()
    become(agent, method="su", password=PASSWORD)
    assert uid(agent) == USERS["ben"]


@pytest.mark.parametrize(("password", "text"), [(SECRET, "is wrong"), (None, "is missing")])
def test_su_refuses(anna: Callable[..., Agent], password: str | None, text: str) -> None:
    agent = anna()
    become(agent, method="su", password=password)
    failed = refusal(agent)
    assert failed["reason"] == "sudo_password"
    assert text in failed["message"]


def test_doas_with_and_without_its_password(anna: Callable[..., Agent]) -> None:
    agent = anna(doas="permit anna as ben\npermit nopass anna as app")
    become(agent, method="doas", password=PASSWORD)
    assert uid(agent) == USERS["ben"]
    become(agent, "app", method="doas", user="app")
    assert uid(agent, "app") == USERS["app"]


@pytest.mark.parametrize(
    ("password", "user", "reason"),
    [(SECRET, "ben", "sudo_password"), (None, "ben", "sudo_password"), (None, "root", "not_in_sudoers")],
)
def test_doas_refuses(anna: Callable[..., Agent], password: str | None, user: str, reason: str) -> None:
    agent = anna(doas="permit anna as ben")
    become(agent, method="doas", user=user, password=password)
    assert refusal(agent)["reason"] == reason


def test_the_order_of_a_batch_is_total_across_identities(agent: Agent, entry: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    log.chmod(0o666)
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    become(agent, "n", user="nobody")
    become(agent, "s", method="su", user="nobody")
    names = [None, "n", None, "s", "n", "s", None]
    steps = [
        agent.step("t_command", {"line": f"echo {n} >> {log}"}, **{"as": name})
        for n, name in enumerate(names)
    ]
    came = agent.run(*steps)
    assert [status for _, status in results(came)] == ["changed"] * len(names)
    assert log.read_text().split() == [str(n) for n in range(len(names))]


def test_a_change_as_another_user_waits_for_its_word_too(agent: Agent, entry: str, tmp_path: Path) -> None:
    folder = Path("/tmp") / f"remedy-test-{os.urandom(4).hex()}"
    folder.mkdir()
    folder.chmod(0o777)
    try:
        become(agent, user="nobody")
        step = agent.step("t_line", {"path": str(folder / "a"), "text": "new", "source": "s"}, **{"as": "x"})
        came = agent.run(step, contents={"s": b"new"})
        assert [message["t"] for message in came] == ["intent", "result", "ended"]
        assert came[1]["status"] == "changed"
        assert (folder / "a").stat().st_uid == 65534
        agent.batch({**step, "params": {"path": str(folder / "b"), "text": "new"}})
        agent.next("intent")
        agent.cut()
        agent.gone()
        assert [path.name for path in folder.iterdir()] == ["a"]
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_predictions_pass_between_identities(agent: Agent, entry: str, tmp_path: Path) -> None:
    become(agent, user="nobody")
    path = "/tmp/remedy-test-predicted"
    steps = [
        agent.step("t_line", {"path": path, "text": "one"}, check=True),
        agent.step("t_seen", {"path": path}, check=True, **{"as": "x"}),
        agent.step("t_line", {"path": path + "-2", "text": "two"}, check=True, **{"as": "x"}),
        agent.step("t_seen", {"path": path + "-2"}, check=True),
    ]
    came = agent.run(*steps)
    assert [message["result"].get("text") for message in came[:-1]] == [None, "one", None, "two"]
    assert all("predicted" not in message for message in came)


def test_a_deadline_holds_under_another_identity(agent: Agent, entry: str) -> None:
    become(agent, user="nobody")
    hang = agent.step("t_probe", {"do": "hang"}, timeout=0.4, ignore=True, **{"as": "x"})
    came = agent.run(hang, agent.step("t_probe", **{"as": "x"}))
    assert [status for _, status in results(came)] == ["failed", "ok"]
    first = next(message for message in came if message["t"] == "result")
    assert first["result"]["cause"] == "timeout"


def test_modules_that_come_later_reach_every_identity(agent: Agent, entry: str) -> None:
    become(agent, user="nobody")
    assert uid(agent) == 65534
    source = "from remedy.agent.kinds import Probe\nclass L(Probe):\n def read(self): return {'late': 1}\n"
    agent.send(t="code", sources={"remedy.modules.target.t_late": source + "def kind(params): return L\n"})
    assert agent.one("t_late", **{"as": "x"})["result"]["late"] == 1


def test_an_agent_that_dies_fails_its_step(agent: Agent, entry: str) -> None:
    become(agent, user="nobody")
    step = agent.step(
        "t_probe", {"do": "run", "run": {"argv": "kill -9 $(ps -o ppid= -p $PPID)", "shell": True}}
    )
    result = agent.one(step["module"], step["params"], ignore=True, **{"as": "x"})
    assert result["reason"] == "the agent of x ended in the middle of the step"
    assert uid(agent) == 65534


def test_all_identities_end_with_the_link(anna: Callable[..., Agent]) -> None:
    agent = anna("Defaults use_pty\nanna ALL=(ALL) ALL")
    become(agent, password=PASSWORD)
    become(agent, "r", user="root", password=PASSWORD)
    pids = []
    for name in (None, "x", "r"):
        result = agent.one("t_probe", **{"as": name})["result"]
        pids += [result["pid"], result["ppid"]]
    agent.batch(agent.step("t_probe", {"do": "hang"}, **{"as": "r"}))
    agent.cut()
    agent.gone()
    deadline = time.monotonic() + 2
    while not dead(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert dead(pids)


def test_what_must_not_be_cut_off_finishes_as_another_user(
    anna: Callable[..., Agent], tmp_path: Path, people: People
) -> None:
    agent = anna("Defaults use_pty\nanna ALL=(ALL) ALL")
    become(agent, user="root", password=PASSWORD)
    os.mkfifo(tmp_path / "gate")
    line = f"touch {tmp_path}/on; read x < {tmp_path}/gate; touch {tmp_path}/done"
    agent.batch(agent.step("t_command", {"line": line, "patient": True}, **{"as": "x"}))
    wait_for(tmp_path / "on")
    agent.cut()
    with pytest.raises(subprocess.TimeoutExpired):
        agent.gone(6)
    (tmp_path / "gate").write_text("go\n")
    agent.gone()
    assert (tmp_path / "done").exists()


def test_the_direct_way_through_a_pty_ends_with_the_link(start: Callable[..., Agent], people: People) -> None:
    people.write("sudoers", "Defaults use_pty\nanna ALL=(ALL) NOPASSWD: ALL\n")
    agent = start(PYTHON, shell=people.shell("anna"), become={"method": "sudo", "user": "root"})
    assert agent.hello()["uid"] == 0
    result = agent.one("t_probe")["result"]
    agent.cut()
    agent.gone()
    assert dead([result["pid"], result["ppid"]])


def test_no_password_stands_where_others_can_read_it(anna: Callable[..., Agent]) -> None:
    agent = anna("anna ALL=(ALL) ALL")
    become(agent, password=PASSWORD)
    assert uid(agent) == USERS["ben"]
    seen = []
    for entry in Path("/proc").iterdir():
        for name in ("cmdline", "environ"):
            try:
                seen.append((entry / name).read_bytes() if entry.name.isdigit() else b"")
            except OSError:
                continue
    assert not any(PASSWORD.encode() in text for text in seen)


@pytest.mark.parametrize("method", ["sudo", "doas"])
def test_the_direct_way_fails_at_once_where_a_password_is_needed(
    start: Callable[..., Agent], people: People, method: str
) -> None:
    people.write("sudoers", "anna ALL=(ALL) ALL\n")
    people.write("doas.conf", "permit anna as ben\n")
    agent = start(PYTHON, shell=people.shell("anna"), become={"method": method, "user": "ben"})
    with pytest.raises(EOFError, match=r"password|Auth"):
        agent.hello()


def test_the_direct_way_of_su_does_not_take_the_payload_for_a_password(
    start: Callable[..., Agent], people: People
) -> None:
    agent = start(PYTHON, shell=people.shell("anna"), become={"method": "su", "user": "ben"})
    with pytest.raises(EOFError, match=f"REMEDY-NEEDS-PASSWORD {agent.nonce}"):
        agent.hello()


def test_the_direct_way_keeps_the_locale(start: Callable[..., Agent], entry: str) -> None:
    for wanted in ("C.UTF-8", ""):
        environment = {"PATH": os.environ["PATH"], **({"LC_ALL": wanted} if wanted else {})}
        agent = start(PYTHON, become={"method": "sudo", "user": "nobody"}, environment=environment)
        assert agent.hello()["user"] == "nobody"
        run = agent.one("t_probe", {"do": "run", "run": {"argv": "echo ${LC_ALL-unset}", "shell": True}})
        assert run["result"]["stdout"].strip() == (wanted or "unset")
