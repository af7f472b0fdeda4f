"""Guests of the lab: a kernel of their own, disks that grow while they are mounted, power that is cut, and the end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from remedy.cli import lab as command
from remedy.errors import InputError
from remedy.lab import HostSpec, Lab, LabError, tools
from remedy.lab.qemu import Guest, Guests, GuestSpec
from tests.acceptance.operator import REMEDY, Operator
from tests.conftest_lab import GuestFactory
from tests.modules import moto_ec2

# A machine emulated on a busy one; the first test may build what is booted.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

SERIAL = (
    "vol0a1b2c3d4e5f60718"  # as Amazon numbers its volumes: 20 letters are all that a virtio disk can carry
)
DISK = f"/dev/disk/by-id/virtio-{SERIAL}"
OTHER = "vol0ffffffffffffffff"


@pytest.fixture(scope="module")
def guest(guest_factory: GuestFactory) -> Guest:
    return guest_factory("g1", disks={SERIAL: "256M"})


def shell(guests: Guests, script: str, *words: str) -> str:
    """Run a shell script in the guest, its first failure an error, and return what it printed."""
    return guests.run("g1", ["sh", "-euc", script, "sh", *words], timeout=600).stdout.strip()


def size_of(guests: Guests, device: str) -> int:
    return int(shell(guests, 'blockdev --getsize64 "$1"', device))


def test_is_a_booted_machine_with_a_kernel_of_its_own(guests: Guests, guest: Guest):
    assert guest.address.startswith("127.")
    # Linux counts boots by a random number: this is not the kernel that runs the test.
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert guests.get("g1", "/proc/sys/kernel/random/boot_id").decode().strip() != boot_id
    assert guests.run("g1", ["systemctl", "is-system-running", "--wait"]).stdout.strip() == "running"
    assert shell(guests, "hostname; id -un").split() == ["g1", "root"]
    disks = json.loads(shell(guests, "lsblk --json --bytes --nodeps --output NAME,SERIAL,SIZE"))[
        "blockdevices"
    ]
    assert [(disk["serial"], disk["size"]) for disk in disks] == [("root", 3 << 30), (SERIAL, 256 << 20)]
    assert shell(guests, "findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda1", "ext4"]


def test_every_account_of_the_lab_logs_in(guests: Guests, guest: Guest):
    assert guests.run("g1", ["sudo", "-n", "id", "-un"], user="admin").stdout == "root\n"
    assert guests.run("g1", ["sudo", "-n", "id", "-un"], user="plain", ok=None).code == 1
    with pytest.raises(LabError, match="exit code 3 from: sh -c 'echo no >&2; exit 3'\n  no"):
        guests.run("g1", ["sh", "-c", "echo no >&2; exit 3"])


def test_nothing_leads_out_of_a_guest(guests: Guests, guest: Guest):
    gateway = "import socket; socket.create_connection(('10.0.2.2', 22), timeout=3)"
    assert guests.run("g1", ["python3", "-c", gateway], ok=None).code == 1


def test_lvm_and_ext4_grow_online_with_a_disk_that_grows(guests: Guests, guest: Guest):
    shell(
        guests,
        "pvcreate -q $1 && vgcreate -q data $1 && lvcreate -q -l 100%FREE -n lv data && mkfs.ext4 -q /dev/data/lv\n"
        "mkdir -p /data && mount /dev/data/lv /data\n"
        "head -c 50000000 /dev/urandom > /data/kept; sha256sum /data/kept > /root/sum",
        DISK,
    )
    before = int(shell(guests, "df -B1 --output=size /data | tail -n 1"))
    # Somebody works there all the time.
    shell(
        guests, "(exec > /dev/null 2>&1; while sleep 0.1; do date > /data/now; done) & echo $! > /root/writer"
    )

    guests.grow("g1", SERIAL, "512M")
    shell(
        guests,
        "for i in $(seq 100); do [ $(blockdev --getsize64 $1) = $((512 << 20)) ] && exit; sleep 0.1; done",
        DISK,
    )
    assert size_of(guests, DISK) == 512 << 20
    shell(guests, "pvresize -q $1 && lvextend -q -l +100%FREE data/lv && resize2fs /dev/data/lv", DISK)

    after = int(shell(guests, "df -B1 --output=size /data | tail -n 1"))
    assert after > before + (200 << 20)
    assert abs(size_of(guests, "/dev/data/lv") - (512 << 20)) <= 8 << 20
    shell(guests, "sha256sum --check --quiet /root/sum; kill $(cat /root/writer)")
    with pytest.raises(LabError, match="256M would shrink"):
        guests.grow("g1", SERIAL, "256M")
    assert size_of(guests, DISK) == 512 << 20


def test_the_root_grows_while_it_runs(guests: Guests, guest: Guest):
    before = int(shell(guests, "df -B1 --output=size / | tail -n 1"))
    guests.grow("g1", "root", "4G")
    shell(
        guests,
        "for i in $(seq 100); do [ $(blockdev --getsize64 /dev/vda) = $((4 << 30)) ] && break; sleep 0.1; done",
    )
    shell(guests, "growpart /dev/vda 1 && resize2fs /dev/vda1")
    assert int(shell(guests, "df -B1 --output=size / | tail -n 1")) > before + (900 << 20)


def test_a_disk_is_plugged_in_and_a_cut_of_power_keeps_what_was_written(guests: Guests, guest: Guest):
    guests.add_disk("g1", OTHER, "64M")
    link = f"/dev/disk/by-id/virtio-{OTHER}"
    shell(guests, "for i in $(seq 100); do [ -e $1 ] && exit; sleep 0.1; done; exit 1", link)
    assert size_of(guests, link) == 64 << 20
    with pytest.raises(LabError, match=f"the guest has a disk '{OTHER}' already"):
        guests.add_disk("g1", OTHER, "64M")
    shell(
        guests,
        "mkfs.ext4 -q $1; mkdir -p /other; mount -o commit=600 $1 /other\n"
        "echo durable > /other/synced; sync -f /other\n"
        "echo volatile > /other/unsynced; echo 1 > /root/marker; sync -f /root",
        link,
    )
    before = guests.get("g1", "/proc/sys/kernel/random/boot_id")

    guests.cut("g1")
    assert not guests.running("g1")
    with pytest.raises(LabError, match="no login"):
        guests.run("g1", ["true"])
    guests.grow("g1", OTHER, "96M")  # while it is off
    guests.boot("g1")

    assert guests.get("g1", "/proc/sys/kernel/random/boot_id") != before
    assert guests.get("g1", "/root/marker") == b"1\n"
    assert size_of(guests, link) == 96 << 20
    shell(guests, "mkdir -p /other; mount $1 /other", link)
    assert guests.get("g1", "/other/synced") == b"durable\n"
    # What was in the memory of the guest alone is gone: the power was really cut.
    assert shell(guests, "cat /other/unsynced 2> /dev/null || true") == ""
    with pytest.raises(LabError, match="switched on already"):
        guests.boot("g1")


def test_the_volume_behind_a_disk_is_grown_by_its_serial(
    guests: Guests, guest: Guest, lab: Lab, tmp_path: Path
):
    """ebs_volume on a machine that shows a volume's serial; what Amazon then does to the disk is done by hand."""
    with moto_ec2.moto() as endpoint:
        ec2 = moto_ec2.session(endpoint)
        _, volume = moto_ec2.attached(ec2, size=1)
        serial = volume.replace("-", "")
        guests.add_disk("g1", serial, "1G")
        link = f"/dev/disk/by-id/virtio-{serial}"
        shell(guests, "for i in $(seq 300); do [ -e $1 ] && exit; sleep 0.1; done; exit 1", link)
        operator = Operator(tmp_path, lab, ansible_become=True)
        operator.add_guest(guest)
        keys = {"AWS_ACCESS_KEY_ID": moto_ec2.KEY, "AWS_SECRET_ACCESS_KEY": moto_ec2.SECRET}
        words = f"device={link} size=2G region={moto_ec2.REGION} endpoint_url={endpoint}"

        done = operator.run("g1", "ebs_volume", words, environment=keys, timeout=600)

        assert done.code == 0, done.stderr
        told = done.report["tasks"][0]["result"]
        assert (told["volume_id"], told["size"], f"/dev/{told['disk']}") == (
            volume,
            2,
            shell(guests, "realpath $1", link),
        )
        assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 2
        guests.grow("g1", serial, "2G")
        shell(
            guests,
            "for i in $(seq 300); do [ $(blockdev --getsize64 $1) = $((2 << 30)) ] && exit; sleep 0.1; done",
            link,
        )
        assert size_of(guests, link) == 2 << 30


