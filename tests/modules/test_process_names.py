"""A process may have any bytes as its name: the kernel cuts one off after 15, in the middle of a letter, too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import in_python, step

from remedy.modules.target import _log_writers, docker_log_options

NAMED = """
import sys
with open("/proc/self/comm", "wb") as file:
    file.write(b"gr\\xc3\\xb6\\xc3")
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pid() -> Iterator[int]:
    """Return a process whose name is no text."""
    argv = [sys.executable, "-c", NAMED]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as named:
        assert named.stdout is not None
        assert named.stdout.readline() == "there\n"
        yield named.pid
        named.communicate("", timeout=10)


@pytest.mark.parametrize("interpreter", interpreters())
def test_servers_are_found_beside_it(interpreter: str, pid: int) -> None:
    steps = [step(name) for name in ("mysql_servers", "postgresql_servers", "redis_servers")]
    assert [frame["status"] for frame in in_python(interpreter, *steps)] == ["ok"] * 3


def test_it_can_be_looked_at(pid: int) -> None:
    assert not _log_writers.handles(pid, "HUP")
    list(docker_log_options._daemons())
