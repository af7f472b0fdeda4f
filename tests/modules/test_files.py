"""Files: what check mode foresees, and what a write keeps of the old file."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.modules.harness import Bench, snapshot

from remedy.agent import frames
from remedy.agent.files import Files, digest
from remedy.agent.kinds import Failed, Unknown

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"


def acl(mask: int) -> bytes:
    """user::rw-, user:1234:rw-, group::r--, mask, other::r--, as the kernel stores it."""
    entries = [
        (1, 6, 0xFFFFFFFF),
        (2, 6, 1234),
        (4, 4, 0xFFFFFFFF),
        (16, mask, 0xFFFFFFFF),
        (32, 4, 0xFFFFFFFF),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.fixture
def files(bench: Bench) -> Files:
    return bench.host.files


@pytest.fixture
def dressed(root: Path) -> Path:
    """A file with everything that a rewrite must keep."""
    path = root / "dressed"
    path.write_text("old")
    os.chown(path, 1234, 4321)
    path.chmod(0o4640)
    os.setxattr(path, "user.note", b"kept")
    os.setxattr(path, ACCESS, acl(4))
    path.chmod(0o4640)
    return path


def bare(found: dict[str, Any]) -> dict[str, Any]:
    """What snapshot says of the content is left out."""
    return {name: entry[:4] + entry[5:] for name, entry in found.items()}


def test_a_write_keeps_owner_mode_acl_and_attributes(files: Files, dressed: Path) -> None:
    before = snapshot(dressed.parent)
    files.write(str(dressed), [b"n", b"ew"])
    assert dressed.read_bytes() == b"new"
    assert bare(snapshot(dressed.parent)) == bare(before)
    assert sorted(os.listxattr(dressed)) == [ACCESS, "user.note"]


def test_a_write_drops_the_acl_that_the_folder_would_give(files: Files, root: Path) -> None:
    (root / "plain").write_text("old")
    os.setxattr(root, DEFAULT, acl(6))
    files.write(str(root / "plain"), [b"new"])
    assert os.listxattr(root / "plain") == []
    files.write(str(root / "new"), [b"new"])
    assert os.listxattr(root / "new") == [ACCESS]


def test_what_is_given_wins(files: Files, dressed: Path) -> None:
    files.write(str(dressed), [b"new"], mode="0600", owner="root", group=0)
    found = dressed.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, 0, 0)


def test_a_new_file_obeys_the_umask(files: Files, root: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write(str(root / "new"), [b""])
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o640


def test_a_write_goes_through_links_unless_told_otherwise(files: Files, root: Path) -> None:
    (root / "real").write_text("old")
    (root / "link").symlink_to("real")
    files.write(str(root / "link"), [b"new"])
    assert (root / "link").is_symlink()
    assert (root / "real").read_text() == "new"
    files.write(str(root / "link"), [b"own"], follow=False)
    assert not (root / "link").is_symlink()
    assert (root / "real").read_text() == "new"


def test_a_name_of_255_bytes_and_one_that_is_no_text(files: Files, root: Path) -> None:
    for name in ("n" * 255, "\udcff\udcfe"):
        path = f"{root}/{name}"
        files.write(path, [b"x"])
        assert files.read(path) == b"x"
        assert files.lstat(path)["size"] == 1
    assert sorted(os.listdir(os.fsencode(root))) == [b"n" * 255, b"\xff\xfe"]  # noqa: PTH208


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_stops_a_write_leaves_the_original_alone(
    files: Files, dressed: Path, error: type[BaseException]
) -> None:
    before = snapshot(dressed.parent)

    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(error):
        files.write(str(dressed), chunks())
    assert snapshot(dressed.parent) == before


def test_a_signal_leaves_the_original_alone(files: Files, dressed: Path) -> None:
    before = snapshot(dressed.parent)

    def stop(*_: object) -> None:
        raise SystemExit(1)

    def chunks() -> Iterator[bytes]:
        yield b"half"
        os.kill(os.getpid(), signal.SIGTERM)
        yield b"other half"

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(SystemExit):
            files.write(str(dressed), chunks())
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert snapshot(dressed.parent) == before


def test_a_proof_that_fails_leaves_the_original_alone(files: Files, dressed: Path) -> None:
    before = snapshot(dressed.parent)
    seen: list[bytes] = []

    def proof(path: str) -> None:
        seen.append(Path(path).read_bytes())
        raise Failed("no")

    with pytest.raises(Failed, match="no"):
        files.write(str(dressed), [b"new"], proof=proof)
    assert seen == [b"new"]
    assert snapshot(dressed.parent) == before


def test_a_folder_is_not_overwritten(files: Files, root: Path) -> None:
    with pytest.raises(Failed, match=r"cannot write .*: it is there, and not a regular file"):
        files.write(str(root), [b"x"], unsafe=True)


def test_unknown_owner(bench: Bench, root: Path) -> None:
    with pytest.raises(Failed, match="the host has no user 'nobody-has-it'; create it first"):
        bench.host.files.write(str(root / "x"), [b""], owner="nobody-has-it")
    assert list(root.iterdir()) == []
    bench.host.check = True
    with pytest.raises(Unknown, match="an earlier task may make it"):
        bench.host.files.uid("nobody-has-it")


def test_links_in_a_circle(files: Files, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(Failed, match="too many symbolic links"):
        files.stat(str(root / "a"))
    assert files.lstat(str(root / "a"))["target"] == "b"


def test_real_agrees_with_the_kernel(files: Files, root: Path) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "l").symlink_to("d/../d/./e")
    (root / "m").symlink_to(f"{root}/l")
    for name in ("l", "m", "m/..", "m/x", "d/e/../../l/..", "no/../d"):
        assert files.real(f"{root}/{name}") == os.path.realpath(f"{root}/{name}")


def test_digests_agree_with_hashlib() -> None:
    for algorithm in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        assert digest([b"a", b"b"], algorithm) == hashlib.new(algorithm, b"ab").hexdigest()


@pytest.fixture
def foreseeing(bench: Bench) -> Files:
    bench.host.check = True
    return bench.host.files


def predicted(kind: str = "file", **more: Any) -> dict[str, Any]:
    state = {"type": kind, "mode": "0644", "uid": 0, "gid": 0, "owner": "root", "group": "root", "size": 0}
    state.update(more)
    return state


def test_predictions_hide_and_show(foreseeing: Files, root: Path) -> None:
    files = foreseeing
    (root / "d").mkdir()
    (root / "d/x").write_text("disk")
    files.predict(str(root / "d"), None)
    assert files.stat(str(root / "d/x")) is None
    files.predict(str(root / "d"), predicted("directory"))
    assert files.stat(str(root / "d"))["type"] == "directory"
    assert files.stat(str(root / "d/x")) is None, "the new folder is empty"
    files.predict(str(root / "l"), predicted("link", target="d"))
    files.predict(str(root / "l/y"), predicted(size=3), b"abc")
    assert files.read(str(root / "d/y")) == b"abc"
    assert files.sha1(str(root / "d/y")) == digest([b"abc"])


def test_predictions_travel(bench: Bench, root: Path) -> None:
    files = bench.host.files
    files.predict(str(root / "x"), predicted(), b"\0\xff")
    message = frames.encode({"predicted": files.predictions()})
    there = frames.decode(message[8 : 8 + int.from_bytes(message[:4], "big")], message[-2:])["predicted"]
    bench.forget()
    bench.host.check = True
    bench.host.files.learn(there)
    assert bench.host.files.read(str(root / "x")) == b"\0\xff"


def test_a_change_of_mode_keeps_predicted_content(foreseeing: Files, root: Path) -> None:
    files = foreseeing
    (root / "x").write_text("disk")
    files.predict(str(root / "x"), predicted(), b"later")
    files.predict(str(root / "x"), predicted(mode="0600"))
    assert files.read(str(root / "x")) == b"later"
    assert files.lstat(str(root / "x"))["mode"] == "0600"


def test_check_mode_foresees_tasks_that_build_on_each_other(bench: Bench, root: Path) -> None:
    tasks: list[tuple[str, dict[str, Any]]] = [
        ("file", {"path": f"{root}/etc", "state": "directory", "mode": "0750"}),
        ("copy", {"dest": f"{root}/etc/app.conf", "content": "a=1\n"}),
        ("lineinfile", {"path": f"{root}/etc/app.conf", "line": "b=2"}),
        ("lineinfile", {"path": f"{root}/etc/app.conf", "regexp": "^a=", "line": "a=2"}),
        ("file", {"path": f"{root}/etc/app.conf", "mode": "0600"}),
        ("file", {"path": f"{root}/link", "src": "etc/app.conf", "state": "link"}),
        ("copy", {"dest": f"{root}/copied", "src": f"{root}/link", "remote_src": True}),
    ]
    for module, params in tasks:
        assert bench.run(module, check_mode=True, **params).status == "changed", module
    seen = bench.run("stat", check_mode=True, path=f"{root}/link", follow=True).result["stat"]
    assert (seen["mode"], seen["checksum"]) == ("0600", digest([b"a=2\nb=2\n"]))
    assert bench.run("slurp", check_mode=True, src=f"{root}/copied").result["content"] == "YT0yCmI9Mgo="
    assert bench.run("file", check_mode=True, path=f"{root}/etc", state="absent").status == "changed"
    assert bench.run("stat", check_mode=True, path=f"{root}/etc/app.conf").result["stat"] == {"exists": False}
    assert list(root.iterdir()) == []

    for module, params in tasks:  # in the same agent: what was foreseen counts no more
        assert bench.run(module, **params).status == "changed", module
    assert (root / "copied").read_text() == "a=2\nb=2\n"


def test_check_mode_knows_what_a_folder_still_to_come_holds(bench: Bench, root: Path) -> None:
    bench.run("file", check_mode=True, path=f"{root}/d", state="directory")
    bench.run("copy", check_mode=True, content="new", dest=f"{root}/d/f")
    bench.run("file", check_mode=True, path=f"{root}/d/l", src="f", state="link")
    ran = bench.run("copy", check_mode=True, src=f"{root}/d", dest=f"{root}/e", remote_src=True)
    assert (ran.status, set(ran.change["after"])) == ("changed", {"", "f", "l"})
    found = bench.run("find", check_mode=True, paths=f"{root}/e/d", contains="n")
    assert [each["path"] for each in found.result["files"]] == [f"{root}/e/d/f", f"{root}/e/d/l"]
    everything = {"path": f"{root}/e", "recurse": True, "mode": "0750", "state": "directory"}
    assert bench.run("file", check_mode=True, **everything).status == "changed"
    assert bench.run("file", check_mode=True, **everything).status == "ok"
    assert bench.run("stat", check_mode=True, path=f"{root}/e/d/f").result["stat"]["mode"] == "0750"
    assert list(root.iterdir()) == []


def test_content_travels_only_when_it_is_needed(bench: Bench, root: Path) -> None:
    task = {"dest": f"{root}/x", "content": "new"}
    ran = bench.run("copy", **task)
    assert ran.intents[0]["needs"] == bench.controller.asked == [digest([b"new"])]
    bench.run("copy", **task, mode="0600")
    bench.run("copy", **task)
    assert len(bench.controller.asked) == 1


def test_content_that_is_not_what_was_promised(bench: Bench, root: Path) -> None:
    (root / "x").write_text("old")
    source = digest([b"new"])
    bench.controller.need = lambda _: b"cut off"  # type: ignore[method-assign]
    ran = bench.run("copy", dest=f"{root}/x", content="new")
    assert ran.reason == f"the content for {root}/x changed on its way; run the task again"
    assert ran.intents[0]["needs"] == [source]
    assert [path.name for path in root.iterdir()] == ["x"]
    assert (root / "x").read_text() == "old"


def test_a_refused_word_writes_nothing(bench: Bench, root: Path) -> None:
    bench.controller.refuse = "the journal is full"
    assert bench.run("copy", dest=f"{root}/x", content="new").reason == "the journal is full"
    assert list(root.iterdir()) == []


def test_undo_brings_acl_and_attributes_back(bench: Bench, dressed: Path) -> None:
    before = snapshot(dressed.parent)
    for module, params in (
        ("copy", {"dest": str(dressed), "content": "new", "mode": "0600", "owner": 0}),
        ("file", {"path": str(dressed), "mode": "0777", "group": 0}),
        ("file", {"path": str(dressed), "state": "absent"}),
        ("file", {"path": str(dressed.parent), "state": "absent"}),
        ("lineinfile", {"path": str(dressed), "line": "x"}),
    ):
        ran = bench.run(module, **params)
        assert ran.status == "changed"
        undone = bench.undo(ran)
        assert undone.status == "changed", undone.frames
        assert snapshot(dressed.parent) == before
        again = bench.undo(undone)
        assert again.status == "changed", again.frames
        assert snapshot(dressed.parent.parent) != before
        assert bench.undo(again).status == "changed"
        assert snapshot(dressed.parent) == before


def test_undo_leaves_alone_what_changed_since(bench: Bench, root: Path) -> None:
    ran = bench.run("copy", dest=f"{root}/x", content="new")
    (root / "x").write_text("newer")
    undone = bench.undo(ran)
    assert (undone.status, undone.reason) == ("skipped", f"file:{root}/x has changed since: size, sha1")
    assert (root / "x").read_text() == "newer"


@pytest.mark.parametrize(
    ("module", "params"),
    [
        ("copy", {"dest": "ROOT/big", "content": "new"}),
        ("file", {"path": "ROOT/big", "state": "absent"}),
        ("file", {"path": "ROOT", "state": "absent"}),
    ],
)
def test_more_than_a_mebibyte_is_not_kept(
    bench: Bench, root: Path, module: str, params: dict[str, str]
) -> None:
    (root / "big").write_bytes(b"x" * ((1 << 20) + 1))
    ran = bench.run(module, **{key: value.replace("ROOT", str(root)) for key, value in params.items()})
    assert ran.change["irreversible"] == "content larger than 1 MiB"
    assert ran.intents[0]["kept"] is None


def test_the_mode_of_a_large_file_can_be_undone(bench: Bench, root: Path) -> None:
    (root / "big").write_bytes(b"x" * ((1 << 20) + 1))
    ran = bench.run("copy", dest=f"{root}/big", src=f"{root}/big", remote_src=True, mode="0600")
    assert ran.change["irreversible"] is None
    assert bench.undo(ran).status == "changed"
    assert stat.S_IMODE((root / "big").stat().st_mode) == 0o644


def test_a_tree_with_a_socket_is_not_kept(bench: Bench, root: Path) -> None:
    os.mkfifo(root / "pipe")
    ran = bench.run("file", path=str(root), state="absent")
    assert ran.change["irreversible"] == f"{root}/pipe is a fifo"
    assert not root.exists()


def test_backup(bench: Bench, dressed: Path) -> None:
    before = snapshot(dressed.parent)["dressed"]
    task = {"path": str(dressed), "line": "new", "backup": True}
    ran = bench.run("lineinfile", **task)
    backup = Path(ran.result["backup_file"])
    assert ran.result["backup"] == str(backup)
    assert backup.name.startswith(f"dressed.{os.getpid()}.")
    assert snapshot(dressed.parent)[backup.name] == before
    assert bench.run("lineinfile", **task).status == "ok"
    assert sorted(dressed.parent.iterdir()) == [dressed, backup]
    bench.undo(ran)
    assert snapshot(dressed.parent)["dressed"] == before


def test_diffs(bench: Bench, root: Path) -> None:
    (root / "x").write_text("a\n")
    diff = bench.run("lineinfile", path=f"{root}/x", line="b").change["diff"]
    assert diff == {
        "before": "a\n",
        "after": "a\nb\n",
        "before_header": f"{root}/x",
        "after_header": f"{root}/x",
    }
    diff = bench.run("copy", dest=f"{root}/x", content="c\n").change["diff"]
    assert (diff["before"], diff["after_source"]) == ("a\nb\n", digest([b"c\n"]))
    (root / "x").write_bytes(b"\0" * 10)
    diff = bench.run("copy", dest=f"{root}/x", content="d" * 200000).change["diff"]
    assert diff["before"] == "(10 bytes of binary content, not shown)\n"
    assert diff["after"] == "(200000 bytes: larger than 100 kB, not shown)\n"
    (root / "d/e").mkdir(parents=True)
    diff = bench.run("file", path=f"{root}/d", state="absent", check_mode=True).change["diff"]
    assert diff == {"note": f"{root}/d: removed, and what is in it:\n  {root}/d/e"}
    (root / "f").mkdir()
    (root / "z").write_bytes(b"\0" * 10)
    (root / "l").symlink_to("d")
    (root / "y").write_text("one\n")
    for name, words in (("f", " (it is empty)"), ("l", " (a link to d)"), ("y", " (1 line)"), ("z", "")):
        diff = bench.run("file", path=f"{root}/{name}", state="absent", check_mode=True).change["diff"]
        assert diff == {"note": f"{root}/{name}: removed{words}"}


def test_absent_does_not_go_through_links(bench: Bench, root: Path) -> None:
    (root / "out").mkdir()
    (root / "out/x").write_text("kept")
    (root / "d").mkdir()
    (root / "d/l").symlink_to("../out")
    assert bench.run("file", path=f"{root}/d", state="absent").status == "changed"
    assert (root / "out/x").read_text() == "kept"


def test_the_root_is_not_removed(bench: Bench) -> None:
    ran = bench.run("file", path="/", state="absent", check_mode=True)
    assert ran.reason == "/ cannot be removed; name what is in it"


def test_hard_links_within_a_tree_come_back(bench: Bench, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/a").write_text("x")
    (root / "d/b").hardlink_to(root / "d/a")
    bench.undo(bench.run("file", path=f"{root}/d", state="absent"))
    assert (root / "d/a").samefile(root / "d/b")
    assert sorted(path.name for path in (root / "d").iterdir()) == ["a", "b"]


@pytest.fixture
def other_user(root: Path) -> Iterator[int]:
    """This process as uid 1234, which may use the folder."""
    for folder in (root.parent, *root.parent.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o111)
    os.setegid(1234)
    os.seteuid(1234)
    try:
        yield 1234
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_user_does_not_take_over_the_file_of_another(bench: Bench, root: Path, other_user: int) -> None:
    os.seteuid(0)
    root.chmod(0o777)
    (root / "x").write_text("old")
    (root / "x").chmod(0o666)
    before = snapshot(root)
    os.seteuid(other_user)
    ran = bench.run("copy", dest=f"{root}/x", content="new")
    assert ran.result["cause"] == "permission"
    assert ran.reason == (
        f"cannot write {root}/x: Operation not permitted for uid 1234; use become, or a user that may"
    )
    assert snapshot(root) == before
    assert bench.run("copy", dest=f"{root}/x", content="new", unsafe_writes=True).status == "changed"
    assert ((root / "x").read_text(), (root / "x").stat().st_uid) == ("new", 0)


def test_find_stops_before_its_deadline(bench: Bench, root: Path) -> None:
    (root / "x").write_text("")
    ran = bench.run("find", paths=str(root), timeout=2)
    assert ran.result["msg"] == "Not all paths examined: the deadline came first"
    assert ran.result["skipped_paths"] == {str(root): "the deadline came first"}


def test_find_gets_out_of_circles(bench: Bench, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/x").write_text("")
    (root / "d/up").symlink_to("..")
    found = bench.run("find", paths=str(root), recurse=True, follow=True).result
    assert [one["path"] for one in found["files"]] == [f"{root}/d/x"]
    assert found["msg"] == "All paths examined"


def test_stat_shows_flags_where_the_file_system_has_them(bench: Bench, root: Path) -> None:
    (root / "x").write_text("")
    with (root / "x").open() as stream:
        flags = ctypes.c_int(0x40)  # FS_NODUMP_FL
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.ioctl(stream.fileno(), 0x40086602, ctypes.byref(flags)) == 0
    found = bench.run("stat", path=f"{root}/x", get_attributes=True).result["stat"]
    assert "nodump" in found["attributes"]
    shown = subprocess.run(["lsattr", "-vd", f"{root}/x"], check=True, capture_output=True, text=True).stdout
    version, letters = shown.split()[:2]
    assert (found["version"], found["attr_flags"]) == (version, letters.replace("-", ""))


def test_stat_asks_no_device_for_flags(bench: Bench, root: Path) -> None:
    os.mkfifo(root / "fifo")
    found = bench.run("stat", path=f"{root}/fifo", get_attributes=True).result["stat"]
    assert found["exists"]
    assert "attributes" not in found