def test_a_guest_has_a_clock_of_its_own(guests: Guests, guest: Guest):
    here = datetime.now(UTC)
    then = datetime(2031, 3, 30, 0, 59, 0, tzinfo=UTC)
    guests.set_clock("g1", then)
    assert timedelta(0) <= guests.clock("g1") - then < timedelta(minutes=2)
    assert abs(datetime.now(UTC) - here) < timedelta(minutes=2)
    with pytest.raises(InputError, match="names no time zone"):
        guests.set_clock("g1", datetime(2031, 3, 30))  # noqa: DTZ001

    guests.cut("g1")
    guests.boot("g1", clock=then + timedelta(days=400))
    assert timedelta(0) <= guests.clock("g1") - then - timedelta(days=400) < timedelta(minutes=5)


def test_it_restarts_itself(guests: Guests, guest: Guest):
    before = guests.get("g1", "/proc/sys/kernel/random/boot_id")
    guests.reboot("g1")
    assert guests.get("g1", "/proc/sys/kernel/random/boot_id") != before


def test_what_is_declared_is_left_as_it_is(guests: Guests, guest: Guest, guest_factory: GuestFactory):
    process = guests.process("g1")
    again = guest_factory("g1", disks={SERIAL: "256M"})  # as declared first; grown since
    assert guests.process("g1") == process
    assert again.declared == guest.declared


