"""The provider `vagrant` without a machine: what it reads, what it asks vagrant for, and what it refuses."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.document import Map
from remedy.document.loader import load_yaml
from remedy.drill.providers import Need
from remedy.drill.providers.vagrant import Vagrant, disks, find_vagrantfile, logins, wishes
from remedy.drill.providers.vagrant.program import Program
from remedy.drill.providers.vagrant.sets import Set
from remedy.errors import InputError, Position
from remedy.inventory import load
from remedy.lab import Disk, LabError
from remedy.lab.vagrant import HOST_ROLES, script
from remedy.project import Project

ROOT = Path(__file__).parents[2]

SSH_CONFIG = """\
Host app1
  HostName 10.0.0.5
  User vagrant
  Port 2271
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/home/me/my keys/id_rsa"
  LogLevel FATAL

Host db1
  HostName 192.168.121.7
  User debian
  IdentityFile /a/first
  IdentityFile /a/second
  ProxyCommand ssh -q far.example nc %h %p

"""


def need(name: str, text: str) -> Need:
    options = load_yaml(text, "d.yml")
    assert isinstance(options, Map)
    role = str(options.pop("role"))
    return Need(name=name, role=role, options=options, position=Position("d.yml", 1, 1))


def test_ssh_config_is_read_machine_by_machine() -> None:
    found = logins.parse(SSH_CONFIG)
    assert found["app1"] == logins.Login("app1", "10.0.0.5", 2271, "vagrant", ("/home/me/my keys/id_rsa",))
    keys, proxy = ("/a/first", "/a/second"), "ssh -q far.example nc %h %p"
    assert found["db1"] == logins.Login("db1", "192.168.121.7", 22, "debian", keys, proxy)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  HostName 10.0.0.5\n", "vagrant ssh-config says no HostName"),
        ("  User vagrant\n", "vagrant ssh-config says no User"),
        ('  IdentityFile "/home/me/my keys/id_rsa"\n', "vagrant ssh-config says no IdentityFile"),
    ],
)
def test_what_ssh_config_lacks_is_named(line: str, said: str) -> None:
    with pytest.raises(LabError, match=f"app1: {said}"):
        logins.parse(SSH_CONFIG.replace(line, "", 1))


def test_the_inventory_marks_its_hosts_and_checks_their_keys(tmp_path: Path) -> None:
    file = tmp_path / "vagrant.yml"
    found = logins.parse(SSH_CONFIG)
    known = tmp_path / "known hosts"
    file.write_text(logins.inventory(found.values(), known, {"app": ["app1"], "mysql": ["db1"]}))
    inventory = load([str(file)], root=tmp_path)
    assert {host.name for host in inventory.select("mysql")} == {"db1"}
    app1 = {
        name: value
        for layer in inventory.layers(inventory.host("app1"))
        for name, value in layer.values.items()
    }
    assert app1["drill"] is True
    assert (app1["ansible_host"], app1["ansible_port"], app1["ansible_user"]) == ("10.0.0.5", 2271, "vagrant")
    assert app1["ansible_ssh_private_key_file"] == "/home/me/my keys/id_rsa"
    options = app1["ansible_ssh_common_args"]
    assert f"'UserKnownHostsFile=\"{known / 'app1'}\"'" in options
    assert "StrictHostKeyChecking=yes" in options
    assert "ProxyCommand=ssh -q far.example" in inventory.host("db1").vars["ansible_ssh_common_args"]


def test_a_role_is_played_by_a_machine_of_its_name() -> None:
    machines = ("db1", "db2", "app1", "queue1")
    cast = wishes.cast(
        [
            need("any", "role: base"),
            need("db2", "role: mysql"),
            need("second", "role: db"),
            need("web", "role: app"),
        ],
        machines,
    )
    assert cast == {"any": "queue1", "db2": "db2", "second": "db1", "web": "app1"}


def test_a_role_without_a_machine_is_refused_where_it_stands() -> None:
    needs = [need("one", "role: app"), need("two", "role: app")]
    with pytest.raises(InputError, match=r"no machine left for two with the role app") as caught:
        wishes.cast(needs, ("db1", "app1"))
    assert caught.value.where == Position("d.yml", 1, 1)
    assert "its machines are db1, app1" in (caught.value.hint or "")


def test_a_wish_has_the_disks_of_its_role_and_its_own() -> None:
    wish = wishes.read(
        need("db1", "{role: mysql, root_size: 2G, disks: {/var/log: {size: 96M, inodes: 500}}}")
    )
    assert wish.disks == {"/var/lib/mysql": Disk("400M"), "/var/log": Disk("96M", inodes=500)}
    assert wish.root_size == "2G"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{role: app, memory: 64M}", "machines of Vagrant have no 'memory' of their own"),
        (
            "{role: app, disks: {/srv: {size: 300M, fs: xfs}}}",
            "machines of Vagrant have disks with ext4 only",
        ),
        ("{role: app, disks: {/srv: {size: much}}}", "'much' is no size"),
        ("{role: mainframe}", "the lab has no role 'mainframe'"),
    ],
)
def test_what_no_machine_can_give_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        wishes.read(need("app1", text))
    assert str(caught.value.where).startswith("d.yml:1")


def test_the_script_for_disks_is_one_that_a_shell_can_read() -> None:
    text = disks.script({"/var/log": Disk("96M", reserved=5, inodes=900), "/srv/my data": Disk("8M")})
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert text.splitlines()[-2:] == [
        "disk '/srv/my data' 8M mkfs.ext4 -q -b 4096 -m 0",
        "disk /var/log 96M mkfs.ext4 -q -b 4096 -m 5 -N 900",
    ]


@pytest.mark.parametrize("name", HOST_ROLES)
def test_the_script_of_a_role_is_current(name: str) -> None:
    path = ROOT / "scripts" / "vagrant" / f"{name}.sh"
    assert path.read_text() == script(name), "write them anew: python scripts/vagrant/roles.py"
    subprocess.run(["sh", "-n", str(path)], check=True)


def test_the_vagrantfile_is_valid_and_has_a_machine_for_every_role(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "VAGRANT_DOTFILE_PATH": str(tmp_path),
        "VAGRANT_HOME": str(tmp_path / "home"),
    }
    command = ["vagrant", "validate", "--ignore-provider"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Vagrantfile validated successfully." in done.stdout
    for name in ("db1", "db2", "app1", "queue1"):
        assert f"==> {name}: Ignoring provider config" in done.stdout
        assert name.rstrip("12") in HOST_ROLES


def test_a_project_without_a_vagrantfile_has_the_packages_own(tmp_path: Path) -> None:
    assert find_vagrantfile(Project(tmp_path)) == ROOT / "Vagrantfile"
    (tmp_path / "Vagrantfile").touch()
    assert find_vagrantfile(Project(tmp_path)) == tmp_path / "Vagrantfile"
    with pytest.raises(InputError, match="no Vagrantfile"):
        find_vagrantfile(Project(tmp_path / "not", library=tmp_path / "here"))


# With a program that plays vagrant: what is asked of it for virtual machines.

FAKE = """#!/bin/sh
echo "$REMEDY_VAGRANT_SET $*" >> "$CALLS"
case "$1 $2" in
    "status --machine-readable") printf '1,%s,metadata,provider,virtualbox\\n1,,ui,info,x\\n' app1 db1 ;;
    up*) shift; for name; do
        mkdir -p "$VAGRANT_DOTFILE_PATH/machines/$name/virtualbox"
        echo "$name" > "$VAGRANT_DOTFILE_PATH/machines/$name/virtualbox/id"; done
        [ ! -e "$CALLS.fail" ] || { rm "$CALLS.fail"; echo 'half-way' >&2; exit 1; } ;;
    ssh-config*) shift; for name; do printf \\
        'Host %s\\n  HostName 127.0.0.1\\n  User vagrant\\n  Port '$PORT'\\n  IdentityFile /k\\n\\n' "$name"; done ;;
    destroy*) shift 2; for name; do rm -r "$VAGRANT_DOTFILE_PATH/machines/$name"; done ;;
    sleep*) trap 'echo interrupted >> "$CALLS"; exit 1' INT; echo sleeping > "$READY"; while :; do sleep 0.05; done ;;
    late*) echo here > "$READY"; read -r answer < "$GO"
        mkdir -p "$VAGRANT_DOTFILE_PATH/machines/$2/virtualbox"
        echo "$2" > "$VAGRANT_DOTFILE_PATH/machines/$2/virtualbox/id" ;;
    busy*) [ ! -e "$VAGRANT_CWD/tried" ] || { echo done; exit 0; }; touch "$VAGRANT_CWD/tried"
        echo 'app1: another process is already executing an action on the machine.' >&2; exit 1 ;;
    broken*) echo 'The image remedy/app:vagrant is not here, says docker' >&2; exit 1 ;;
