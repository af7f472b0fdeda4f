"""Old temporary files and file systems without an inode left, on real disks whose files really are old."""

import pytest
from tests.acceptance.causes import aged_disk
from tests.modules.running import one

from remedy.lab import Disk

pytestmark = pytest.mark.lab

OLD = {
    "upload-1": 6_000_000,
    "job/a": 3_000_000,
    "job/deep/b": 2_000_000,
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
    (tmp_path / "tree/empty/inner").mkdir(parents=True)
    aged_disk(lab, host, tmp_path, OLD, young={"young"})
    yield host
    lab.run(host, ["umount", "--lazy", "/tmp"])


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
    assert sorted(frame["result"]["files"]) == ["/tmp/job/a", "/tmp/job/deep/b", "/tmp/upload-1"]
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
