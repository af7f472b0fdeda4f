"""Faults on every Python at hand, on this machine: nothing is filled; where no systemd runs, processes are orphans."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import in_python, params, step

from remedy.agent import bootstrap
from remedy.errors import InputError
from remedy.modules.registry import FAULTS


@pytest.mark.parametrize("interpreter", interpreters())
def test_faults_come_and_go(interpreter: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = str(tmp_path)
    faults = [
        ("fault_old_files", {"path": folder, "files": 3, "size": 10}),
        ("fault_logs", {"folder": folder, "rotated": 2, "size": 100, "live": 1000}),
        ("fault_deleted_open", {"folder": folder, "size": 1000, "name": f"p{port}"}),
        ("fault_log_writer", {"folder": folder, "fill": 100, "name": f"w{port}"}),
        ("fault_port", {"port": port, "address": "127.0.0.1"}),
    ]
    steps = []
    for module, given in faults:
        steps += [step(module, **given)] * 2 + [step(module, state="absent", **given)] * 2
    frames = in_python(interpreter, *steps)
    found = [(frame["status"], frame["result"].get("exception")) for frame in frames]
    assert found == [("changed", None), ("ok", None)] * 2 * len(faults), frames
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interpreter", interpreters())
def test_more_than_is_free_cannot_be_left(interpreter: str, tmp_path: Path) -> None:
    given = {"path": str(tmp_path), "leave": 1 << 60}
    steps = [step(module, **given) for module in ("fault_disk_full", "fault_inodes_full")]
    frames = in_python(interpreter, *steps, *({**each, "check": True} for each in steps))
    assert [frame["status"] for frame in frames[:2]] == ["failed", "failed"], frames
    assert f"free already, and {1 << 60} are to be left: nothing to fill; leave less" in frames[0]["reason"]
    assert f"free already, and {1 << 60} are to be left: nothing to use up; leave" in frames[1]["reason"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "given", "text"),
    [
        ("fault_disk_full", {"path": "/", "leave": 1, "percent": 5}, "give leave or percent, not both"),
        ("fault_disk_full", {"path": "/", "name": "../x"}, "name '../x': expected up to 40 letters"),
        ("fault_logs", {"rotated": 0}, "there would be no log"),
        ("fault_log_writer", {"rate": 0}, "rate: expected up to 10000 lines a second"),
        ("fault_old_files", {"path": "/", "ending": "/x"}, "ending is the end of a name, without /"),
        ("fault_config", {"path": "/x"}, "give line, or search and replace"),
        ("fault_port", {"port": 70000}, "port: expected 1 to 65535"),
        ("fault_binlogs", {"name": "a b"}, "name 'a b': expected"),
        ("fault_mysql_writes", {"clients": 0}, "clients must be 1 to 32"),
        ("fault_mysql_writes", {"insert": [1000]}, "insert takes ids from 1 to 999"),
        ("fault_mysql_replica", {"name": "a b"}, "name 'a b': expected"),
        ("fault_hung_mount", {"path": "x"}, "path 'x': expected an absolute path"),
        ("fault_disk_full", {"path": ""}, "path '': expected an absolute path, such as /var/log"),
        ("fault_disk_full", {"path": "var/log"}, "path 'var/log': expected an absolute path"),
        ("fault_inodes_full", {"path": ""}, "path '': expected an absolute path"),
        ("fault_old_files", {"path": "tmp"}, "path 'tmp': expected an absolute path"),
        ("fault_config", {"path": "my.cnf", "line": "x"}, "path 'my.cnf': expected an absolute path"),
        ("fault_logs", {"folder": ""}, "folder '': expected an absolute path"),
        ("fault_deleted_open", {"folder": "log"}, "folder 'log': expected an absolute path"),
        ("fault_disk_full", {"path": "/", "leave": "-3M"}, "leave cannot be less than 0"),
        ("fault_disk_full", {"path": "/", "most": -1}, "most cannot be less than 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(module: str, given: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        params(module, **given)


def test_faults_travel_only_to_those_who_ask_for_them() -> None:
    assert not [name for name in bootstrap.sources(["copy", "service", "docker_prune"]) if "fault_" in name]
    assert FAULTS + "fault_port" in bootstrap.sources([FAULTS + "fault_port"])
