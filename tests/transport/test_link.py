"""Links to real agents: one flight, pings, and a true word for every way in which one fails to start or ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from importlib import import_module
from pathlib import Path

import paramiko
import pytest

from remedy.errors import Interrupted, LinkLost, Unreachable
from remedy.transport import Target, open_link

from .conftest import Relay

START = {"t": "start", "lock": False, "check": False, "label": "remedy test, root@here", "lease": 60}


def batch(name: str = "b1", module: str = "ping", user: str | None = None, **given) -> dict:
    known = import_module(f"remedy.modules.target.{module}").PARAMS
    params = {**{param.name: param.default for param in known}, **given}
    step = {
        "id": f"{name}.1",
        "group": f"{name}.1",
        "op": "run",
        "module": module,
        "params": params,
        "as": user,
    }
    return {"t": "batch", "id": name, "steps": [step], "ends": True}


def answers(link, name: str = "b1") -> dict:
    """Return the result of a batch of one step."""
    result = {}
    while True:
        message = link.receive(20)
        if message["t"] == "result":
            result = message
        if message["t"] == "ended" and message["batch"] == name:
            return result


@pytest.fixture
def link_to(connector):
    """Open links, which are closed at the end."""
    opened = []

    def open_to(target: Target, **more):
        connection = connector.connect(target)
        opened.append(connection)
        link = open_link(connection, **{"start": START, **more})
        opened.append(link)
        return link

    yield open_to
    for each in reversed(opened):
        each.close()


@pytest.fixture
def impatient(monkeypatch):
    """Pings and the end of patience within a second."""
    monkeypatch.setattr("remedy.transport.ssh.TICK", 0.05)
    monkeypatch.setattr("remedy.transport.link.PING", 0.1)
    monkeypatch.setattr("remedy.transport.link.SILENCE", 1.0)


@pytest.fixture(params=["ssh", "local"])
def target(request, place):
    if request.param == "local":
        return Target.from_variables("here", {"ansible_connection": "local"})
    return place.target(place.sshd())


def test_source_modules_and_first_batch_leave_in_one_flight(target, link_to):
    link = link_to(target, first=batch(data="hey"))
    hello = link.receive(20)
    assert hello["t"] == "hello"
    assert link.hello is hello
    assert hello["uid"] == os.getuid()
    assert link.receive(20)["result"]["ping"] == "hey"
    assert link.receive(20)["t"] == "ended"
    assert link.setup_trips == (2 if target.connection == "ssh" else 0)


def test_modules_that_are_missing_travel_ahead_of_their_batch(target, link_to):
    link = link_to(target)
    assert link.receive(20)["t"] == "hello"
    link.send(batch("b2", data="later"))
    assert answers(link, "b2")["result"]["ping"] == "later"
    link.send(batch("b3", data="again"))
    assert answers(link, "b3")["result"]["ping"] == "again"


def test_nothing_arrives_within_the_time_given(target, link_to):
    link = link_to(target)
    link.receive(20)
    with pytest.raises(TimeoutError):
        link.receive(0.05)


def test_messages_from_many_threads_stay_whole(target, link_to):
    link = link_to(target)
    link.receive(20)
    threads = [
        threading.Thread(target=link.send, args=(batch(f"t{number}", data="x" * 50_000),))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for _ in range(16):
        message = link.receive(20)
        assert message["t"] == "ended" or len(message["result"]["ping"]) == 50_000


def test_closing_ends_the_agent(target, connector):
    connection = connector.connect(target)
    link = open_link(connection, start=START)
    pid = link.receive(20)["pid"]
    link.close()
    link.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()
    connection.close()


def test_a_killed_agent_is_told_as_killed(target, link_to):
    link = link_to(target)
    os.kill(link.receive(20)["pid"], signal.SIGKILL)
    with pytest.raises(LinkLost) as caught:
        link.receive(20)
    assert caught.value.reason == "agent_killed"
    assert "was killed" in caught.value.message
    with pytest.raises(LinkLost):
        link.receive(1)
    with pytest.raises(LinkLost):
        link.send(batch())


# --- the link under strain


def test_pings_keep_a_quiet_link_alive(place, link_to, impatient):
    link = link_to(place.target(place.sshd()), start={**START, "lease": 1})
    link.receive(20)
    with pytest.raises(TimeoutError):
        link.receive(2.5)  # two and a half times the patience of either side
    link.send(batch(data="still here"))
    assert answers(link)["result"]["ping"] == "still here"


def test_a_cut_connection_is_lost_at_once(place, link_to):
    relay = Relay(place.sshd().port)
    place.known_hosts.write_text(
        place.known_hosts.read_text().replace("[127.0.0.1]:", "[127.0.0.1]:*,[127.0.0.1]:")
    )
    link = link_to(place.target(relay.port))
    link.receive(20)
    relay.cut()
    with pytest.raises(LinkLost) as caught:
        link.receive(5)
    assert caught.value.reason == "link_lost"
    assert "ended in the middle of the work" in caught.value.message
    relay.close()


def test_why_a_host_ends_a_connection_is_told(place, link_to):
    link = link_to(place.target(place.sshd()))
    link.receive(20)
    stray = paramiko.Message(bytes([96, 0, 0, 0, 99]))  # RFC 4254, 5.3: the end of data, on a channel that is not there
    link._connection.line.fabric.transport._send_user_message(stray)
    with pytest.raises(LinkLost) as caught:
        link.receive(5)
    assert caught.value.reason == "link_lost"
    assert "(the host said: ieof packet referred to nonexistent channel 99)" in caught.value.message


def test_a_frozen_agent_is_given_up(place, link_to, impatient):
    link = link_to(place.target(place.sshd()))
    pid = link.receive(20)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(LinkLost) as caught:
            link.receive(10)
    finally:
        os.kill(pid, signal.SIGKILL)
    assert caught.value.reason == "agent_killed"
    assert "has not answered for 1 s, though the connection stands" in caught.value.message


def test_a_stalled_network_frees_a_blocked_sender(place, link_to, impatient):
    relay = Relay(place.sshd().port)
    place.known_hosts.write_text(
        place.known_hosts.read_text().replace("[127.0.0.1]:", "[127.0.0.1]:*,[127.0.0.1]:")
    )
    link = link_to(place.target(relay.port))
    link.receive(20)
    relay.freeze()
    with pytest.raises(LinkLost):
        link.send({"t": "content", "source": "x", "data": b"x" * (64 << 20)})
    relay.close()


def test_a_long_upload_is_no_silence(place, link_to, impatient):
    link = link_to(place.target(place.sshd()))
    link.receive(20)
    link.send({"t": "content", "source": "x", "data": b"x" * (8 << 20)})
    link.send(batch(data="there"))
    assert answers(link)["result"]["ping"] == "there"


# --- starts that fail


def fails(connector, target, **more) -> Unreachable:
    connection = connector.connect(target)
    try:
        with pytest.raises(Unreachable) as caught:
            open_link(connection, start=START, **more)
    finally:
        connection.close()
    assert caught.value.host == target.name
    assert caught.value.hint
    return caught.value


def test_a_shell_that_hangs(place, connector):
    server = place.sshd("ForceCommand echo welcome; exec sleep 600")
    error = fails(connector, place.target(server, ansible_ssh_timeout=1))
    assert error.reason == "hung_shell"
    assert "only printed: welcome, and started no agent within 1 s" in error.message


def test_a_shell_that_ends_at_once(place, connector):
    server = place.sshd("ForceCommand echo 'This account is currently not available.'; exit 1")
    error = fails(connector, place.target(server))
    assert error.reason == "hung_shell"
    assert "no usable login shell: This account is currently not available." in error.message


def test_a_forced_command(place, connector):
    error = fails(connector, place.target(place.sshd("ForceCommand head -c 10 >/dev/null; exit 5")))
    assert error.reason == "hung_shell"
    assert "ended with exit status 5" in error.message


def test_no_python(place, connector):
    server = place.sshd(
        """ForceCommand eval "$(printf %s "$SSH_ORIGINAL_COMMAND" | sed 's/python[0-9.]*/none/g')" """
    )
    error = fails(connector, place.target(server, ansible_python_interpreter="/opt/none"))
    assert error.reason == "no_python"
    assert "tried /opt/none and the usual names" in error.message


def test_a_python_that_is_not_there_is_passed_over(place, link_to):
    link = link_to(place.target(place.sshd(), ansible_python_interpreter="/opt/none"))
    assert link.receive(20)["t"] == "hello"


def test_noise_before_the_agent_does_no_harm(place, link_to):
    noise = "head -c 3000000 /dev/zero >&2; echo Welcome to web1; head -c 300000 /dev/zero"
    link = link_to(place.target(place.sshd(f'ForceCommand {noise}; eval "$SSH_ORIGINAL_COMMAND"')))
    assert link.receive(20)["t"] == "hello"


def test_endless_noise_is_given_up(place, connector):
    error = fails(connector, place.target(place.sshd("ForceCommand cat /dev/zero")))
    assert error.reason == "hung_shell"
    assert "prints without end" in error.message


def test_no_session(place, connector):
    error = fails(connector, place.target(place.sshd("MaxSessions 0")))
    assert error.reason == "refused"
    assert "lets root log in, but opens no session" in error.message


def test_a_stopped_start_ends_at_once(place, connector):
    cancel = threading.Event()
    connection = connector.connect(place.target(place.sshd("ForceCommand sleep 600")))
    timer = threading.Timer(0.2, cancel.set)
    timer.start()
    with pytest.raises(Interrupted):
        open_link(connection, start=START, cancel=cancel)
    timer.join()
    connection.close()


def test_a_host_that_talks_without_end_does_not_fill_our_memory(target, link_to, monkeypatch):
    monkeypatch.setattr("remedy.transport.link._WAITING", 20)
    link = link_to(target)
    for number in range(200):
        link.send({"t": "batch", "id": f"b{number}", "steps": []})
    assert link.receive(20)["t"] == "hello"
    seen = [link.receive(20) for _ in range(100)]
    assert link._arrived.qsize() <= 20
    seen += [link.receive(20) for _ in range(100)]
    assert [message["batch"] for message in seen] == [f"b{number}" for number in range(200)]
