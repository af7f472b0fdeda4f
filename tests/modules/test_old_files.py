"""old_files: what is old goes, what is in use, protected or changed stays, and each says why."""

import ctypes
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.modules.running import Talk, params, run

from remedy.errors import InputError
from remedy.modules.target import _protected
from remedy.modules.target._log_names import ROTATED

DAY = 86400


def old(path, days=30, content=b"x" * 5000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def sweep(folder, *, in_check=False, talk=None, internal=(), **given):
    given.setdefault("age", "7d")
    given.setdefault("paths", [str(folder)])
    return run("old_files", in_check=in_check, talk=talk, internal=internal, **given)


def kept(frame):
    return {Path(entry["item"]).name: entry["reason"] for entry in frame["kept"]}


def test_old_rotated_logs_go_and_the_rest_stays(tmp_path):
    gone = [old(tmp_path / name) for name in ("app.log.1", "app.log.2.gz", "deep/er/syslog-20240131.xz")]
    stay = [old(tmp_path / name) for name in ("app.log", "notes.txt", "binlog.000017", "libz.so.1")]
    young = old(tmp_path / "young.log.1", days=2)
    size = sum(path.stat().st_blocks * 512 for path in gone)
    talk = Talk()
    frame = sweep(tmp_path, talk=talk)
    assert frame["status"] == "changed", frame["reason"]
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in [*stay, young])
    assert frame["result"]["bytes_freed"] == frame["change"]["bytes_freed"] == size
    assert sorted(frame["result"]["files"]) == sorted(map(str, gone))
    assert kept(frame) == {"young.log.1": "only 2 days old"}
    [intent] = talk.intents
    assert {item["reason"] for item in intent["items"]} == {"rotated 30 days ago"}
    assert intent["irreversible"]
    again = sweep(tmp_path)
    assert again["status"] == "ok"
    assert (tmp_path / "deep/er").is_dir(), "folders stay"


def test_check_mode_lists_and_touches_nothing(tmp_path):
    path = old(tmp_path / "a.log.1")
    frame = sweep(tmp_path, in_check=True)
    assert frame["status"] == "changed"
    assert frame["change"]["predicted"] is True
    assert frame["result"]["files"] == [str(path)]
    assert path.exists()


def test_the_age_of_a_rotated_log_is_its_mtime_and_of_a_temporary_file_the_newest_of_three(tmp_path):
    path = old(tmp_path / "a.log.1")
    path.chmod(0o600)  # renews the ctime, which cannot be set back
    assert kept(sweep(tmp_path, age_of="temporary")) == {"a.log.1": "only 0 seconds old"}
    assert sweep(tmp_path)["status"] == "changed"


def test_an_open_file_is_kept_and_its_process_is_named(tmp_path):
    path = old(tmp_path / "a.log.1")
    with path.open("rb"):
        frame = sweep(tmp_path)
    name = Path("/proc/self/comm").read_text().strip()
    assert frame["status"] == "ok"
    assert kept(frame) == {"a.log.1": f"open in {name} (pid {os.getpid()})"}
    assert path.exists()


