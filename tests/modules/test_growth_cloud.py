"""Plans that may ask the cloud for a larger volume: only for what the chain itself has not, and in whole GiB."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.modules.running import Talk
from tests.modules.test_growth import DISK, GIB, MIB, SIZES, device, grouped, link, simple, steps

from remedy.agent.host import Host
from remedy.modules import check, find
from remedy.modules.target import _blocks, _chain, _disks, _growth, disk_rescan

VOLUME = "vol-0a1b2c3d4e5f60718"


def on_volume(chain: dict[str, Any], disk: str = "sdx", volume: str = VOLUME) -> dict[str, Any]:
    chain["links"].append(link("cloud_volume", volume, disk, 0, provider="aws"))
    return chain


def bought(chain: dict[str, Any], size: str, cloud: bool = True) -> dict[str, Any]:
    """Return the plan; the chain that a report shows stays as it was read."""
    before = copy.deepcopy(chain)
    plan = _growth.plan(chain, size, cloud=cloud)
    assert chain == before
    return plan


def test_the_volume_grows_only_by_what_the_links_above_it_lack():
    plan = bought(on_volume(simple(GIB, GIB, 0, GIB + 2 * MIB)), "5G")
    assert steps(plan) == [("ebs_volume", 6 * GIB), ("disk_rescan", 6 * GIB), ("partition_grow", 5 * GIB),
                           ("filesystem_grow", 5 * GIB)]  # fmt: skip
    first, rescan = plan["steps"][:2]
    assert (first["volume"], first["gib"], first["device"]) == (VOLUME, first["to_bytes"] // GIB, "/dev/sdx")
    assert first["what"] == f"cloud_volume {VOLUME}: 1.0 GiB to {first['gib']}.0 GiB"
    assert rescan["least_bytes"] == first["to_bytes"]
    # What waits is used first, and then nobody is asked.
    assert steps(bought(on_volume(simple(GIB, GIB, 4 * GIB, 5 * GIB)), "5G"))[0][0] == "partition_grow"
    assert steps(bought(on_volume(simple(5 * GIB, 5 * GIB, 0, 5 * GIB)), "5G")) == []
    # A file system right on the disk.
    bare = simple(GIB, GIB, 0, GIB)
    bare["links"] = [bare["links"][0], link(DISK, "sdx", "/data", GIB)]
    assert steps(bought(on_volume(bare), "+1G")) == [
        ("ebs_volume", 2 * GIB), ("disk_rescan", 2 * GIB), ("filesystem_grow", 2 * GIB)]  # fmt: skip


def test_nobody_is_asked_who_was_not_named():
    plan = bought(on_volume(simple(GIB, GIB, 0, GIB)), "2G", cloud=False)
    assert plan["steps"] == []
    assert "ends there: make it larger (with a size, grow_cloud=true does), and play again" in plan["refused"]


def test_what_the_cloud_cannot_help_with_is_refused():
    every = bought(on_volume(simple(GIB, GIB, GIB, 2 * GIB)), "all")
    assert "with grow_cloud name a size (200G)" in every["refused"]
    unknown = bought(simple(GIB, GIB, 0, GIB), "2G")
    assert "not known as a cloud's volume: ebs_volume_id in the inventory names it" in unknown["refused"]
    behind = on_volume(simple(GIB, GIB, 0, 9 * GIB, last=False, limit="partition 2 begins behind it"))
    assert "partition 2 begins behind it" in bought(behind, "2G")["refused"]
    mbr = on_volume(simple(GIB, GIB, 0, GIB, most_bytes=2 << 40))
    assert "make it larger (but an MBR counts no further than 2 TiB)" in bought(mbr, "3T")["refused"]
    two = grouped(GIB, 0, (GIB, 0), (GIB, 0))
    refused = bought(on_volume(on_volume(two, "sd0"), "sd1", "vol-12345678"), "4G")["refused"]
    assert "grow_cloud takes only one volume, and there are 2: name one to ebs_volume" in refused
    for plan in (every, unknown):
        assert plan["steps"] == []


def test_a_group_on_one_volume():
    chain = on_volume(grouped(GIB, 0, (GIB, 0)), "sd0")
    names = [step[0] for step in steps(bought(chain, "3G"))]
    assert names == ["ebs_volume", "disk_rescan", "partition_grow", "lvm_pv", "lvm_lv", "filesystem_grow"]


@given(fs=SIZES, gap=SIZES, room=SIZES, size=SIZES)
def test_a_volume_that_grew_as_planned_is_enough_and_is_asked_for_no_second_time(fs, gap, room, size):
    chain = on_volume(simple(fs, fs + gap, room, fs + gap + room))
    plan = bought(chain, str(size))
    if not plan["steps"] or plan["steps"][0]["module"] != "ebs_volume":
        return
    step = plan["steps"][0]
    assert step["to_bytes"] == step["gib"] * GIB > step["from_bytes"]
    part, disk = chain["links"][1], chain["links"][2]
    # No GiB is paid for that is not needed.
    assert step["to_bytes"] - 2 * GIB < step["from_bytes"] + size - (fs + gap + room)
    part["free_behind_bytes"] += step["to_bytes"] - step["from_bytes"]
    disk["size_bytes"] = step["to_bytes"]
    again = bought(chain, str(size))
    assert again["refused"] is None
    assert [each["module"] for each in again["steps"]] == ["partition_grow", "filesystem_grow"]
    assert again["to_bytes"] == plan["to_bytes"]


def test_a_disk_without_a_serial_is_the_volume_that_the_inventory_names(tmp_path: Path) -> None:
    device(tmp_path, "7:0", "loop0", **{"loop/offset": "0", "loop/backing_file": str(tmp_path / "file")})
    device(tmp_path, "252:1", "vdb", serial="vol12345678")
    (tmp_path / "block").mkdir()
    (tmp_path / "block/vdb").symlink_to(tmp_path / "devices/vdb")
    disk, other = (_blocks.Block(number, str(tmp_path)) for number in ("7:0", "252:1"))
    host = Host(Talk())
    assert _chain.Survey(host).volume(disk) is None
    assert _chain.Survey(host, VOLUME).volume(disk) == VOLUME
    # A serial is true, whatever the inventory says of another disk.
    assert _chain.Survey(host, VOLUME).volume(other) == "vol-12345678"
    with pytest.raises(_chain.Unclear, match="vol-12345678 is named as the volume of loop0, and vdb is that"):
        _chain.Survey(host, "vol-12345678").volume(disk)
    links: list[dict[str, Any]] = []
    _chain._below(_chain.Survey(host, VOLUME), links, disk, "/data")
    assert [(each["kind"], each["name"], each["above"]) for each in links[1:]] == [
        ("cloud_volume", VOLUME, "loop0")
    ]


def test_a_name_that_is_no_volume_is_refused() -> None:
    module = find("block_chain")
    with pytest.raises(Exception, match="cloud_volume 'sda': expected vol- and 8 or 17 digits"):
        check(module, {"mount": "/data", "cloud_volume": "sda"}, None, templates_allowed=False)


def test_a_disk_is_waited_for_until_it_is_as_large_as_was_bought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device(tmp_path, "252:1", "vdb", size=str(GIB // 512))
    sizes = [GIB, GIB, 2 * GIB]
    monkeypatch.setattr(_blocks, "at", lambda path: _blocks.Block("252:1", str(tmp_path)))
    monkeypatch.setattr(_disks, "device_size", lambda block: sizes.pop(0) if len(sizes) > 1 else sizes[0])
    monkeypatch.setattr(disk_rescan.time, "sleep", lambda seconds: None)

    def rescan(in_check: bool = False, wait: float = 60) -> disk_rescan.Rescan:
        host = Host(Talk())
        host.begin({"check": in_check}, "test")
        given = {"device": "/dev/vdb", "mount": None, "least": 2 * GIB, "wait": wait}
        return disk_rescan.Rescan(given, host)

    seen = rescan()
    assert seen.wanted(seen.read()) == {"bytes": 2 * GIB}
    sizes[:] = [GIB]
    late = rescan(wait=0)
    with pytest.raises(Exception, match=r"vdb has 1\.0 GiB .* and 2\.0 GiB .* should be there by now"):
        late.wanted(late.read())
    foreseen = rescan(in_check=True)
    assert foreseen.wanted(foreseen.read()) == {"bytes": 2 * GIB}
