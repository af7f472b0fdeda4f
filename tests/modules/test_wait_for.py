"""wait_for: ports, files and texts, on real sockets."""

import socket
import threading
import time

import pytest
from tests.modules.running import params, run

from remedy.errors import InputError
from remedy.modules import find

QUICK = {"sleep": 0.02}


@pytest.fixture
def port():
    """A port that answers each connection with a greeting."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                with link:
                    link.sendall(b"220 mail.example.org ready\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_port_that_answers_is_there_at_once(port):
    result = run("wait_for", port=port)["result"]
    assert (result["state"], result["port"], result["elapsed"]) == ("started", port, 0)


def test_a_port_that_comes_later_is_waited_for():
    late = free_port()
    server = []
    timer = threading.Timer(0.2, lambda: server.append(socket.create_server(("127.0.0.1", late))))
    timer.start()
    assert run("wait_for", port=late, timeout=5, **QUICK)["status"] == "ok"
    timer.join()
    server[0].close()


def test_a_port_that_never_comes_fails_in_time():
    begun = time.monotonic()
    closed = free_port()
    frame = run("wait_for", port=closed, timeout=0.2, **QUICK)
    assert frame["status"] == "failed"
    assert frame["reason"] == f"127.0.0.1:{closed} did not answer after 0.2 seconds"
    assert frame["result"]["cause"] == "timeout"
    assert time.monotonic() - begun < 3


def test_the_failure_has_the_users_words():
    assert run("wait_for", port=free_port(), timeout=0, msg="no mail", **QUICK)["reason"] == "no mail"


def test_the_greeting_is_searched(port):
    result = run("wait_for", port=port, search_regex=r"^220 (?P<name>\S+)")["result"]
    assert result["match_groups"] == ["mail.example.org"]
    assert result["match_groupdict"] == {"name": "mail.example.org"}
    frame = run("wait_for", port=port, search_regex="FTP", timeout=0.1, **QUICK)
    assert frame["reason"] == f"'FTP' was not found in 127.0.0.1:{port} after 0.1 seconds"


def test_a_port_is_waited_away(port):
    assert run("wait_for", port=free_port(), state="stopped")["status"] == "ok"
    frame = run("wait_for", port=port, state="stopped", timeout=0.1, **QUICK)
    assert frame["reason"] == f"127.0.0.1:{port} was still there after 0.1 seconds"


def test_connections_are_drained():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            link, _ = server.accept()
            with link:
                busy = {"port": port, "state": "drained", "timeout": 0.1, **QUICK}
                frame = run("wait_for", **busy)
                assert frame["reason"] == f"127.0.0.1:{port} still had 1 connections after 0.1 seconds"
                assert run("wait_for", exclude_hosts=["127.0.0.1"], **busy)["status"] == "ok"
                assert run("wait_for", active_connection_states=["SYN_SENT"], **busy)["status"] == "ok"
                assert client.fileno() > 0
        closed = {"port": port, "state": "drained", "active_connection_states": ["ESTABLISHED"], "timeout": 5}
        assert run("wait_for", **closed, **QUICK)["status"] == "ok"


def test_a_file_and_its_text_are_waited_for(tmp_path):
    log = tmp_path / "app.log"
    assert run("wait_for", path=str(log), state="absent")["status"] == "ok"
    frame = run("wait_for", path=str(log), timeout=0.1, **QUICK)
    assert frame["reason"] == f"{log} did not appear after 0.1 seconds"
    log.write_text("starting\n")
    assert run("wait_for", path=str(log))["status"] == "ok"
    timer = threading.Timer(0.2, log.write_text, ["started in 12 ms\n"])
    timer.start()
    result = run("wait_for", path=str(log), search_regex=r"^started in (\d+)", timeout=5, **QUICK)["result"]
    timer.join()
    assert result["match_groups"] == ["12"]
    frame = run("wait_for", path=str(log), search_regex="started", state="absent", timeout=0.1, **QUICK)
    assert frame["reason"] == f"{log} was still there after 0.1 seconds"


def test_without_a_port_or_a_path_it_only_waits():
    begun = time.monotonic()
    assert run("wait_for", timeout=0.2)["status"] == "ok"
    assert time.monotonic() - begun >= 0.2


def test_the_deadline_follows_the_timeout():
    assert find("wait_for").kind(params("wait_for", port=1, timeout="20m", delay="10s")).deadline == 1240
    assert find("wait_for").kind(params("wait_for", port=1)).deadline == 330


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"port": 1, "path": "/x"}, "give port or path, not both"),
        ({"path": "/x", "state": "stopped"}, "state stopped is about a port, not a path"),
        ({"port": 1, "exclude_hosts": ["a"]}, "exclude_hosts needs state: drained"),
        ({"state": "drained"}, "state drained needs a port"),
        ({"port": 1, "search_regex": "("}, "search_regex is no regular expression"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(args, text):
    with pytest.raises(InputError, match=text):
        params("wait_for", **args)