def test_bad_input_is_refused(guests: Guests, lab: Lab, tmp_path: Path):
    with pytest.raises(InputError, match="'vol with blank' is no serial of a disk"):
        GuestSpec("g2", disks={"vol with blank": "1G"})
    with pytest.raises(InputError, match="guest g2: memory 16M is too little"):
        GuestSpec("g2", memory="16M")
    with pytest.raises(LabError, match="the lab has no guest 'g9'"):
        guests.guest("g9")
    file = tmp_path / "lab.yml"
    file.write_text("guests: {g2: {memry: 1G}}\n")
    from remedy.lab.qemu.spec import read_guests

    with pytest.raises(InputError, match=r"guests\.g2 has an unknown key 'memry'"):
        read_guests(file)


def test_a_name_is_a_host_or_a_guest(guests: Guests, guest: Guest, lab: Lab):
    with pytest.raises(InputError, match="g1 is a guest of this lab"):
        lab.up([HostSpec("g1")])
    lab.up([HostSpec("b1")])
    try:
        with pytest.raises(InputError, match="b1 is a booted host of this lab"):
            guests.up([GuestSpec("b1")])
    finally:
        lab.remove("b1")


@pytest.fixture
def own() -> Iterator[Lab]:
    """A lab beside that of the session, for tests that end whole labs."""
    with Lab.for_tests() as lab:
        yield lab


def traces(lab: Lab) -> list[str]:
    """Return everything of a lab's guests that this machine still has."""
    found = [str(path) for path in (lab.folder / "guests").glob("**/*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/remedy-lab-{lab.number}")]
    found += [line for line in tools.run(["ss", "-Hltnx"]).splitlines() if f"127.99.{lab.number}." in line]
    found += [line for line in Path("/proc/net/unix").read_text().splitlines() if str(lab.folder) in line]
    loops = json.loads(tools.run(["losetup", "--json", "--list"]) or "{}").get("loopdevices", [])
    return found + [loop["back-file"] for loop in loops if str(lab.folder) in loop["back-file"]]


def test_commands_boot_a_guest_that_remedy_works_on_and_down_leaves_nothing(own: Lab, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_lab", lambda: own)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "lab.yml").write_text(f"guests:\n  vm1: {{memory: 512M, disks: {{{SERIAL}: 64M}}}}\n")
    cli = CliRunner()

    done = cli.invoke(command.lab, ["up", "--provider", "qemu"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"vm1\t127.99.{own.number}.1:2222\tbase\n" in done.output
    written = yaml.safe_load((tmp_path / "inventory" / "lab.yml").read_text())["all"]
    assert written["children"]["qemu"]["hosts"] == {"vm1": None}
    pinged = subprocess.run(
        [REMEDY, "run", "qemu", "-i", "lab", "-m", "ping", "--format", "json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert pinged.returncode == 0, pinged.stderr
    assert json.loads(pinged.stdout)["hosts"]["vm1"]["ok"] == 1
    shown = cli.invoke(command.lab, ["status"], catch_exceptions=False).output
    assert f"vm1\trunning\t127.99.{own.number}.1:2222\tbase\troot 3072M, {SERIAL} 64M\t" in shown
    assert traces(own)  # so that an empty list means something

    assert cli.invoke(command.lab, ["down"], catch_exceptions=False).exit_code == 0
    assert traces(own) == []
    assert not (tmp_path / "inventory" / "lab.yml").exists()