esac
"""


class Greeting(socketserver.BaseRequestHandler):
    """What an sshd says first."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-here\r\n")


@pytest.fixture
def port() -> Iterator[int]:
    """The port of something that greets as an sshd does."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join(10)


@pytest.fixture
def calls(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the fake vagrant was asked; it and a fake ssh come first on PATH."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name, text in {
        "vagrant": FAKE,
        "ssh": '#!/bin/sh\ncat > /dev/null\necho "ssh $*" >> "$CALLS.ssh"\n',
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    calls.touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setenv("READY", str(tmp_path / "ready"))
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path / "home"))
    return calls


def test_where_vagrant_finds_no_provider_it_says_what_to_install(
    calls: Path, tmp_path: Path
) -> None:
    said = "1,,ui,error,No usable default provider could be found for your system."
    (tmp_path / "bin/vagrant").write_text(f"#!/bin/sh\necho '{said}'\nexit 1\n")
    with pytest.raises(LabError) as told:
        Vagrant(tmp_path / "Vagrantfile").open(tmp_path / "drill")
    assert str(told.value).startswith("Vagrant finds no provider here to make machines with\n  install VirtualBox")


def _asked(calls: Path) -> list[str]:
    lines = calls.read_text().splitlines()
    calls.write_text("")
    return lines


def test_virtual_machines_go_back_to_a_snapshot(calls: Path, tmp_path: Path, port: int) -> None:
    provider = Vagrant(tmp_path / "Vagrantfile")
    provider.open(tmp_path / "drill")
    assert _asked(calls) == ["1 status --machine-readable"]
    stage = provider.acquire([need("web", "role: app")])
    assert stage.hosts == {"web": "app1"}
    address = f"127.0.0.1:{port}"
    assert stage.facts == {"web": {"machine": "app1", "engine": "virtualbox", "address": address}}
    assert _asked(calls) == ["1 up app1", "1 snapshot save app1 remedy-clean", "1 ssh-config app1"]
    provider.reset(["web"])
    restored = ["1 snapshot restore --no-provision app1 remedy-clean"]
    assert _asked(calls) == restored
    provider.acquire([need("web", "role: app")])
    assert _asked(calls) == [], "it is up, and as new"
    provider.acquire([need("web", "role: app"), need("sql", "role: mysql")])
    up = ["1 up db1", "1 snapshot save db1 remedy-clean", "1 ssh-config db1"]
    assert _asked(calls) == [*restored, *up], "used by the last acquire, though nobody said reset"
    provider.close()
    assert _asked(calls) == ["1 destroy --force app1 db1"]
    provider.close()
    assert _asked(calls) == []


def test_a_machine_that_came_up_half_way_is_made_anew(calls: Path, tmp_path: Path) -> None:
    provider = Vagrant(tmp_path / "Vagrantfile")
    provider.open(tmp_path / "drill")
    calls.with_suffix(".fail").touch()
    with pytest.raises(LabError, match="half-way"):
        provider.acquire([need("app1", "role: app")])
    _asked(calls)
    provider.acquire([need("app1", "role: app")])
    asked = ["1 destroy --force app1", "1 up app1", "1 snapshot save app1 remedy-clean", "1 ssh-config app1"]
    assert _asked(calls) == asked
    provider.close()


def test_two_drills_have_machines_of_their_own(calls: Path, tmp_path: Path) -> None:
    one, two = Vagrant(tmp_path / "Vagrantfile"), Vagrant(tmp_path / "Vagrantfile")
    one.open(tmp_path / "one")
    two.open(tmp_path / "two")
    assert (one.remember()["set"], two.remember()["set"]) == (1, 2)
    one.acquire([need("app1", "role: app")])
    two.acquire([need("app1", "role: app")])
    assert [line for line in _asked(calls) if " up " in line] == ["1 up app1", "2 up app1"]
    two.close()
    assert _asked(calls) == ["2 destroy --force app1"]
    one.close()


def test_what_a_killed_drill_left_is_destroyed(calls: Path, tmp_path: Path) -> None:
    killed = Vagrant(tmp_path / "Vagrantfile")
    killed.open(tmp_path / "drill")
    remembered = killed.remember()
    killed.acquire([need("app1", "role: app")])
    assert Vagrant.resume(remembered) is None, "it still lives"
    killed._open.close()  # as the kernel does it
    _asked(calls)
    found = Vagrant.resume(remembered)
    assert found is not None
    found.close()
    assert _asked(calls) == ["1 destroy --force app1"]
    assert Vagrant.resume(remembered) is None, "nothing is left"


def test_what_a_killed_drills_vagrant_still_makes_is_destroyed(calls: Path, tmp_path: Path) -> None:
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(ready)
    os.mkfifo(go)
    taken = Set(1)
    command = f"""
