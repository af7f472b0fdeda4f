"""What looks for Redis on a host, and what ends connections there, on every Python at hand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import in_python, step

from remedy.modules.target import _redis_host, redis_servers

CONF = """
# a comment
port 6380
requirepass "very secret"
save 900 1
save 300 10
rename-command CONFIG ""
proc-title-template "{title} \\"x\\" \\x41"
include INCLUDED
"""


@pytest.mark.parametrize("interpreter", interpreters())
def test_servers_are_looked_for(interpreter: str, tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("port 6390\nmaxmemory 10mb\n")
    path = tmp_path / "redis.conf"
    path.write_text(CONF.replace("INCLUDED", str(tmp_path / "more.conf")))
    host = {**step("ping"), "module": "remedy.modules.target._redis_host",
            "params": {"config_file": str(path), "pid": os.getpid(), "dir": str(tmp_path)}}  # fmt: skip
    servers, told = in_python(interpreter, step("redis_servers"), host)
    assert servers["status"] == "ok", servers
    assert told["status"] == "ok", told
    config = told["result"]["config"]
    assert config["values"] == {
        "port": "6390",
        "requirepass": "***",
        "save": "900 1 300 10",
        "proc-title-template": '{title} "x" A',
        "maxmemory": "10mb",
    }
    assert config["renamed"] == ["CONFIG"]
    assert config["where"]["maxmemory"].endswith("more.conf")
    assert told["result"]["memory"]["total"] > told["result"]["memory"]["available"] > 0


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert _redis_host.config(str(tmp_path / "none"))["unreadable"].endswith(
        "none: no such file or directory"
    )


def test_an_idle_connection_is_ended_and_one_at_work_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as idle, server.accept()[0] as near:
            idle.sendall(b"x")
            began = time.monotonic()
            for interpreter in interpreters():
                seen = step("connection_close", port=port, idle=3600)
                (frame,) = in_python(interpreter, seen)
                assert (frame["status"], frame["result"]["connections"]) == ("ok", 1), frame
            time.sleep(max(0.0, 1.1 - (time.monotonic() - began)))  # idle is counted in seconds
            wanted = step("connection_close", port=port, idle=1)
            checked, done, again = in_python(interpreters()[0], {**wanted, "check": True}, wanted, wanted)
            assert checked["change"]["predicted"]
            (item,) = done["change"]["items"]
            assert item["item"] == f"127.0.0.1:{idle.getsockname()[1]}"
            assert (again["status"], again["result"]["connections"]) == ("ok", 0)
            near.recv(1)
            near.settimeout(5)
            with pytest.raises(ConnectionError):
                near.recv(1)


SECOND = """
import socket, sys
with socket.create_server(("127.0.0.2", int(sys.argv[1]))) as server:
    print("there", flush=True)
    held = [server.accept()[0], sys.stdin.read()]
"""

PROXY = """
import pathlib, socket, sys
pathlib.Path("/proc/self/comm").write_text(sys.argv[1])
with socket.create_server(("127.0.0.1", 0)) as first:
    port = first.getsockname()[1]
    with socket.create_server(("127.0.0.2", port)) as second:
        print(port, flush=True)
        held = [first.accept()[0], second.accept()[0]]
        print("taken", flush=True)
        sys.stdin.read()
