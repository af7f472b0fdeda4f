"""Hosts that really boot: accounts, disks, limits, reset and reboot."""

from __future__ import annotations

import subprocess
import time

import paramiko
import pytest

from remedy.lab import Disk, Host, HostSpec, Lab, LabError
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab


def ssh(lab: Lab, name: str, *command: str, user: str = "admin", timeout: float = 30) -> str:
    argv = lab.ssh(name, *command, user=user)
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=timeout).stdout


def failed_units(lab: Lab, name: str) -> str:
    lab.run(name, ["systemctl", "is-system-running", "--wait"], ok=None)
    return lab.run(name, ["systemctl", "--failed", "--no-legend"]).stdout


class TestAccounts:
    @pytest.mark.parametrize("user", ["root", "admin", "operator", "plain", "app"])
    def test_the_key_opens_every_account(self, lab: Lab, lab_host: Host, user: str) -> None:
        assert ssh(lab, lab_host.name, "id", "-un", user=user) == f"{user}\n"

    def test_the_password_opens_an_account_too(self, lab: Lab, lab_host: Host) -> None:
        with paramiko.SSHClient() as client:
            client.load_host_keys(str(lab.known_hosts))
            client.connect(
                lab_host.address,
                username="operator",
                password=lab.password("operator"),
                allow_agent=False,
                look_for_keys=False,
            )

    def test_admin_becomes_root_without_a_password(self, lab: Lab, lab_host: Host) -> None:
        assert ssh(lab, lab_host.name, "sudo", "-n", "id", "-un") == "root\n"
        assert ssh(lab, lab_host.name, "doas", "-n", "id", "-un") == "root\n"

    def test_operator_needs_a_password(self, lab: Lab, lab_host: Host) -> None:
        sudo = ["sudo", "-S", "-p", "", "id", "-un"]
        good, bad = (f"{word}\n".encode() for word in (lab.password("operator"), "wrong"))
        assert lab.run(lab_host.name, sudo, user="operator", stdin=good).stdout == "root\n"
        assert lab.run(lab_host.name, ["sudo", "-k"], user="operator").code == 0
        assert lab.run(lab_host.name, sudo, user="operator", stdin=bad, ok=None).code == 1

    def test_plain_becomes_nobody(self, lab: Lab, lab_host: Host) -> None:
        refused = lab.run(lab_host.name, ["sudo", "-S", "true"], user="plain", stdin=b"x\n", ok=None)
        assert refused.code == 1

    def test_roots_password_works_with_su(self, lab: Lab, lab_host: Host) -> None:
        word = f"{lab.password('root')}\n".encode()
        assert lab.run(lab_host.name, ["su", "-c", "id -un"], user="plain", stdin=word).stdout == "root\n"

    def test_a_login_of_hung_never_answers(self, lab: Lab, lab_host: Host) -> None:
        with pytest.raises(subprocess.TimeoutExpired):
            ssh(lab, lab_host.name, "true", user="hung", timeout=1)


class TestInside:
    def test_a_program_runs_as_any_account_with_input(self, lab: Lab, lab_host: Host) -> None:
        done = lab.run(lab_host.name, ["sh", "-c", "cat; id -un >&2"], user="app", stdin=b"hello")
        assert (done.code, done.stdout, done.stderr) == (0, "hello", "app\n")

    def test_an_unexpected_exit_code_is_an_error(self, lab: Lab, lab_host: Host) -> None:
        with pytest.raises(LabError, match="host h1: exit code 3 from: sh -c 'echo no; exit 3'\n  no"):
            lab.run(lab_host.name, ["sh", "-c", "echo no; exit 3"])
        assert lab.run(lab_host.name, ["sh", "-c", "exit 3"], ok=(0, 3)).code == 3

    def test_a_program_that_takes_too_long_is_killed(self, lab: Lab, lab_host: Host) -> None:
        with pytest.raises(LabError, match=r"no end after 0.3 s: sleep 987"):
            lab.run(lab_host.name, ["sleep", "987"], timeout=0.3)
        assert "sleep 987" not in lab.run(lab_host.name, ["ps", "axo", "args"]).stdout

    def test_a_program_that_the_host_stops_does_not_stop_the_lab(self, lab: Lab, lab_host: Host) -> None:
        # systemd stops, ends and continues every process when a host shuts down.
        assert lab.run(lab_host.name, ["sh", "-c", "kill -STOP $$; echo on"], timeout=20).stdout == "on\n"

    def test_long_input_and_output_pass(self, lab: Lab, lab_host: Host) -> None:
        text = b"x" * 3_000_000
        assert len(lab.run(lab_host.name, ["sh", "-c", "sleep 1; cat"], stdin=text).stdout) == len(text)

    def test_files_go_in_and_come_out_unchanged(self, lab: Lab, lab_host: Host) -> None:
        content = bytes(range(256))
        lab.put(lab_host.name, "/srv/new folder/it's", content, mode=0o600)
        assert lab.get(lab_host.name, "/srv/new folder/it's") == content
        assert lab.run(lab_host.name, ["stat", "-c", "%a", "/srv/new folder/it's"]).stdout == "600\n"

    def test_an_unknown_host_is_named(self, lab: Lab, lab_host: Host) -> None:
        with pytest.raises(
            LabError, match=f"the lab has no host 'nobody'\n  its hosts are: .*{lab_host.name}"
        ):
            lab.host("nobody")