from pathlib import Path
from remedy.drill.providers.vagrant.program import Program
Program(Path({str(tmp_path)!r}), Path({str(taken.data)!r})).run("late", "app1", seconds=60)
"""
    killed = subprocess.Popen([sys.executable, "-c", command], env={**os.environ, "GO": str(go)})
    ready.read_text()
    killed.kill()
    killed.wait(10)
    releasing = threading.Timer(0.3, go.write_text, ["go on"])
    releasing.start()
    provider = Vagrant.resume({"set": 1, "vagrantfile": str(tmp_path / "Vagrantfile")})
    releasing.join(10)
    assert provider is not None
    provider.close()
    assert _asked(calls)[-1] == "1 destroy --force app1"


def test_a_new_drill_destroys_what_it_finds_in_its_set(calls: Path, tmp_path: Path) -> None:
    left = Set(1).data / "machines" / "db1" / "virtualbox"
    left.mkdir(parents=True)
    (left / "id").write_text("x")
    said: list[str] = []
    provider = Vagrant(tmp_path / "Vagrantfile", said.append)
    provider.open(tmp_path / "drill")
    assert _asked(calls) == ["1 destroy --force db1", "1 status --machine-readable"]
    assert said == ["destroying what a killed drill left: db1"]
    provider.close()


def test_a_failure_of_vagrant_shows_what_it_said(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(
        LabError, match=r"exit code 1 from: vagrant broken\n    The image remedy/app"
    ) as caught:
        Program(tmp_path, tmp_path / "data").run("broken", seconds=30)
    assert caught.value.hint == "the images of the Docker hosts are made by root: scripts/vagrant/images"
    assert calls.read_text() == " broken\n"


def test_another_vagrant_at_work_is_waited_for(calls: Path, tmp_path: Path) -> None:
    assert Program(tmp_path, tmp_path / "data").run("busy", seconds=30) == "done\n"
    assert calls.read_text().splitlines() == [" busy", " busy"]
    (tmp_path / "tried").unlink()
    with pytest.raises(LabError, match="another process is already executing an action"):
        Program(tmp_path, tmp_path / "data").run("busy", seconds=0.3)


def test_without_vagrant_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="the program vagrant is not installed here") as caught:
        Program(tmp_path, tmp_path / "data").run("status", seconds=30)
    assert "apt-get install vagrant" in (caught.value.hint or "")


def test_vagrant_has_a_deadline(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="vagrant did not end in time: vagrant sleep"):
        Program(tmp_path, tmp_path / "data").run("sleep", seconds=0.3)


def test_ctrl_c_ends_vagrant_in_order(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, waiting, wait = tmp_path / "ready", threading.Event(), subprocess.Popen.wait
    os.mkfifo(ready)

    def watched(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        waiting.set()
        return wait(process, timeout)

    def interrupt() -> None:
        ready.read_text()
        waiting.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, "wait", watched)
    listener = threading.Thread(target=interrupt)
    listener.start()
    with pytest.raises(KeyboardInterrupt):
        Program(tmp_path, tmp_path / "data").run("sleep", seconds=30)
    listener.join(10)
    assert calls.read_text().splitlines()[-1] == "interrupted"


def test_a_machine_that_never_greets_has_a_deadline(unused_port: int) -> None:
    login = logins.Login("app1", "127.0.0.1", unused_port, "vagrant", ("/k",))
    with pytest.raises(LabError, match=f"app1: no sshd answers at 127.0.0.1:{unused_port} after 0.2 s"):
        logins.wait(login, seconds=0.2)


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens at."""
    import socket

    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])