def test_a_file_open_in_another_mount_namespace_is_kept(tmp_path):
    path = old(tmp_path / "a.log.1")
    holder = "exec 9<$1; mount -t tmpfs none $2; echo ready; exec sleep 30"
    other = ["unshare", "--mount", "sh", "-c", holder, "sh", str(path), str(tmp_path)]
    with subprocess.Popen(other, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        try:
            assert kept(sweep(tmp_path)) == {"a.log.1": f"open in sleep (pid {process.pid})"}
        finally:
            process.kill()


def test_a_mapped_file_is_kept_when_its_descriptor_is_closed(tmp_path):
    path = old(tmp_path / "a.log.1")
    libc = ctypes.CDLL(None)  # Python's own mmap keeps a descriptor
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    with path.open("rb") as file:
        place = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    try:
        assert kept(sweep(tmp_path))["a.log.1"].startswith("mapped by ")
    finally:
        libc.munmap(place, 4096)
    assert path.exists()


def test_who_cannot_be_seen_is_asked_for_through_the_kernel(tmp_path, monkeypatch):
    """With /proc telling nothing at all, a write lease still finds the reader."""
    from remedy.modules.target import old_files

    monkeypatch.setattr(old_files, "in_use", lambda wanted: ({}, ["init (pid 1)"]))
    held, free = old(tmp_path / "held.log.1"), old(tmp_path / "free.log.1")
    with held.open("rb"):
        frame = sweep(tmp_path)
    assert frame["result"]["files"] == [str(free)]
    assert kept(frame) == {"held.log.1": "in use by a process that cannot be seen from here"}
    monkeypatch.setattr(old_files, "alone", lambda name, folder: None)
    assert kept(sweep(tmp_path)) == {"held.log.1": "init (pid 1) may have it open, which cannot be seen"}


def test_a_file_with_two_names_frees_nothing_and_stays(tmp_path):
    os.link(old(tmp_path / "a.log.1"), tmp_path / "other")
    assert kept(sweep(tmp_path)) == {"a.log.1": "it has 2 names: removing one frees nothing"}


def test_a_file_from_the_future_is_kept(tmp_path):
    old(tmp_path / "a.log.1", days=-2)
    assert kept(sweep(tmp_path)) == {"a.log.1": "dated in the future: its age is unknown"}


def test_the_newest_of_each_log_are_kept(tmp_path):
    for number in range(1, 5):
        old(tmp_path / f"a.log.{number}.gz", days=10 * number)
        old(tmp_path / f"b-202401{number:02}.gz", days=50 - 10 * number)
    frame = sweep(tmp_path, keep_newest=2)
    left = {"a.log.1.gz", "a.log.2.gz", "b-20240103.gz", "b-20240104.gz"}
    assert {path.name for path in tmp_path.iterdir()} == left
    assert kept(frame) == dict.fromkeys(left, "among the newest 2 of its log")


def test_patterns_excludes_sizes_and_hidden_files(tmp_path):
    for name in ("a.tmp", "b.tmp", ".c.tmp", ".d/e.tmp"):
        old(tmp_path / name)
    old(tmp_path / "small.tmp", content=b"x")
    frame = sweep(tmp_path, patterns=["*.tmp"], excludes=["b.*"], min_size="1K")
    assert frame["result"]["files"] == [str(tmp_path / "a.tmp")]
    frame = sweep(tmp_path, patterns=["*.tmp"], excludes=[str(tmp_path / "b*")], hidden=True)
    assert len(frame["result"]["files"]) == 3


def test_without_recurse_only_the_folder_itself(tmp_path):
    deep = old(tmp_path / "deep/a.log.1")
    assert sweep(tmp_path, recurse=False)["status"] == "ok"
    assert deep.exists()


def test_a_single_file_may_be_given(tmp_path):
    path = old(tmp_path / "a.log.1")
    old(tmp_path / "b.log.1")
    assert sweep(tmp_path, paths=[str(path), str(tmp_path / "none")])["result"] == {
        "changed": True,
        "files": [str(path)],
        "missing": [str(tmp_path / "none")],
        "newcomers": [],
        "bytes_freed": 8192,
    }


def test_only_regular_files_go(tmp_path):
    os.mkfifo(tmp_path / "pipe.1")
    (tmp_path / "folder.1").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.1"))
        target = old(tmp_path / "kept.txt")
        (tmp_path / "link.log.1").symlink_to(target)
        os.utime(tmp_path / "link.log.1", (0, 0), follow_symlinks=False)
        assert sweep(tmp_path, age=1)["status"] == "ok"
        assert len(list(tmp_path.iterdir())) == 5


def test_links_are_not_followed_but_a_path_behind_one_is_resolved(tmp_path):
    outside = old(tmp_path / "outside/a.log.1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "outside")
    assert sweep(tmp_path / "in")["status"] == "ok"
    assert outside.exists()
    assert sweep(tmp_path / "in/link")["result"]["files"] == [str(outside)]


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("ibdata1", "a database's folder"),
        ("PG_VERSION", "a database's folder"),
        ("mysql-bin.index", "a database's folder"),
    ],
)
def test_a_databases_folder_is_left_alone_with_all_below(tmp_path, mark, reason):
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "data" / mark).touch()
    path = old(tmp_path / "data/inner/error.log.1")
    assert kept(sweep(tmp_path)) == {"data": reason}
    assert kept(sweep(tmp_path / "data/inner")) == {"inner": reason}
    assert path.exists()