"""


def test_of_two_servers_with_one_port_only_the_one_that_was_reached_is_meant() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        argv = [sys.executable, "-c", SECOND, str(port)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "there\n"
            with (
                socket.create_connection(("127.0.0.1", port)),
                socket.create_connection(("127.0.0.1", port)),
                socket.create_connection(("127.0.0.2", port)),
            ):
                held = [first.accept()[0] for _ in range(2)]
                for interpreter in interpreters():
                    at = {"port": port, "idle": 3600}
                    here, there, both, nowhere = in_python(
                        interpreter,
                        step("connection_close", **at, reached=f"127.0.0.1:{port}"),
                        step("connection_close", **at, reached=f"127.0.0.2:{port}"),
                        step("connection_close", **at),
                        step("connection_close", **at, reached=f"192.0.2.1:{port}"),
                    )
                    counts = [each["result"]["connections"] for each in (here, there, both)]
                    assert counts == [2, 1, 3], interpreter
                    assert nowhere["status"] == "failed"
                    assert f"nobody on this host takes connections at 192.0.2.1:{port}" in nowhere["reason"]
                for each in held:
                    each.close()
            second.communicate("", timeout=10)


@pytest.mark.parametrize(("name", "counts"), [("redis-server", [2, 2]), ("haproxy", [1, 1])])
def test_of_a_proxy_only_the_address_that_was_reached_is_meant(name: str, counts: list[int]) -> None:
    """A server takes its own clients at all of its addresses; a proxy has another server behind each."""
    argv = [sys.executable, "-c", PROXY, name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        port = int(proxy.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.2", port)):
            assert proxy.stdout.readline() == "taken\n"
            for interpreter in interpreters():
                frames = in_python(
                    interpreter,
                    step("connection_close", port=port, idle=3600, reached=f"127.0.0.1:{port}"),
                    step("connection_close", port=port, idle=3600, reached=f"127.0.0.2:{port}"),
                )
                assert [each["result"]["connections"] for each in frames] == counts, interpreter
        proxy.communicate("", timeout=10)


def test_an_append_only_file_that_was_deleted_is_none(tmp_path: Path) -> None:
    """Its process writes on, and after a restart the data are gone."""
    path = tmp_path / "appendonly.aof.1.incr.aof"
    with path.open("w"):
        assert redis_servers._appends(os.getpid(), {}) is True
        path.unlink()
        assert redis_servers._appends(os.getpid(), {}) is False


@pytest.mark.parametrize(
    ("listens", "values", "command", "port"),
    [
        ([], {}, "", 6379),
        ([], {"port": "6380"}, "", 6380),
        ([], {"port": "6380"}, "argv[]=/usr/bin/redis-server /etc/redis.conf --port 6381 ;", 6381),
        (["0.0.0.0:6382", "[::]:6382", "/run/redis.sock"], {}, "", 6382),
        (["127.0.0.1:6380", "127.0.0.1:16380"], {"cluster-enabled": "yes"}, "", 6380),
        (["127.0.0.1:7000", "127.0.0.1:7100"], {"cluster-port": "7100"}, "", 7000),
        (["127.0.0.1:6380", "127.0.0.1:6390"], {"port": "6380", "tls-port": "6390"}, "", 6380),
        (["127.0.0.1:6381", "127.0.0.1:6390"], {"port": "6380", "tls-port": "6390"}, "", 6381),
        (["127.0.0.1:6390"], {"port": "0", "tls-port": "6390"}, "", 0),
        (["127.0.0.1:6391", "127.0.0.1:6392"], {}, "", 6379),  # nobody can tell
    ],
)
def test_a_port_is_where_it_listens(
    listens: list[str], values: dict[str, str], command: str, port: int
) -> None:
    assert _redis_host.port(listens, values, command) == port


@pytest.mark.parametrize(
    ("listens", "port", "address"),
    [
        ([], 6379, None),
        (["0.0.0.0:6379", "[::]:6379"], 6379, None),
        (["10.0.0.5:6379", "127.0.0.1:6379"], 6379, None),
        (["10.0.0.5:6379", "10.0.0.5:16379"], 6379, "10.0.0.5"),
        (["127.0.0.1:6390", "10.0.0.5:6379"], 6379, "10.0.0.5"),
        (["[::]:6379"], 6379, "::1"),
        (["/run/redis.sock"], 0, None),
        (["/run/redis.sock"], None, None),
    ],
)
def test_an_address_is_told_where_it_is_not_that_of_the_host_itself(
    listens: list[str], port: int | None, address: str | None
) -> None:
    assert _redis_host.address(listens, port) == address


@pytest.mark.parametrize(
    ("command", "file", "known"),
    [
        ("/usr/bin/redis-server /etc/redis/6380 --supervised systemd", "/etc/redis/6380", True),
        ("/usr/bin/redis-server --port 6380", None, True),
        ("/usr/bin/numactl -i all /usr/bin/valkey-server /etc/v.cfg", "/etc/v.cfg", True),
        ("/bin/sh -c exec redis-server /etc/a.conf", "/etc/a.conf", True),
        ("/usr/local/bin/redis-server-start", None, False),
        ("/usr/local/bin/start-cache", None, False),
    ],
)
def test_a_command_line_is_a_server_s_own_or_a_script_s(command: str, file: str | None, known: bool) -> None:
    shown = f"ExecStart={{ path={command.split()[0]} ; argv[]={command} ; ignore_errors=no ; pid=7 }}"
    found = redis_servers._FILE.search(shown)
    assert (found and found.group(1), bool(redis_servers._SERVER.search(shown))) == (file, known)
