"""What a lab does to the machine it runs on: nothing that stays, whatever happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from remedy.cli.lab import lab as command
from remedy.errors import InputError
from remedy.lab import Disk, HostSpec, Lab, LabError, tools
from remedy.lab.inventory import remove_inventory, write_inventory
from remedy.lab.layers import LayerCache
from remedy.lab.lock import locked
from remedy.lab.network import Network
from remedy.lab.roles import BASE, Layer, Role

pytestmark = pytest.mark.lab

SPECS = [HostSpec("h1", disks={"/var/log": Disk("64M")}), HostSpec("h2", root_size="64M")]


@pytest.fixture
def own() -> Iterator[Lab]:
    """A lab beside that of the session, for tests that end whole labs."""
    with Lab.for_tests() as lab:
        yield lab


def traces(lab: Lab) -> list[str]:
    """Return everything of a lab that the kernel still knows."""
    found = [str(path) for path in Path("/sys/class/net").glob(f"{lab.network.bridge}*")]
    # os.walk passes over what ends meanwhile; Path.glob does not.
    found += [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/remedy-lab-{lab.number}")]
    loops = json.loads(tools.run(["losetup", "--json", "--list"]) or "{}").get("loopdevices", [])
    found += [loop["back-file"] for loop in loops if str(lab.folder) in loop["back-file"]]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if "Z" not in (folder / "stat").read_text().rpartition(")")[2].split()[0]:
                text = (folder / "mountinfo").read_text() + (folder / "cmdline").read_text()
                found += [folder.name] if f"{lab.folder}/hosts" in text else []
        except OSError:
            pass
    return found


def traces_soon(lab: Lab) -> list[str]:
    """Return the traces that stay; the kernel clears dead namespaces on its own time."""
    deadline = time.monotonic() + 5
    while (found := traces(lab)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_down_leaves_nothing(own: Lab) -> None:
    own.up(SPECS)
    assert traces(own)
    own.down()
    assert traces_soon(own) == []
    assert own.hosts() == []
    own.down()  # a second one finds nothing to do


def test_remove_ends_one_host_and_leaves_the_others(own: Lab) -> None:
    own.up(SPECS)
    own.remove("h1")
    assert [host.name for host in own.hosts()] == ["h2"]
    assert own.run("h2", ["true"]).code == 0
    assert "10.99" not in own.known_hosts.read_text().replace(own.host("h2").address, "")


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3, 0.6])
def test_down_cleans_up_after_a_killed_up(own: Lab, seconds: float) -> None:
    program = (
        "import sys; from remedy.lab import *; print(flush=True);"
        f"Lab({own.number}).up([HostSpec('h%d' % n, disks={{'/d': Disk('16M')}}) for n in range(4)])"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
    own.down()
    assert traces_soon(own) == []
    own.up(SPECS)
    assert own.run("h1", ["true"]).code == 0


def test_two_ups_at_once_agree(own: Lab) -> None:
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(Lab(own.number).up(SPECS))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [own.hosts(), own.hosts()]


def test_labs_do_not_share_addresses(lab: Lab, own: Lab) -> None:
    assert lab.number != own.number
    assert lab.network.gateway != own.network.gateway


def test_a_host_that_cannot_boot_shows_its_console(own: Lab) -> None:
    with pytest.raises(
        LabError, match="host broken: the host ended while booting; the last it said"
    ) as caught:
        own.up([HostSpec("broken", disks={"/etc/passwd/no": Disk("16M")})])
    assert "Not a directory" in str(caught.value)
    assert "start it again: remedy lab reset broken" in str(caught.value)


def test_a_host_without_sshd_shows_its_journal(own: Lab) -> None:
    with pytest.raises(LabError, match="host deaf: the host has no answering sshd after") as caught:
        own.up([HostSpec("deaf", sshd={"NoSuchSetting": "1"})])
    assert "NoSuchSetting" in str(caught.value)


def test_a_host_cannot_be_specified_twice(own: Lab) -> None:
    with pytest.raises(InputError, match="the host h1 is specified twice"):
        own.up([HostSpec("h1"), HostSpec("h1", pids=5)])


def test_a_guest_whose_making_was_cut_off_is_in_no_hosts_way(own: Lab) -> None:
    (own.folder / "guests" / "h1").mkdir(parents=True)
    own.up(SPECS)
    assert own.names() == [spec.name for spec in SPECS]


def test_a_foreign_bridge_is_left_alone() -> None:
    network = Network(255)
    network.create("/var/lib/one")
    try:
        with pytest.raises(LabError, match="remedy255 belongs to /var/lib/one, not to /var/lib/other"):
            network.create("/var/lib/other")
    finally:
        network.remove()


def test_a_bridge_whose_making_was_cut_off_is_in_nobodys_way() -> None:
    network = Network(254)
    tools.run(["ip", "link", "add", f"{network.bridge}.new", "type", "bridge"])
    try:
        network.create("/var/lib/one")
        network.check("/var/lib/one")
        assert [path.name for path in Path("/sys/class/net").glob("remedy254*")] == ["remedy254"]
    finally:
        network.remove()
    assert not list(Path("/sys/class/net").glob("remedy254*"))


class TestLayers:
    @pytest.fixture
    def cache(self, lab: Lab) -> LayerCache:
        return LayerCache(lab.root / "layers")

    def test_a_layer_is_built_once(self, cache: LayerCache) -> None:
        role = Role(
            (BASE, Layer("tiny", (), {"/etc/tiny": "1\n", "/usr/bin/tiny!": "#!/bin/sh\n"}, "touch /etc/ran"))
        )
        tree = cache.trees(role)[1]
        try:
            assert (tree / "etc/tiny").read_text() == "1\n"
            assert os.access(tree / "usr/bin/tiny", os.X_OK)
            assert (tree / "etc/ran").exists()
            made = tree.stat().st_mtime_ns
            assert cache.trees(role)[1].stat().st_mtime_ns == made
        finally:
            shutil.rmtree(tree)

    def test_a_failed_build_is_named_and_leaves_no_tree(self, cache: LayerCache) -> None:
        role = Role((BASE, Layer("broken", (), script="echo it broke >&2; exit 3")))
        with pytest.raises(
            LabError, match=r"the root tree 'broken' cannot be built: exit code 3 [\s\S]*it broke"
        ):
            cache.trees(role)
        assert not (cache.folder / role.folders()[1]).exists()

    def test_what_a_killed_build_left_is_removed(self, tmp_path: Path) -> None:
        leftover = tmp_path / ".building-base-1" / "tree"
        leftover.mkdir(parents=True)
        LayerCache(tmp_path).clean()
        assert not leftover.exists()

    def test_a_build_at_work_is_left_alone(self, tmp_path: Path) -> None:
        building = tmp_path / ".building-base-1"
        building.mkdir()
        with locked(tmp_path / "lock"):
            LayerCache(tmp_path).clean()
        assert building.exists()


def test_whoever_waits_for_the_lock_is_told_who_has_it(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        locked(tmp_path / "lock"),
        pytest.raises(LabError, match=f"process {os.getpid()} has held"),
        locked(tmp_path / "lock", said.append, seconds=0.1),
    ):
        pass
    assert said == [f"waiting for the lab command with process id {os.getpid()}"]


class TestInventory:
    def test_it_leads_to_the_hosts(self, own: Lab, tmp_path: Path) -> None:
        own.up(SPECS)
        path = tmp_path / "inventory" / "lab.yml"
        write_inventory(own, path)
        everything = yaml.safe_load(path.read_text())["all"]
        assert everything["hosts"]["h1"] == {"ansible_host": own.host("h1").address}
        assert everything["children"] == {"base": {"hosts": {"h1": None, "h2": None}}}
        variables = everything["vars"]
        assert variables["drill"] is True
        assert "ansible_become_password" not in variables
        login = ["ssh", "-F", "/dev/null", "-i", variables["ansible_ssh_private_key_file"]]
        login += variables["ansible_ssh_common_args"].split()
        target = f"{variables['ansible_user']}@{everything['hosts']['h1']['ansible_host']}"
        assert subprocess.run([*login, target, "hostname"], capture_output=True, check=True).stdout == b"h1\n"
        write_inventory(own, path, become_password=True)
        assert own.password("operator") in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        remove_inventory(path)
        assert not path.exists()

    def test_a_file_of_the_user_is_kept(self, own: Lab, tmp_path: Path) -> None:
        path = tmp_path / "lab.yml"
        path.write_text("all: {}\n")
        with pytest.raises(LabError, match="was not written by the lab and stays as it is"):
            write_inventory(own, path)
        remove_inventory(path)
        assert path.read_text() == "all: {}\n"


class TestCommands:
    @pytest.fixture(autouse=True)
    def _project(self, own: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "inventory").mkdir()
        (tmp_path / "lab.yml").write_text("hosts: {h1: {disks: {/var/log: {size: 64M}}}, h2: {}}\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("remedy.cli.lab._lab", lambda: own)

    def test_up_status_reset_down(self, own: Lab, tmp_path: Path) -> None:
        cli = CliRunner()
        up = cli.invoke(command, ["up", "h1"], catch_exceptions=False)
        assert up.stdout == f"h1\t{own.host('h1').address}\tbase\n"
        assert (tmp_path / "inventory" / "lab.yml").exists()
        table = cli.invoke(command, ["status"], catch_exceptions=False).stdout.splitlines()
        assert table[0].split("\t") == ["HOST", "STATE", "ADDRESS", "ROLE", "DISKS", "UP"]
        assert re.fullmatch(r"h1\trunning\t10\.99\.\d+\.11\tbase\t/var/log \d% of \d+M\t0m\d\ds", table[1])
        own.put("h1", "/etc/new", b"")
        cli.invoke(command, ["reset", "h1"], catch_exceptions=False)
        assert own.run("h1", ["test", "-e", "/etc/new"], ok=(1,)).code == 1
        cli.invoke(command, ["down"], catch_exceptions=False)
        assert not (tmp_path / "inventory" / "lab.yml").exists()
        assert "no hosts" in cli.invoke(command, ["status"], catch_exceptions=False).stderr

    def test_an_undeclared_host_is_an_input_error(self) -> None:
        with pytest.raises(InputError, match=r"lab\.yml declares no host 'h3'\n  valid here: h1, h2"):
            CliRunner().invoke(command, ["up", "h3"], catch_exceptions=False)

    @pytest.mark.parametrize("name", ["up", "status", "ssh", "reset", "down"])
    def test_help_teaches(self, name: str) -> None:
        assert len(CliRunner().invoke(command, [name, "--help"]).stdout.splitlines()) > 5


class TestRefusals:
    def test_an_ordinary_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(LabError, match="the lab needs root") as caught:
            Lab(254).up([HostSpec("h1")])
        assert caught.value.exit_code == 4
        assert "sudo remedy lab up" in str(caught.value)

    def test_another_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(LabError, match="the lab needs Linux, this is darwin"):
            tools.require()

    def test_no_way_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _name: None)
        with pytest.raises(LabError, match="the lab needs mmdebstrap, and there is no apt-get to install"):
            tools.install({"mmdebstrap"})

    def test_a_folder_that_mount_cannot_take(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REMEDY_LAB_DIR", "/tmp/a:b")
        with pytest.raises(LabError, match="has a character that mount"):
            Lab()