def test_a_folder_is_looked_at_once_however_often_it_is_asked_for(tmp_path, monkeypatch):
    for name in ("data/inner", "plain/inner"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/ibdata1").touch()
    protected, looked, listdir = _protected.Protected([]), [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: looked.append(path) or listdir(path))
    for _ in range(3):
        assert protected.folder(str(tmp_path / "data/inner")) == "a database's folder"
        assert protected.folder(str(tmp_path / "data")) == "a database's folder"
        assert protected.folder(str(tmp_path / "plain/inner")) is None
        assert protected.folder(str(tmp_path / "plain")) is None
    assert len(looked) == len(set(looked))
    assert {str(tmp_path / "plain/inner"), str(tmp_path), "/"} < set(looked)


def test_a_services_private_folder_is_left_alone(tmp_path):
    path = old(tmp_path / "systemd-private-1-nginx.service-x/tmp/a.log.1")
    assert kept(sweep(tmp_path)) == {path.parent.parent.name: "a service's private folder"}
    assert kept(sweep(path.parent)) == {"tmp": "a service's private folder"}


def test_tmpfiles_d_is_honoured(tmp_path, monkeypatch):
    rules = [(False, str(tmp_path / "all*")), (True, str(tmp_path / "itself"))]
    monkeypatch.setattr(_protected, "_tmpfiles", lambda: rules)
    old(tmp_path / "all-of-it/a.log.1")
    below = old(tmp_path / "itself/b.log.1")
    frame = sweep(tmp_path)
    assert kept(frame) == {
        "all-of-it": f"tmpfiles.d says to leave {tmp_path}/all* alone",
        "itself": f"tmpfiles.d says to leave {tmp_path}/itself alone",
    }
    assert below.exists(), "kept, although systemd-tmpfiles itself would look below"


def test_another_file_system_is_not_entered(tmp_path):
    (tmp_path / "mounted").mkdir()
    old(tmp_path / "mounted/hidden.log.1")
    step = {"module": "remedy.modules.target.old_files", "id": "1"}
    step["params"] = params("old_files", paths=[str(tmp_path)], age=5)
    program = (
        "import json, os, sys; from tests.modules.running import Talk; from remedy.agent import runner;"
        "from remedy.agent.host import Host; step = json.loads(sys.argv[1]); path = sys.argv[2] + '/a.log.1';"
        "open(path, 'w').close(); os.utime(path, (0, 0)); host = Host(Talk()); host.begin(step, 't');"
        "print(json.dumps([runner.run(step, host, Talk())['status'], os.listdir(sys.argv[2])]))"
    )
    for mount in ("mount -t tmpfs none $1", "mount --bind $1 $1"):
        script = f'{mount} && exec {sys.executable} -c "$2" "$3" $1'
        done = subprocess.run(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                script,
                "sh",
                str(tmp_path / "mounted"),
                program,
                json.dumps(step),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        status, names = json.loads(done.stdout)
        assert status == "ok"
        assert "a.log.1" in names


def test_what_changes_before_the_word_comes_is_left(tmp_path):
    grown, gone, swapped, opened = (old(tmp_path / f"{name}.log.1") for name in "abcd")
    fine = old(tmp_path / "e/e.log.1")
    elsewhere = old(tmp_path / "elsewhere/keep.txt")
    talk = Talk()
    files = []

    def meanwhile():
        with grown.open("ab") as file:
            file.write(b"more")
        gone.unlink()
        swapped.unlink()
        swapped.symlink_to(elsewhere)
        files.append(opened.open("rb"))

    talk.before_word = meanwhile
    frame = sweep(tmp_path, talk=talk)
    files.pop().close()
    assert frame["result"]["files"] == [str(fine)]
    reasons = kept(frame)
    assert reasons["a.log.1"] == reasons["c.log.1"] == "it changed since it was looked at"
    assert reasons["b.log.1"] == "it is gone already"
    assert grown.exists()
    assert elsewhere.exists()


def test_a_parent_that_became_a_link_leads_nowhere(tmp_path):
    path = old(tmp_path / "logs/a.log.1")
    talk = Talk()

    def meanwhile():
        path.parent.rename(tmp_path / "moved")
        path.parent.symlink_to(tmp_path / "moved")

    talk.before_word = meanwhile
    frame = sweep(tmp_path, talk=talk)
    assert frame["status"] == "ok"
    assert kept(frame)["a.log.1"].startswith("its folder changed: ")
    assert (tmp_path / "moved/a.log.1").exists()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "/ is not swept: it is too broad; name the folders below it"),
        ("/var/lib", "/var/lib is not swept: it is too broad; name the folders below it"),
        ("/etc/nginx", "/etc/nginx is not swept: it belongs to the system"),
        ("/usr/share/man", "/usr/share/man is not swept: it belongs to the system"),
    ],
)
def test_the_system_itself_is_refused(path, text):
    frame = sweep(None, paths=[path], patterns=["no-such-file"])
    assert (frame["status"], frame["reason"]) == ("failed", text)


