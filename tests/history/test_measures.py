"""What results tell in numbers, from results as the modules give them; of anything else nothing, and no error."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.history.measures import measures_of
from tests.history import made
from tests.journal import telling


def told(module: str, result: Any) -> list[tuple[str, str, float]]:
    return [tuple(each) for each in measures_of(telling.done(module=module, result=result))]  # type: ignore[misc]


def test_disks_but_no_images() -> None:
    result = {"filesystems": [made.disk(300), made.disk(5, "/efi", inodes=0), made.disk(9, "/snap", image=True)]}
    assert told("disk_usage", result)[:3] == [
        ("disk.size", "/var", 1000.0),
        ("disk.used", "/var", 300.0),
        ("disk.available", "/var", 700.0),
    ]
    assert {about for _, about, _ in told("disk_usage", result)} == {"/var", "/efi"}


def test_facts() -> None:
    facts = {
        "ansible_mounts": [{"mount": "/", "size_total": 10, "size_available": 4}, {"mount": "/hung", "note": "hangs"}],
        "ansible_memtotal_mb": 2,
        "ansible_memavailable_mb": 1,
        "ansible_swaptotal_mb": 3,
        "ansible_swapfree_mb": 3,
    }
    assert told("setup", {"ansible_facts": facts}) == [
        ("disk.size", "/", 10.0),
        ("disk.available", "/", 4.0),
        ("memory.total", "", 2097152.0),
        ("memory.available", "", 1048576.0),
        ("swap.total", "", 3145728.0),
        ("swap.used", "", 0.0),
    ]
    assert told("setup", {"ansible_facts": {"ansible_hostname": "db1"}}) == []


def test_servers() -> None:
    assert told("mysql_info", {"connections": {"used": 3, "allowed": 150, "peak": 9}}) == [
        ("connections.used", "mysql", 3.0),
        ("connections.allowed", "mysql", 150.0),
        ("connections.peak", "mysql", 9.0),
    ]
    aside = {"connections": {"used": 3}, "port": 3307, "socket": "/run/mysqld/b.sock"}
    assert told("mysql_info", aside) == [("connections.used", "mysql:3307", 3.0)]
    alone = {"connections": {"used": 3}, "port": 0, "socket": "/run/mysqld/b.sock"}
    assert told("mysql_info", alone) == [("connections.used", "mysql:/run/mysqld/b.sock", 3.0)]
    sizes = {"databases": {"shop": {"size": 5, "tables": 2, "free": 1}}, "port": 3307}
    assert told("mysql_info", sizes) == [("database.bytes", "mysql:3307/shop", 5.0)]
    usual = {"total": 7, "port": 3306, "socket": "/run/mysqld/mysqld.sock"}
    assert told("mysql_binlogs", usual) == [("binlogs.bytes", "mysql", 7.0)]
    assert told("mysql_binlogs", {"total": 7, "port": 3307}) == [("binlogs.bytes", "mysql:3307", 7.0)]
    assert told("mysql_binlogs", {"total": 7}) == [("binlogs.bytes", "mysql", 7.0)]
    postgres = {"port": 5433, "connections": {"used": 2, "allowed": 97}, "databases": {"shop": {"size": 8}}}
    assert told("postgresql_info", postgres) == [
        ("connections.used", "postgresql:5433", 2.0),
        ("connections.allowed", "postgresql:5433", 97.0),
        ("database.bytes", "postgresql:5433/shop", 8.0),
    ]
    disk = {"databases": [{"db": "shop", "bytes": 8}], "wal": None}
    assert told("postgresql_disk", disk) == [("database.bytes", "postgresql/shop", 8.0)]
    assert told("postgresql_disk", {**disk, "port": 5433}) == [("database.bytes", "postgresql:5433/shop", 8.0)]
    cache = {"memory": {"used": 5}, "clients": {}, "port": 6380, "socket": None}
    assert told("redis_info", cache) == [("memory.used", "redis:6380", 5.0)]
    cache = {"memory": {"used": 5}, "clients": {}, "port": 0, "socket": "/run/redis/a.sock"}
    assert told("redis_info", cache) == [("memory.used", "redis:/run/redis/a.sock", 5.0)]
    redis = {"memory": {"used": 5, "maxmemory": 0}, "clients": {"connected": 1, "max": 10000}}
    assert told("redis_info", redis) == [
        ("memory.used", "redis", 5.0),
        ("memory.limit", "redis", 0.0),
        ("connections.used", "redis", 1.0),
        ("connections.allowed", "redis", 10000.0),
    ]
    assert told("docker_usage", {"available": True, "images": {"bytes": 4}}) == [("docker.bytes", "images", 4.0)]


ODD = [{}, {"filesystems": 3}, {"ansible_facts": []}, {"connections": "hidden"}, {"memory": None}]


@pytest.mark.parametrize("module", ["disk_usage", "setup", "mysql_info", "postgresql_info", "redis_info", "copy"])
@pytest.mark.parametrize("result", ODD)
def test_what_has_another_shape_tells_nothing(module: str, result: Any) -> None:
    assert told(module, result) == []


def test_what_is_no_number_is_left_out() -> None:
    odd = {"connections": {"used": True, "allowed": "many", "peak": float("nan")}}
    assert told("mysql_info", odd) == []
