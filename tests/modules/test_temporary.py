"""Old temporary files and file systems without an inode left, on real disks whose files really are old."""

import os
import time
from pathlib import Path

import pytest
from tests.modules.running import in_lab, step

from remedy.lab import Disk, tools

pytestmark = pytest.mark.lab

DAY = 86400
_TIMES = ("ctime", "mtime", "atime")
OLD = {
    "upload-1": 6_000_000,
    "work/a": 3_000_000,
    "work/deep/b": 2_000_000,
    "held": 1000,
    "young": 1000,
    "spared/by-tmpfiles": 1000,
    "systemd-private-1-app.service-x/tmp/c": 1000,
    ".X11-unix/X0": 0,
}


@pytest.fixture(scope="module")
def host(host_factory):
    return host_factory("litter", disks={"/spool": Disk("64M", inodes=3000)}).name


@pytest.fixture
def aged(lab, host, tmp_path):
    """A disk on /tmp whose files were last used, changed and renamed a month ago."""
    tree, image = tmp_path / "tree", tmp_path / "image"
    then = int(time.time()) - 30 * DAY
    for name, size in OLD.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(os.urandom(size))
        os.utime(tree / name, (then, then))
    (tree / "empty/inner").mkdir(parents=True)
    tree.chmod(0o1777)
    with image.open("wb") as file:
        file.truncate(24 << 20)
    tools.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-d", str(tree), str(image)])
    fields = [
        f"set_inode_field /{each.relative_to(tree)} {field}" for each in tree.rglob("*") for field in _TIMES
    ]
    commands = "".join(f"{line} @{then}\n" for line in fields if not line.split()[1].startswith("/young"))
    tools.run(["debugfs", "-w", "-f", "-", str(image)], stdin=commands)
    loop = tools.run(["losetup", "--find", "--show", str(image)]).strip()
    try:
        number = os.minor(Path(loop).stat().st_rdev)
        device = f"mknod -m 600 /dev/aged b 7 {number}; mount /dev/aged /tmp; rm /dev/aged"
        lab.run(host, ["sh", "-ec", device])
    finally:
        tools.run(["losetup", "--detach", loop])  # it stays until the file system is unmounted
    yield host
    lab.run(host, ["umount", "--lazy", "/tmp"])


def one(lab, host, module, **given):
    [frame] = in_lab(lab, host, step(module, **given))
    return frame


def full(lab, host, mount):
    return one(lab, host, "disk_usage", above="85%", mounts=[mount], largest=2)["result"]


def test_a_full_tmp_is_freed_of_what_nobody_used_for_long(lab, aged):
    lab.put(aged, "/etc/tmpfiles.d/spared.conf", b"x /tmp/spared\n")
    size = int(lab.run(aged, ["df", "--output=avail", "-B1", "/tmp"]).stdout.split()[1])
    lab.run(aged, ["fallocate", "-l", str(size - (1 << 20)), "/tmp/new"])
    assert full(lab, aged, "/tmp")["full"]
    held = lab.run(aged, ["sh", "-c", "exec 3</tmp/held; sleep 60 > /dev/null 2>&1 & echo $!"]).stdout.strip()
    given = {"paths": ["/tmp"], "age": "7d", "age_of": "temporary"}
    frame = one(lab, aged, "old_files", **given)
    assert frame["status"] == "changed", frame["reason"]
    assert sorted(frame["result"]["files"]) == ["/tmp/upload-1", "/tmp/work/a", "/tmp/work/deep/b"]
    assert frame["result"]["bytes_freed"] > 11_000_000
    reasons = {entry["item"]: entry["reason"] for entry in frame["kept"]}
    assert reasons["/tmp/held"] == f"open in sleep (pid {held})"
    assert reasons["/tmp/young"].startswith("only ")
    assert reasons["/tmp/spared"] == "tmpfiles.d says to leave /tmp/spared alone"
    assert reasons["/tmp/systemd-private-1-app.service-x"] == "a service's private folder"
    assert lab.run(aged, ["test", "-e", "/tmp/.X11-unix/X0"]).code == 0
    assert full(lab, aged, "/tmp")["full"] == []
    assert one(lab, aged, "old_files", **given)["status"] == "ok"
    lab.run(aged, ["kill", held])


def test_inodes_used_up_are_found_and_freed(lab, host):
    """As a web server's session files do it: small, countless, and one folder of them."""
    script = "mkdir -p /spool/sessions /spool/mail; touch /spool/mail/letter; cd /spool/sessions; "
    script += "seq --format=sess_%.0f 4000 | xargs touch 2> /dev/null; touch new 2>&1 || true"
    said = lab.run(host, ["sh", "-c", script]).stdout
    assert "No space left on device" in said
    seen = full(lab, host, "/spool")
    assert seen["full"][0]["lacks"] == ["inodes"]
    assert seen["largest"][0]["directories"][0]["path"] == "/spool/sessions"
    given = {"paths": ["/spool/sessions"], "age": "1ms", "age_of": "temporary", "patterns": ["sess_*"]}
    frame = one(lab, host, "old_files", **given)
    assert frame["status"] == "changed", frame["reason"]
    assert len(frame["result"]["files"]) > 2500
    assert full(lab, host, "/spool")["full"] == []
    lab.run(host, ["touch", "/spool/sessions/new"])
