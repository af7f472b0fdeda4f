"""open_deleted: a deleted log that is only written is emptied; whatever else is deleted and open stays as it is."""

import mmap
import os
from pathlib import Path

import pytest
from tests.modules.holding import LOG, SIZE
from tests.modules.running import Talk, run

from remedy.modules.target import _holders

pytestmark = pytest.mark.usefixtures("seen")


def sweep(folder, **given):
    """Sweep; what other processes of this machine hold is theirs: only this folder's logs count."""
    given.setdefault("log_paths", [f"{folder}/**/*.log", f"{folder}/*.log"])
    return run("open_deleted", **given)


def kept(frame, folder):
    rows = {row["item"].split(" (deleted")[0]: row["reason"] for row in frame["kept"]}
    return {Path(path).name: reason for path, reason in rows.items() if path.startswith(str(folder))}


def test_a_deleted_log_is_emptied_and_its_writer_goes_on(tmp_path, hold):
    log = hold("app.log")
    pid = log.process.pid
    frame = sweep(tmp_path)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["bytes_freed"] == frame["result"]["bytes_freed"] == SIZE
    assert log.size == 0
    size, blocks = log.write("more")
    assert (size, blocks) == (5, 4096), "appended at the new end: nothing sparse"
    [file] = [each for each in frame["result"]["files"] if each["path"] == str(tmp_path / "app.log")]
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    assert file["taken"] is True
    assert file["processes"] == [f"{name} (pid {pid})"]
    assert file["reason"].startswith(f"a deleted log that {name} (pid {pid}")
    assert sweep(tmp_path)["status"] == "ok", "a second time there is nothing to take"


def test_check_mode_and_reads_only_look(tmp_path, hold):
    log = hold("app.log")
    frame = sweep(tmp_path, in_check=True)
    assert (frame["status"], frame["change"]["bytes_freed"]) == ("changed", SIZE)
    looked = sweep(tmp_path, reads=True)
    assert looked["status"] == "ok"
    assert [(item["item"].split(" (")[0], item["size"]) for item in looked["result"]["takes"]] == [
        (log.path, SIZE)
    ]
    assert looked["result"]["bytes"] == SIZE
    assert log.size == SIZE


@pytest.mark.parametrize(
    ("name", "flags", "extra", "reason"),
    [
        ("rw.log", os.O_RDWR | os.O_APPEND, "", "open for reading, too; held by "),
        ("read.log", LOG, "read", "open for reading, too; held by "),
        ("mapped.log", LOG, "map", "mapped by "),
        ("data.ibd", LOG, "", "not a log by log_paths; held by "),
        ("000017.log", LOG, "", "not a log by log_paths; held by "),
    ],
)
def test_what_may_be_more_than_a_log_is_never_touched(tmp_path, hold, name, flags, extra, reason):
    held = hold(name, flags, extra)
    frame = sweep(tmp_path)
    assert frame["status"] == "ok"
    assert held.size == SIZE
    found = kept(frame, tmp_path)[name]
    assert found.startswith(reason)
    assert f"(pid {held.process.pid}" in found
    [file] = [each for each in frame["result"]["files"] if each["path"] == held.path]
    assert (file["size"], file["taken"]) == (SIZE, False)


def test_a_log_that_has_another_name_left_is_not_deleted(tmp_path, hold):
    hold("app.log", extra="link")
    frame = sweep(tmp_path)
    assert kept(frame, tmp_path) == {}
    assert (tmp_path / "app.log.other").stat().st_size == SIZE


def test_one_descriptor_that_reads_protects_the_file_of_all(tmp_path, hold):
    log = hold("app.log")
    with open(f"/proc/{log.process.pid}/fd/{log.number}", "rb"):  # noqa: PTH123
        frame = sweep(tmp_path)
        assert kept(frame, tmp_path)["app.log"].startswith("open for reading, too; held by ")
        assert log.size == SIZE


def test_a_database_folder_is_left_alone(tmp_path, hold):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/ibdata1").touch()
    log = hold("data/slow.log")
    assert kept(sweep(tmp_path), tmp_path)["slow.log"].startswith("a database's folder; held by ")
    assert log.size == SIZE


def test_small_ones_are_not_worth_it(tmp_path, hold):
    log = hold("app.log", size=8192)
    assert kept(sweep(tmp_path), tmp_path) == {}
    assert log.size == 8192
    assert sweep(tmp_path, min_size="4K")["result"]["bytes_freed"] == 8192


def test_what_changes_before_the_word_comes_is_left(tmp_path, hold):
    closed, opened, mapped, grown = (hold(f"{name}.log") for name in ("closed", "opened", "mapped", "grown"))
    talk = Talk()
    theirs = []

    def meanwhile():
        closed.end()
        theirs.append(open(f"/proc/{opened.process.pid}/fd/{opened.number}", "rb"))  # noqa: PTH123, SIM115
        with open(f"/proc/{mapped.process.pid}/fd/{mapped.number}", "r+b") as file:  # noqa: PTH123
            theirs.append(mmap.mmap(file.fileno(), 4096))
        grown.write("more")

    talk.before_word = meanwhile
    frame = sweep(tmp_path, talk=talk)
    for each in theirs:
        each.close()
    reasons = kept(frame, tmp_path)
    assert reasons["closed.log"] == "it changed since it was looked at: no one holds it as before"
    assert reasons["opened.log"].startswith("open for reading, too; held by ")
    assert reasons["mapped.log"].startswith("mapped by ")
    assert (opened.size, mapped.size) == (SIZE, SIZE)
    assert grown.size == 0, "a log that grew is the same log"


def test_a_process_that_cannot_be_seen_may_have_it_mapped(tmp_path, hold, monkeypatch):
    log = hold("app.log")
    read = _holders._descriptors

    def refused(pid, wanted):
        if pid == "1":
            raise PermissionError
        return read(pid, wanted)

    monkeypatch.setattr(_holders, "_pids", lambda: ["1", str(log.process.pid)])
    monkeypatch.setattr(_holders, "_descriptors", refused)
    reason = kept(sweep(tmp_path), tmp_path)["app.log"]
    assert "(pid 1) may have it mapped, which cannot be seen; held by" in reason
    assert log.size == SIZE


def test_another_file_with_the_same_number_is_not_it(tmp_path, hold):
    log = hold("app.log")
    talk = Talk()
    other = hold("other.log")

    def meanwhile():
        log.process.kill()
        log.process.wait(10)

    talk.before_word = meanwhile
    frame = sweep(tmp_path, talk=talk, log_paths=[log.path])
    assert frame["status"] == "ok"
    assert frame["reason"] == "every item had changed or was gone"
    assert other.size == SIZE


def test_without_root_nothing_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    frame = sweep(tmp_path)
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "permission")
    assert "only as root" in frame["reason"]


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("/var/log/a/b/c", "/var/log/**", True),
        ("/var/logs/a", "/var/log/**", False),
        ("/srv/app/logs/x", "/srv/*/logs/*", True),
        ("/srv/app/deep/logs/x", "/srv/*/logs/*", False),
        ("/tmp/x.log", "*.log", True),
        ("/tmp/x.log/data", "*.log", False),
    ],
)
def test_patterns_of_log_paths(path, pattern, fits):
    assert _holders.matches(path, [pattern]) is fits
