"""What may be written in lab.yml, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.errors import InputError
from remedy.lab import Disk, HostSpec
from remedy.lab.layers import other_suite
from remedy.lab.roles import BASE, Foreign, Layer, Role
from remedy.lab.spec import default_file, parse_size, read_specs


def read(folder: Path, text: str) -> tuple[HostSpec, ...]:
    file = folder / "lab.yml"
    file.write_text(text)
    return read_specs(file)


def test_the_shipped_file_declares_the_default_hosts() -> None:
    specs = {spec.name: spec for spec in read_specs(default_file())}
    assert specs["app1"] == HostSpec("app1", role="app", disks={"/var/log": Disk("96M")}, root_size="1G")
    assert specs["db1"] == HostSpec("db1", role="db", disks={"/var/lib/mysql": Disk("400M")})
    assert set(specs) == {"app1", "app2", "db1"}


def test_every_setting_of_a_host_can_be_written(tmp_path: Path) -> None:
    text = """
hosts:
  h1:
  h2:
    role: app
    disks: {/srv: {size: 1G, fs: xfs}, /var/log: {size: 64M, reserved: 5, inodes: 64}}
    memory: 256M
    pids: 100
    root_size: 64M
    root_inodes: 2000
    sshd: {MaxSessions: 1}
"""
    disks = {"/srv": Disk("1G", "xfs"), "/var/log": Disk("64M", reserved=5, inodes=64)}
    full = HostSpec("h2", "app", disks, "256M", 100, "64M", 2000, {"MaxSessions": "1"})
    assert read(tmp_path, text) == (HostSpec("h1"), full)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hosts: [a]", "hosts is list, expected a mapping"),
        ("hosts: {}", "no host is declared"),
        ("machines: {}", "the file has an unknown key 'machines'"),
        ("hosts: {h1: {rolle: app}}", "hosts.h1 has an unknown key 'rolle'\n  did you mean 'role'?"),
        ("hosts: {h1: {role: ap}}", "unknown role 'ap'\n  did you mean 'app'?"),
        ("hosts: {H_1: {}}", "'H_1' is no host name for the lab"),
        ("hosts: {h1: {memory: 256}}", "256 is no size\n  expected a whole number with K, M or G"),
        ("hosts: {h1: {pids: many}}", "'many' is no count"),
        ("hosts: {h1: {disks: {/: {size: 1M}}}}", "a disk cannot be mounted on '/'"),
        ("hosts: {h1: {disks: {/a: {}}}}", "hosts.h1.disks./a has no size"),
        (
            "hosts: {h1: {disks: {/a: {size: 1M, fs: btrfs}}}}",
            "hosts.h1.disks./a: unknown filesystem 'btrfs'",
        ),
        ("hosts: {h1: {disks: {/a: {size: 1M, reserved: 90}}}}", "90 is no share of reserved blocks"),
        ("hosts: {h1: {", "lab.yml:1:14: this is no YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "lab.yml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yml cannot be read: No such file"):
        read_specs(tmp_path / "none.yml")


@pytest.mark.parametrize(("text", "size"), [("1K", 1024), ("64M", 64 << 20), ("2G", 2 << 30)])
def test_sizes_are_binary(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_changed_layer_has_another_folder_and_so_have_those_above() -> None:
    one = Role((BASE, Layer("a", ("nginx-light",)), Layer("b", ())))
    two = Role((BASE, Layer("a", ("nginx",)), Layer("b", ())))
    assert one.folders()[0] == two.folders()[0]
    assert one.folders()[1] != two.folders()[1]
    assert one.folders()[2] != two.folders()[2]
    assert [name.partition("-")[0] for name in one.folders()] == ["base", "a", "b"]


def test_packages_of_another_suite_count_and_a_layer_without_them_keeps_its_folder() -> None:
    plain, other = Role((Layer("a", ()),)), Role((Layer("a", (), foreign=Foreign("sid", ("x",), "/opt/x")),))
    assert plain.folders() == ("a-3c3e06298580eb13",)
    assert other.folders() != plain.folders()


@pytest.mark.parametrize(
    ("sources", "line"),
    [
        (
            "Types: deb\n# URIs: http://old.example/debian\nURIs: http://mirror.example/debian\n"
            "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/a.gpg\n\n"
            "Types: deb\nURIs: http://security.example/debian\nSuites: bookworm-security\n",
            "deb [signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian sid main",
        ),
        (
            "# mine\ndeb  http://mirror.example/debian/ bookworm main\n",
            "deb http://mirror.example/debian/ sid main",
        ),
        (
            "deb http://security.example/d bookworm-security main\ndeb [trusted=yes] file:/srv/deb bookworm main\n",
            "deb [trusted=yes] file:/srv/deb sid main",
        ),
        ("deb http://mirror.example/debian trixie main\n", None),
    ],
)
def test_another_suite_comes_from_the_machines_own_mirror(sources: str, line: str | None) -> None:
    assert other_suite(sources, "sid") == line
