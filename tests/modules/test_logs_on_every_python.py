"""What looks after logs, on every Python at hand: real files, in a namespace where all processes can be seen."""

import json
import subprocess

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import _program, step

SIZE = 2 << 20
HOLD = """
import os
with open(%r + "/old.log.1", "wb") as file:
    file.write(b"an old line\\n" * 50000)
for name in ("deleted.log", "written.log"):
    held = os.open(%r + "/" + name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(held, b"last words\\n".rjust(%d, b"x"))
os.unlink(%r + "/deleted.log")
"""


@pytest.mark.parametrize("interpreter", interpreters())
def test_logs_journals_and_caches(interpreter, tmp_path):
    root = str(tmp_path)
    steps = [
        step("open_deleted", log_paths=[root + "/*"]),
        step("open_deleted", log_paths=[root + "/*"], reads=True),
        step("log_truncate", paths=[root + "/*.log"], min_size="1M"),
        step("journal_vacuum", reads=True, internal={"clock_skew": None}),
        step("package_cache", lists=True, in_check=True),
        step("logrotate_run", config=root + "/none.conf"),
        step("log_rotation", paths=[root], config=root + "/none.conf", sample=0, min_size=1),
        step("logrotate_rule", paths=[root + "/written.log"], config=root + "/none.conf"),
        step("log_reopen", paths=[root + "/written.log"]),
        step("log_compress", paths=[root + "/*"], min_size=1),
        step("docker_log_options", path=root + "/daemon.json"),
    ]
    program = HOLD % (root, root, SIZE, root) + _program(steps).decode()
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", interpreter, "-I", "-B", "-W", "error", "-"],
        input=program.encode(),
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin:/usr/sbin", "LC_ALL": "C", "HOME": "/root"},
        check=True,
        timeout=60,
    )
    deleted, looked, written, journal, cache, rotation, logs, rule, reopen, packed, docker = json.loads(done.stdout)
    assert (deleted["status"], deleted["change"]["bytes_freed"]) == ("changed", SIZE), deleted
    assert (looked["status"], looked["result"]["takes"]) == ("ok", []), looked
    assert (written["status"], written["change"]["bytes_freed"]) == ("changed", SIZE), written
    assert (tmp_path / "written.log").read_bytes() == b""
    assert journal["status"] == "ok", journal
    assert cache["status"] in ("ok", "changed"), cache
    assert rotation["status"] == "failed", rotation
    assert "no" in rotation["reason"]
    assert (logs["status"], logs["result"]["available"]) == ("ok", False), logs
    assert rule["status"] == "failed", rule
    assert "logrotate" in rule["reason"] or "there is no" in rule["reason"]
    assert (reopen["status"], reopen["reason"]) == ("ok", "nobody writes a file that was rotated from it"), reopen
    assert (packed["status"], (tmp_path / "old.log.1.gz").is_file()) == ("changed", True), packed
    assert docker["status"] in ("changed", "failed"), docker
    assert docker["status"] == "changed" or docker["reason"] == "there is no dockerd on this host"
