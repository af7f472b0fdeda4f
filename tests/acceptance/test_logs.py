"""A log disk that is full, healed from the command line: found, asked for, freed, its last words kept, proved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.lab import Disk, Host, Lab
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

RUNBOOK = """
- name: Logs
  hosts: all
  become: true
  runbook: {severity: P1, symptoms: ["No space left on device"]}
  diagnose:
    - disk_usage: {above: 85%, mounts: [/var/log]}
      register: disk
    - open_deleted: {reads: true}
      register: held
    - log_truncate: {paths: ["/var/log/app/*.log"], min_size: 5M, reads: true}
      register: big
    - journal_vacuum: {size: 1M, reads: true}
    - package_cache: {reads: true}
    - finding: {id: log-disk, severity: P1, title: the log disk is full, evidence: "{{ held.takes + big.takes }}"}
      when: disk.full | length > 0
  tasks:
    - name: deleted logs
      open_deleted: {}
    - name: big logs
      log_truncate: {paths: ["/var/log/app/*.log"], min_size: 5M, keep_tail: 1K}
    - name: journals
      journal_vacuum: {size: 1M}
  verify:
    - disk_usage: {above: 85%, mounts: [/var/log]}
      register: disk
      failed_when: disk.full | length > 0
"""

WRITER = """
import os, time
for name in ("gone", "big"):
    log = os.open("/var/log/app/%s.log" % name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, b"line\\n" * 3000000 + b"last words\\n")
os.unlink("/var/log/app/gone.log")
open("/run/written", "w").close()
time.sleep(900)
"""


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> Iterator[Host]:
    host = host_factory("logs1", role="app", disks={"/var/log": Disk("96M")})
    lab.put(host.name, "/run/writer.py", WRITER.encode())
    start = "mkdir /var/log/app; systemd-run -q --unit=writer python3 /run/writer.py"
    lab.run(host.name, ["sh", "-ec", f"{start}; until test -e /run/written; do :; done"])
    lab.fill(host.name, "/var/log")
    return host


def test_a_full_log_disk_is_found_and_healed(lab: Lab, host: Host, tmp_path: Path) -> None:
    operator = Operator(tmp_path, lab, host)
    found = operator.diagnose(RUNBOOK)
    assert found.code == 10, found.stderr
    [finding] = found.report["findings"]
    assert [item["size"] for item in finding["evidence"]] == [15003648, 15003648]

    refused = operator.play(RUNBOOK)
    assert refused.code == 3, refused.stderr
    assert "/var/log/app/big.log" in refused.stderr

    healed = operator.play(RUNBOOK, "--yes")
    assert healed.code == 0, healed.stderr
    freed = {change["task"]: change["bytes_freed"] for change in healed.report["changes"]}
    assert freed["deleted logs"] == freed["big logs"] == 15003648
    folder = operator.state / "runs" / healed.report["run"]["id"] / "kept" / host.name
    tail = (folder / "var_log_app_big.log.tail").read_bytes()
    assert tail.endswith(b"line\nlast words\n")
    assert 1000 < len(tail) <= 1024
    assert [finding["resolved"] for finding in healed.report["findings"]] == [True]

    again = operator.play(RUNBOOK, "--yes")
    assert (again.code, again.report["changes"]) == (0, [])
