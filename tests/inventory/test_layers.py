"""Variables as layers in Ansible's order, each value with its place."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from remedy.errors import InputError, Position
from remedy.inventory import load
from remedy.secret import Secrets
from remedy.template import Templar, Vault, encrypt

ORDER = [  # low to high, each with the file that holds it
    ("inventory file group vars", "inventory/hosts.yml"),
    ("inventory group_vars/all", "inventory/group_vars/all.yml"),
    ("playbook group_vars/all", "playbooks/group_vars/all.yml"),
    ("inventory group_vars", "inventory/group_vars/db.yml"),
    ("playbook group_vars", "playbooks/group_vars/db.yml"),
    ("inventory file host vars", "inventory/hosts.yml"),
    ("inventory host_vars", "inventory/host_vars/db1.yml"),
    ("playbook host_vars", "playbooks/host_vars/db1.yml"),
]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, {file: f"v{number}: 1\n" for number, (_, file) in enumerate(ORDER)})
    write(tmp_path, {"inventory/hosts.yml": "db:\n  vars: {v0: 1}\n  hosts:\n    db1: {v5: 1}\n"})
    return tmp_path


def test_the_layers_stand_in_ansibles_order(root: Path) -> None:
    inventory = load(["inventory/hosts.yml"], root=root)
    layers = inventory.layers(inventory.host("db1"), root / "playbooks")
    assert [layer.name for layer in layers] == [name for name, _ in ORDER]
    for number, layer in enumerate(layers):
        assert list(layer.values) == [f"v{number}"]


@pytest.mark.parametrize("winner", range(len(ORDER)))
def test_each_layer_wins_over_all_below_and_says_where_it_stands(root: Path, winner: int) -> None:
    for number, (_, file) in enumerate(ORDER[: winner + 1]):
        if number not in (0, 5):
            write(root, {file: f"x: {number}\n"})
    host_value = "x: 5" if winner >= 5 else "y: 5"
    write(root, {"inventory/hosts.yml": f"db:\n  vars:\n    x: 0\n  hosts:\n    db1: {{{host_value}}}\n"})
    inventory = load(["inventory/hosts.yml"], root=root)
    scope = Templar(Secrets()).scope(inventory.layers(inventory.host("db1"), root / "playbooks"))
    origin = scope.why("x")
    assert origin is not None
    assert (origin.layer, origin.value) == (ORDER[winner][0], winner)
    assert origin.position is not None
    assert origin.position.file == str(root / ORDER[winner][1])
    assert origin.position.line == {0: 3, 5: 5}.get(winner, 1)


def test_groups_count_by_depth_then_priority_then_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "hosts": "[a]\nh\n[b]\nh\n[c]\nh\n[top:children]\na\nb\nc\n[a:vars]\nansible_group_priority=10\nx=a\n"
            "[b:vars]\nx=b\ny=b\n[c:vars]\nx=c\ny=c\nz=c\n[top:vars]\nx=top\nz=top\nw=top\n",
        },
    )
    inventory = load(["hosts"], root=tmp_path)
    (layer,) = inventory.layers(inventory.host("h"))
    assert dict(layer.values) == {"x": "a", "y": "c", "z": "c", "w": "top"}


def test_folders_of_variables_are_read_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "hosts": "[web]\nh\n",
            "group_vars/web/10-a.yml": "x: 1\ny: 1\n",
            "group_vars/web/20-b.json": '{"x": 2}',
            "group_vars/web/sub/c": "z: 3\n",
            "group_vars/web/.hidden.yml": "bad: 1\n",
            "group_vars/web/old.yml~": "bad: 1\n",
            "group_vars/web/readme.txt": "not: yaml: at all",
        },
    )
    inventory = load(["hosts"], root=tmp_path)
    (layer,) = inventory.layers(inventory.host("h"))
    assert dict(layer.values) == {"x": 2, "y": 1, "z": 3}
    assert layer.values.values_at["x"] == Position(str(tmp_path / "group_vars/web/20-b.json"), 1, 7)  # type: ignore[attr-defined]


def test_a_folder_of_sources_is_merged_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "prod/01-hosts": "[web]\nh x=1\n",
            "prod/02-more.yml": "web: {hosts: {h: {x: 2}, i: }}\n",
            "prod/hosts.bak": "broken [",
            "prod/notes.md": "broken [",
            "prod/.git": "broken [",
            "prod/group_vars/web.yml": "g: 1\n",
        },
    )
    inventory = load(["prod"], root=tmp_path)
    assert [host.name for host in inventory.hosts] == ["h", "i"]
    merged = {k: v for layer in inventory.layers(inventory.host("h")) for k, v in layer.values.items()}
    assert merged == {"x": 2, "g": 1}


def test_vaulted_files_and_values(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": "[web]\nh\n"})
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "web.yml").write_bytes(encrypt(b"pw: inside\n", b"k"))
    inventory = load(["hosts"], root=tmp_path, vault=Vault([("", b"k")]))
    (layer,) = inventory.layers(inventory.host("h"))
    assert dict(layer.values) == {"pw": "inside"}
    bare = load(["hosts"], root=tmp_path)
    with pytest.raises(InputError, match="no vault password was given"):
        bare.layers(bare.host("h"))


@pytest.mark.parametrize("text", ["- a\n", "just text\n"])
def test_a_file_without_variables(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"hosts": "h\n", "host_vars/h.yml": text})
    inventory = load(["hosts"], root=tmp_path)
    with pytest.raises(InputError, match=r"h\.yml:1: the file holds no variables"):
        inventory.layers(inventory.host("h"))


def test_magic_variables(tmp_path: Path) -> None:
    write(tmp_path, {"inv/hosts": "lone\n[web]\nweb1.example.com\n[prod:children]\nweb\n"})
    inventory = load(["inv/hosts", "x,"], root=tmp_path)
    magic = inventory.magic(inventory.host("web1.example.com"))
    assert magic == {
        "inventory_hostname": "web1.example.com",
        "inventory_hostname_short": "web1",
        "group_names": ["prod", "web"],
        "groups": {
            "all": ["lone", "x", "web1.example.com"],
            "ungrouped": ["lone", "x"],
            "web": ["web1.example.com"],
            "prod": ["web1.example.com"],
        },
        "inventory_dir": str(tmp_path / "inv"),
        "inventory_file": str(tmp_path / "inv" / "hosts"),
    }
    assert inventory.magic(inventory.host("x"))["inventory_file"] is None


def test_localhost_is_there_without_being_named(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": "[all:vars]\na=1\n"})
    inventory = load(["hosts"], root=tmp_path)
    host = inventory.host("localhost")
    assert host.implicit
    merged = {k: v for layer in inventory.layers(host) for k, v in layer.values.items()}
    assert merged == {"a": 1, "ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    assert inventory.hosts == []


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("none", "none: the inventory does not exist\n  expected a file, a folder, or a list of hosts"),
        ("a.toml", "a.toml: TOML inventories are not supported"),
        ("a.yml", "a.yml:1:4: broken YAML"),
        ("latin", "latin:1:5: byte 0xe4 at offset 4 is not UTF-8"),
    ],
)
def test_bad_sources(source: str, error: str, tmp_path: Path) -> None:
    write(tmp_path, {"a.toml": "", "a.yml": "a: [1\n"})
    (tmp_path / "latin").write_bytes(b"host\xe4\n")
    with pytest.raises(InputError) as caught:
        load([source], root=tmp_path)
    assert error in str(caught.value)


def test_a_thousand_hosts_are_no_matter(tmp_path: Path) -> None:
    hosts = "".join(f"h{n}.example.com ansible_host=10.0.{n // 250}.{n % 250} n={n}\n" for n in range(1000))
    tree = "all:\n  hosts:\n" + "".join(f"    h{n}.example.com:\n      m: {n}\n" for n in range(1000))
    write(tmp_path, {"a": f"[web]\n{hosts}", "b.yml": tree, "group_vars/web.yml": "x: 1\n"})
    started = time.monotonic()
    inventory = load(["a", "b.yml"], root=tmp_path)
    layers = [inventory.layers(host, tmp_path) for host in inventory.hosts]
    assert time.monotonic() - started < 5
    assert len(layers) == 1000


def test_values_of_sources_are_templates_of_their_author(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": "h base=/srv\n", "host_vars/h.yml": "app: '{{ base }}/app'\n"})
    inventory = load(["hosts"], root=tmp_path)
    scope = Templar(Secrets()).scope(inventory.layers(inventory.host("h")))
    assert scope.get("app") == "/srv/app"
