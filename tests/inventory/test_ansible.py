"""What ansible-core 2.19 makes of the inventory in `real/`, remedy makes of it too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remedy.inventory import Inventory, load

FOLDER = Path(__file__).parent
KNOWN: dict[str, Any] = json.loads((FOLDER / "ansible.json").read_text())


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return load(["hosts", "more.yml", "dyn", "l1,l2:99"], root=FOLDER / "real")


def test_hosts(inventory: Inventory) -> None:
    assert {host.name for host in inventory.hosts} == {*KNOWN["hostvars"], "d2", "d3", "l1", "plain", "sc1"}


@pytest.mark.parametrize("name", sorted(KNOWN["hostvars"]))
def test_variables_of_hosts_with_their_types(inventory: Inventory, name: str) -> None:
    merged: dict[str, Any] = {}
    for layer in inventory.layers(inventory.host(name)):
        merged.update(layer.values)
    expected = KNOWN["hostvars"][name]
    assert merged == expected
    kinds = {key: type(value) for key, value in merged.items() if isinstance(value, bool | int | float)}
    assert kinds == {key: type(expected[key]) for key in kinds}


def test_children(inventory: Inventory) -> None:
    for group, children in KNOWN["children"].items():
        assert sorted(inventory.groups[group].children) == children


@pytest.mark.parametrize("pattern", sorted(KNOWN["patterns"]))
def test_patterns_select_the_same_in_the_same_order(inventory: Inventory, pattern: str) -> None:
    assert [host.name for host in inventory.select(pattern)] == KNOWN["patterns"][pattern]
