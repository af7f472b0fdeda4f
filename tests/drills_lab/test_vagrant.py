"""Vagrant for real: its Docker provider, in the Docker of a lab host, with images made here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.document import Map
from remedy.drill.providers import Need
from remedy.drill.providers.vagrant import Vagrant, find_vagrantfile, logins
from remedy.drill.providers.vagrant.program import Program
from remedy.errors import Position
from remedy.lab import Disk, Lab, LabError
from remedy.lab.image import load_images
from remedy.lab.roles import ROLES
from remedy.lab.vagrant import images
from remedy.project import Project
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
REMEDY = [str(Path(sys.executable).with_name("remedy"))]


class Harbour:
    """A lab host that runs Docker: where Vagrant's containers are."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.lab, self.host = lab, host

    def containers(self) -> list[str]:
        return self.lab.run(self.host, ["docker", "ps", "--all", "--format", "{{.Names}}"]).stdout.split()

    def await_container(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.containers():
            assert time.monotonic() < deadline, "no container came up"

    def left(self, seconds: float = 15) -> list[str]:
        """What Vagrant and its containers left on the machine; the kernel takes its time over a dead namespace."""
        deadline = time.monotonic() + seconds
        while found := self._found():
            if time.monotonic() > deadline:
                break
        return found

    def _found(self) -> list[str]:
        loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
        home = Path(os.environ["VAGRANT_HOME"])
        kept = [str(path) for path in home.glob("remedy/*/data/machines/*/*/id")]
        # The root of a container; a lab host's lies in the lab's folder.
        return [*self.containers(), *kept, *(line for line in loops.splitlines() if "(/root.img" in line)]


@pytest.fixture(scope="module")
def harbour(
    lab: Lab, host_factory: HostFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harbour]:
    """Docker in a lab host, with the images; the environment leads docker, vagrant and remedy there."""
    host = host_factory("ships", role="docker", disks={"/var/lib/docker": Disk("6G")})
    lab.run(host.name, ["systemctl", "start", "docker"])
    programs = tmp_path_factory.mktemp("programs")
    if shutil.which("docker") is None:
        (programs / "docker").symlink_to(
            lab.root / "layers" / ROLES["docker"].folders()[-1] / "usr/bin/docker"
        )
    with pytest.MonkeyPatch.context() as patch:
        first = lab.inside(host.name).first_process()
        patch.setenv("DOCKER_HOST", f"unix:///proc/{first}/root/run/docker.sock")
        patch.setenv("REMEDY_DOCKER_ADDRESS", host.address)
        patch.setenv("VAGRANT_DEFAULT_PROVIDER", "docker")
        patch.setenv("VAGRANT_HOME", str(tmp_path_factory.mktemp("vagrant")))
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        patch.setenv("REMEDY_STATE", str(tmp_path_factory.mktemp("state")))
        assert load_images(images()) == list(images())
        assert load_images(images()) == [], "they are there"
        yield Harbour(lab, host.name)


def remedy(*words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run remedy as a user would."""
    return subprocess.run(
        [*REMEDY, *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )


def vagrant(*words: str, data: Path) -> str:
    """Run vagrant as a user would."""
    environment = {**os.environ, "VAGRANT_DOTFILE_PATH": str(data)}
    done = subprocess.run(
        ["vagrant", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


PLAY = """\
- hosts: all
  become: true
  tasks:
    - copy: {dest: /etc/motd, content: "I am {{ inventory_hostname }}, {{ ansible_distribution }}\\n"}
    - service: {name: "{{ {'app1': 'nginx', 'db1': 'mariadb'}[inventory_hostname] }}", state: started}
"""


@pytest.mark.soak
def test_two_hosts_by_hand_take_a_play(harbour: Harbour, tmp_path: Path) -> None:
    data = tmp_path / "data"
    vagrant("up", "app1", "db1", data=data)
    assert len(harbour.containers()) == 2
    found = logins.parse(vagrant("ssh-config", "app1", "db1", data=data))
    (tmp_path / "known").mkdir()
    for name, login in found.items():
        said = logins.ssh(
            login, tmp_path / "known" / name, ["sudo", "-n", "systemctl", "is-system-running"], "", seconds=60
        )
        assert said == "running\n"
    inventory, play = tmp_path / "vagrant.yml", tmp_path / "site.yml"
    inventory.write_text(logins.inventory(found.values(), tmp_path / "known", {}))
    play.write_text(PLAY)
    changed = []
    for _ in range(2):
        done = remedy("play", str(play), "-i", str(inventory), "--format", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        changed.append({name: host["changed"] for name, host in json.loads(done.stdout)["hosts"].items()})
    assert changed == [{"app1": 1, "db1": 1}, {"app1": 0, "db1": 0}]
    vagrant("destroy", "-f", data=data)
    assert harbour.left() == []


def need(name: str, role: str, **options: object) -> Need:
    """A host as a drill asks for it."""
    said = Map()
    said.update(options)
    return Need(name=name, role=role, options=said, position=Position("d.yml", 1))


@pytest.mark.soak
def test_machines_are_as_new_after_each_drill(harbour: Harbour, tmp_path: Path) -> None:
    needs = [
        need("web", "app", root_size="300M", disks={"/var/log": {"size": "96M", "inodes": 2000}}),
        need("sql", "mysql"),
    ]
    provider = Vagrant(find_vagrantfile(Project(ROOT)))
    provider.open(tmp_path)
    try:
        stage = provider.acquire(needs)
        assert stage.hosts == {"web": "app1", "sql": "db1"}

        def inside(machine: str, script: str) -> str:
            login, known = provider._logins[machine], tmp_path / "known_hosts" / machine
            return logins.ssh(login, known, ["sudo", "sh", "-c", script], "", seconds=60)

        sizes = "df --output=fstype,size,itotal -BM / /var/log | tail -n +2; systemctl is-system-running"
        root, log, state = inside("app1", sizes).splitlines()
        assert root.split()[0] == "overlay"
        assert 250 < int(root.split()[1].rstrip("M")) <= 300
        assert log.split()[0] == "ext4"
        assert 80 < int(log.split()[1].rstrip("M")) <= 96
        assert int(log.split()[2]) >= 2000
        assert state == "running"
        assert "/dev/loop" in inside("db1", "findmnt -no SOURCE /var/lib/mysql; mariadb -e 'select 1'")
        inside("app1", "journalctl --verify --quiet; ls /var/log/syslog /var/log/journal")
        before = inside("app1", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")
        free = harbour.lab.run(
            harbour.host, ["df", "--output=avail", "-BM", "/var/lib/docker"]
        ).stdout.split()[1]
        left = inside("app1", "cat /dev/zero > /filler || df --output=avail -k / | tail -1")
        assert int(left) < 1024, "full, but for a rest that no whole block fits in"
        inside("db1", "mariadb -e 'create database mine'")
        now = harbour.lab.run(
            harbour.host, ["df", "--output=avail", "-BM", "/var/lib/docker"]
        ).stdout.split()[1]
        assert int(free.rstrip("M")) - int(now.rstrip("M")) < 300, "a full root takes no more than its size"

        provider.reset(["web", "sql"])
        provider.acquire(needs)
        assert inside("app1", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub") != before
        assert inside("app1", "ls /filler 2>&1 || :").startswith("ls: cannot access")
        assert "mine" not in inside("db1", "mariadb -e 'show databases'")
    finally:
        provider.close()
    assert harbour.left() == []


@pytest.mark.soak
def test_a_missing_image_is_fetched_from_nowhere(harbour: Harbour, tmp_path: Path) -> None:
    subprocess.run(["docker", "image", "rm", "remedy/queue:vagrant"], capture_output=True, check=True)
    data = tmp_path / "data"
    with pytest.raises(LabError, match="No such image: remedy/queue:vagrant") as caught:
        Program(ROOT, data).run("up", "queue1", seconds=120)
    assert caught.value.hint == "the images of the Docker hosts are made by root: scripts/vagrant/images"
    assert load_images(images()) == ["remedy/queue:vagrant"], "the others are there"
    vagrant("up", "queue1", data=data)
    login = logins.parse(vagrant("ssh-config", "queue1", data=data))["queue1"]
    assert logins.ssh(login, tmp_path / "known", ["redis-cli", "ping"], "", seconds=60) == "PONG\n"
    vagrant("destroy", "-f", data=data)
    assert harbour.left() == []


@pytest.mark.soak
def test_drills_pass_on_machines_of_vagrants(harbour: Harbour) -> None:
    """Those that need more of a container than a folder: its open files, and a database on a disk of its own."""
    names = ["disk-full-deleted", "disk-full-binlogs"]
    done = remedy("drill", *names, "--provider", "vagrant", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["name"] for one in json.loads(done.stdout)["drills"]] == names
    assert harbour.left() == []


@pytest.mark.soak
def test_a_killed_drill_is_cleaned_away(harbour: Harbour) -> None:
    command = [*REMEDY, "drill", "disk-full", "--provider", "vagrant", "--format", "json"]
    drill = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        harbour.await_container()
    finally:
        drill.send_signal(signal.SIGKILL)
        drill.wait(10)
    done = remedy("drill", "--clean")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing of it is left" in done.stdout
    assert harbour.left() == []


@pytest.mark.soak
@pytest.mark.parametrize("role", ["app", "db"])
def test_the_script_of_a_role_makes_a_machine(lab: Lab, host_factory: HostFactory, role: str) -> None:
    """The virtual machines' script, on a booted Debian that has the network of this machine to fetch packages."""
    host = host_factory(f"box-{role}").name
    lab.put(host, "/etc/resolv.conf", Path("/etc/resolv.conf").read_bytes())
    lab.put(host, "/root/role.sh", (ROOT / "scripts/vagrant" / f"{role}.sh").read_bytes(), 0o755)
    first = lab.inside(host).first_process()
    enter = ["nsenter", f"--target={first}", "--mount", "--uts", "--ipc", "--pid", "--cgroup"]
    for _ in range(2):  # the second time there is nothing to do
        done = subprocess.run(
            [*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "/root/role.sh"],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    service = {"app": "nginx", "db": "mariadb"}[role]
    assert lab.run(host, ["systemctl", "is-active", service]).stdout == "active\n"
    assert lab.run(host, ["systemctl", "is-system-running"]).stdout == "running\n"
    if role == "db":
        assert lab.run(host, ["mariadb", "-N", "-e", "select @@log_bin"]).stdout == "1\n"