class TestLife:
    def test_a_host_boots_without_a_failed_unit(self, lab: Lab, host_factory: HostFactory) -> None:
        host = host_factory("boots", role="app", disks={"/var/log": Disk("96M")})
        assert failed_units(lab, host.name) == ""
        assert lab.run(host.name, ["hostname"]).stdout == "boots\n"
        assert lab.run(host.name, ["systemctl", "is-active", "nginx", "rsyslog"]).stdout == "active\nactive\n"

    def test_reset_throws_everything_away_but_the_identity(self, lab: Lab, host_factory: HostFactory) -> None:
        host = host_factory("clean", disks={"/data": Disk("64M")})
        machine = lab.get("clean", "/etc/machine-id")
        for path in ("/etc/new", "/data/new"):
            lab.put("clean", path, b"x")
        lab.run("clean", ["rm", "/usr/bin/less"])
        lab.reset("clean")
        assert lab.run("clean", ["sh", "-c", "ls /etc/new /data/new"], ok=None).stdout == ""
        assert lab.run("clean", ["test", "-x", "/usr/bin/less"]).code == 0
        assert lab.get("clean", "/etc/machine-id") == machine
        assert lab.host("clean") == host
        assert ssh(lab, "clean", "id", "-un") == "admin\n"

    def test_a_reboot_keeps_the_disks(self, lab: Lab, host_factory: HostFactory) -> None:
        host_factory("again", disks={"/data": Disk("64M")})
        boot = lab.get("again", "/proc/sys/kernel/random/boot_id")
        lab.put("again", "/data/kept", b"x")
        lab.run("again", ["systemctl", "reboot"], ok=None)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if lab.get("again", "/proc/sys/kernel/random/boot_id") != boot:
                    break
            except LabError:  # between two lives
                pass
            time.sleep(0.05)
        assert lab.get("again", "/data/kept") == b"x"
        lab.wait("again")
        assert ssh(lab, "again", "id", "-un") == "admin\n"

    def test_up_leaves_a_running_host_alone_and_remakes_a_changed_one(
        self, lab: Lab, host_factory: HostFactory
    ) -> None:
        first = host_factory("stays")
        lab.put("stays", "/etc/mark", b"x")
        assert lab.up([HostSpec("stays")]) == [first]
        assert lab.get("stays", "/etc/mark") == b"x"
        changed = lab.up([HostSpec("stays", sshd={"MaxSessions": "1"})])[0]
        assert changed.address == first.address
        with pytest.raises(LabError, match="No such file"):
            lab.get("stays", "/etc/mark")
        settings = lab.run("stays", ["sshd", "-T"]).stdout
        assert "maxsessions 1\n" in settings

    def test_a_host_that_died_is_started_again(self, lab: Lab, host_factory: HostFactory) -> None:
        host = host_factory("dies")
        lab.run("dies", ["systemctl", "poweroff", "--force", "--force"], ok=None)
        deadline = time.monotonic() + 30
        while lab.running("dies") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not lab.running("dies")
        with pytest.raises(LabError, match="host dies: the host is not running\n  start it: remedy lab up"):
            lab.run("dies", ["true"])
        assert lab.up([host.spec]) == [host]
        assert lab.running("dies")

    def test_a_memory_limit_ends_in_a_real_kill(self, lab: Lab, host_factory: HostFactory) -> None:
        host_factory("small", memory="128M")
        eater = ["systemd-run", "--wait", "--quiet", "python3", "-c", "x = bytearray(1 << 30)"]
        assert lab.run("small", eater, ok=None).code != 0
        failed = lab.run("small", ["systemctl", "list-units", "--failed", "--no-legend"]).stdout
        assert "run-u" in failed
        assert lab.run("small", ["true"]).code == 0

    def test_an_xfs_disk(self, lab: Lab, host_factory: HostFactory) -> None:
        host_factory("xfs", disks={"/data": Disk("300M", "xfs")})
        assert lab.run("xfs", ["findmnt", "-n", "-o", "FSTYPE", "/data"]).stdout == "xfs\n"

    def test_hosts_know_each_other_by_name(self, lab: Lab, host_factory: HostFactory) -> None:
        host_factory("one")
        host_factory("two")
        assert lab.run("two", ["ping", "-c1", "-W2", "one"]).code == 0