def test_a_link_to_the_system_is_refused_too(tmp_path):
    (tmp_path / "logs").symlink_to("/etc")
    frame = sweep(tmp_path / "logs", patterns=["no-such-file"])
    assert frame["reason"] == f"{tmp_path}/logs (which is /etc) is not swept: it belongs to the system"


def test_containers_folders_are_left_alone():
    frame = sweep(None, paths=["/var/lib/docker/overlay2/x"], in_check=True)
    assert frame["result"]["files"] == []


@pytest.mark.parametrize(
    ("skew", "status"), [(None, "changed"), (59, "changed"), (-61, "failed"), (3600, "failed")]
)
def test_a_clock_that_is_off_stops_the_sweep(tmp_path, skew, status):
    path = old(tmp_path / "a.log.1")
    frame = sweep(tmp_path, internal={"clock_skew": skew})
    assert frame["status"] == status
    assert path.exists() is (status == "failed")
    if status == "failed":
        assert frame["reason"] == (
            f"the host's clock is {abs(skew)} s off, and every file's age with it; set the clock first"
        )


def test_without_root_nothing_is_swept(tmp_path, monkeypatch):
    path = old(tmp_path / "a.log.1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    frame = sweep(tmp_path)
    assert frame["status"] == "failed"
    assert frame["result"]["cause"] == "permission"
    assert "only as root" in frame["reason"]
    assert path.exists()


_ROTATED_NAMES = """
syslog.1 syslog.2.gz messages-20240131 messages-20240131.gz app.log-20240131-1500.zst app.log.gz app.log.old
app-2024-01-31.log error.log.10.xz access.1706659200 dmesg.0
"""
_OTHER_NAMES = """
syslog app.log worker-3.log binlog.000017 relay-bin.000002 backup.tar.gz dump.sql.gz v2 .1 notes
"""


@pytest.mark.parametrize(
    ("args", "text"),
    [({"age": 0}, "age must be more than 0"), ({"paths": ["logs"]}, "paths must be absolute")],
)
def test_parameters_that_make_no_sense_are_refused(args, text):
    with pytest.raises(InputError, match=text):
        params("old_files", **{"paths": ["/x"], "age": "1d", **args})


@pytest.mark.parametrize(
    "name",
    _ROTATED_NAMES.split(),
)
def test_names_of_rotated_logs(name):
    assert ROTATED.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "syslog",
        "app.log",
        "worker-3.log",
        "binlog.000017",
        "relay-bin.000002",
        "backup.tar.gz",
        "dump.sql.gz",
        "v2",
        ".1",
        "notes",
    ],
)
def test_names_of_other_files(name):
    assert not ROTATED.fullmatch(name)


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40))
def test_a_name_is_judged_quickly_whatever_it_is(name):
    begun = time.monotonic()
    ROTATED.fullmatch(name * 5)
    assert time.monotonic() - begun < 1
