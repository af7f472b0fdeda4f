"""What can be told without a disk: amounts, tables, plans; and layouts that this kernel lacks, in a /sys made here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.modules.running import Talk, params

from remedy.agent.host import Host
from remedy.agent.kinds import Failed
from remedy.modules.target import (
    _amount,
    _blocks,
    _chain,
    _filesystems,
    _growing,
    _growth,
    _tables,
    disk_rescan,
    lvm_lv,
    partition_grow,
)

MIB, GIB = 1 << 20, 1 << 30
FS, PART, DISK = "filesystem", "partition", "disk"


def test_amounts():
    for text, base, wanted in (
        ("20G", 5 * GIB, 20 * GIB),
        ("1.5G", 0, 3 * GIB // 2),
        ("+5G", GIB, 6 * GIB),
        ("+20%", 10 * GIB, 12 * GIB),
        (str(4096), 1, 4096),
        ("10 MiB", 0, 10 * MIB),
        ("all", 7, None),
        (" ALL ", 7, None),
    ):
        assert _amount.target(text, base) == wanted
    for text in ("20%", "-5G", "+-5G", "G", "", "5 apples", "0", "+0%", "nan", "1e9", "9" * 5000,
                 "+" + "9" * 400 + "%", "1." + "1" * 5000, "\uff12G"):  # fmt: skip
        assert _amount.wrong(text), text
        with pytest.raises(Failed, match="size '"):
            _amount.target(text, GIB)


def table(label: str, *parts: tuple[int, int], total: int = 2048 * 1024, **more: Any) -> dict[str, Any]:
    """A table as `sfdisk -J` tells it, of (start, size) in sectors."""
    entries = [
        {"node": f"/dev/sdx{number}", "start": start, "size": size, "type": "83"}
        for number, (start, size) in enumerate(parts, 1)
    ]
    return {"label": label, "id": "0xcafe", "partitions": entries, **more}


def judged(found: dict[str, Any], number: int = 1, sectors: int = 2048 * 1024) -> _tables.Partition:
    start = found["partitions"][number - 1]["start"] * 512
    return _tables.judge(found, start, 512, sectors * 512, str(number))


def test_the_room_behind_a_partition():
    # GPT keeps 33 sectors at the end, wherever its header says that the disk ends.
    assert judged(table("gpt", (2048, 2048), lastlba=9999)).room == (2048 * 1024 - 34 - 4095) * 512
    assert judged(table("dos", (2048, 2048))).room == (2048 * 1024 - 4096) * 512
    between = judged(table("gpt", (2048, 2048), (8192, 10)))
    assert (between.room, between.last, between.behind) == (4096 * 512, False, 2)
    # The order of the numbers is not the order on the disk.
    assert judged(table("gpt", (8192, 10), (2048, 2048)), 1).last
    assert judged(table("gpt", (8192, 10), (2048, 2048)), 2).behind == 1
    touching = judged(table("dos", (2048, 2048), (4096, 10)))
    assert (touching.room, touching.behind) == (0, 2)
    # An MBR counts no further than 32 bits, however large the disk.
    far = judged(table("dos", (2048, 2048)), sectors=1 << 34)
    assert far.size + far.room == ((1 << 32) - 1 - 2048) * 512 == far.most


def test_partitions_that_overlap_are_left_alone():
    """What begins inside one, or reaches into it, was not seen behind it: it would have been written over."""
    inside = table("dos", (2048, 2048), (3000, 10000))
    assert judged(inside).trouble == "partition 2 overlaps it: the table must be repaired first"
    assert judged(inside, 2).trouble == "partition 1 overlaps it: the table must be repaired first"
    around = table("gpt", (2048, 2048), (1024, 100000))
    assert judged(around).trouble == "partition 2 overlaps it: the table must be repaired first"
    extended = table("dos", (2048, 2048), (4096, 8192), (6144, 1024))
    extended["partitions"][1]["type"] = "5"
    extended["partitions"][2]["node"] = "/dev/sdx5"
    assert judged(extended).trouble is None, "logical partitions lie in an extended one"


def test_tables_that_are_left_alone():
    with pytest.raises(Failed, match="of the kind 'bsd'"):
        judged(table("bsd", (2048, 2048)))
    with pytest.raises(Failed, match="the table on the disk has none there"):
        _tables.judge(table("gpt", (2048, 2048)), 512, 512, GIB, "1")
    extended = table("dos", (2048, 8192), (12000, 10))
    extended["partitions"][0]["type"] = "f"
    assert judged(extended).trouble == "it is an extended partition"
    assert "logical partition" in _tables.judge(extended, 2080 * 512, 512, GIB, "5").trouble


def link(kind: str, name: str, above: str | None, size: int, free: int = 0, **more: Any) -> dict[str, Any]:
    found = {"kind": kind, "name": name, "path": f"/dev/{name}", "above": above, "limit": None}
    return {**found, "size_bytes": size, "free_behind_bytes": free, **more}


def top(size: int, kind: str = "xfs") -> dict[str, Any]:
    return link(FS, "/data", None, size, type=kind, slack_bytes=MIB, grain_bytes=4096)


def simple(fs: int, part: int, room: int, disk: int, more: int = 0, **of: Any) -> dict[str, Any]:
    parted = {"last": True, "most_bytes": None, "disk": "sdx", **of}
    links = [
        top(fs),
        link(PART, "sdx1", "/data", part, room, **parted),
        link(DISK, "sdx", "sdx1", disk, more),
    ]
    return {"mount": "/data", "links": links, "stops_at": None}


def steps(plan: dict[str, Any]) -> list[tuple[str, int]]:
    return [(step["module"], step["to_bytes"]) for step in plan["steps"]]


def test_only_links_that_are_short_are_in_the_plan():
    assert steps(_growth.plan(simple(GIB, GIB, 0, GIB), "all")) == []
    assert steps(_growth.plan(simple(GIB, 2 * GIB, 0, 2 * GIB), "all")) == [("filesystem_grow", 2 * GIB)]
    short = _growth.plan(simple(GIB, GIB, GIB, 2 * GIB), "+50%")
    assert steps(short) == [("partition_grow", 3 * GIB // 2), ("filesystem_grow", 3 * GIB // 2)]
    disk = _growth.plan(simple(GIB, GIB, 0, GIB, GIB), "all")
    assert steps(disk) == [
        ("disk_rescan", 2 * GIB),
        ("partition_grow", 2 * GIB),
        ("filesystem_grow", 2 * GIB),
    ]
    # The disk is asked again only where the room before it does not do.
    assert steps(_growth.plan(simple(GIB, GIB, GIB, 2 * GIB, GIB), "2G"))[0][0] == "partition_grow"


def test_refused_plans_say_which_link_and_what_would_help():
    smaller = _growth.plan(simple(2 * GIB, 2 * GIB, GIB, 3 * GIB), "1G")
    assert "remedy makes nothing smaller" in smaller["refused"]
    ended = _growth.plan(simple(GIB, GIB, 0, GIB), "2G")
    assert ended["refused"].endswith("the disk sdx ends there: make it larger, and play again")
    behind = simple(GIB, GIB, 0, 9 * GIB, last=False, limit="partition 2 begins behind it")
    assert (
        "sdx1 is as large as it can be: partition 2 begins behind it" in _growth.plan(behind, "2G")["refused"]
    )
    unclear = {"mount": "/data", "links": [top(GIB)], "stops_at": "md0 is a software RAID"}
    assert _growth.plan(unclear, "all")["refused"] == "/data is left alone: md0 is a software RAID"
    mounted = simple(GIB, 2 * GIB, 0, 2 * GIB)
    mounted["links"][0]["type"] = "ext4"
    assert "CAP_SYS_RESOURCE" in _growth.plan(mounted, "all", grows_mounted=False)["refused"]
    assert [smaller["steps"], ended["steps"]] == [[], []]


def grouped(lv: int, free: int, *pvs: tuple[int, int]) -> dict[str, Any]:
    """LVM with 4 MiB extents; of each physical volume its size and the room behind its partition."""
    links = [top(lv), link("lvm_lv", "data-lv", "/data", lv, free, extent_bytes=4 * MIB),
             link("lvm_vg", "data", "data-lv", 0)]  # fmt: skip
    for number, (size, room) in enumerate(pvs):
        name, part, disk = f"/dev/sd{number}1", f"sd{number}1", f"sd{number}"
        about = {"start_bytes": MIB, "extent_bytes": 4 * MIB}
        links += [link("lvm_pv", name, "data", size, 0, **about),
                  link(PART, part, name, size + MIB, room, last=True, most_bytes=None, disk=disk),
                  link(DISK, disk, part, size + room + 3 * MIB)]  # fmt: skip
    return {"mount": "/data", "links": links, "stops_at": None}


def test_a_group_gives_what_is_free_before_its_volumes_grow():
    assert steps(_growth.plan(grouped(GIB, GIB, (2 * GIB, GIB)), "2G")) == [
        ("lvm_lv", 2 * GIB), ("filesystem_grow", 2 * GIB)]  # fmt: skip
    more = _growth.plan(grouped(GIB, GIB, (2 * GIB, GIB)), "2560M")
    assert steps(more) == [("partition_grow", 5 * GIB // 2 + MIB), ("lvm_pv", 5 * GIB // 2),
                           ("lvm_lv", 5 * GIB // 2), ("filesystem_grow", 5 * GIB // 2)]  # fmt: skip
    both = _growth.plan(grouped(GIB, 0, (GIB, GIB), (GIB, GIB)), "all")
    assert [step[0] for step in steps(both)] == ["partition_grow", "lvm_pv"] * 2 + [
        "lvm_lv",
        "filesystem_grow",
    ]
    assert "or add a physical volume to its group" in _growth.plan(grouped(GIB, 0, (GIB, 0)), "9G")["refused"]


def test_two_physical_volumes_on_one_disk():
    chain = grouped(GIB, 0, (GIB, 0), (GIB, 0))
    first, second = (each for each in chain["links"] if each["kind"] == PART)
    first.update(last=False, limit="partition 2 begins behind it")
    second.update(disk="sd0")
    chain["links"] = [each for each in chain["links"] if each["name"] != "sd1"]
    chain["links"][5].update(free_behind_bytes=GIB)
    found = _growth.plan(chain, "all")
    assert [(step["module"], step["device"]) for step in found["steps"]] == [
        ("disk_rescan", "/dev/sd0"), ("partition_grow", "/dev/sd11"), ("lvm_pv", "/dev//dev/sd11"),
        ("lvm_lv", "/dev/data-lv"), ("filesystem_grow", "/data")]  # fmt: skip
    assert "partition 2 begins behind it; " in found["ends"]


SIZES = st.integers(min_value=64 * MIB, max_value=4 << 40)


@given(fs=SIZES, gap=SIZES, room=SIZES, more=st.sampled_from([0, GIB]), size=st.one_of(SIZES, st.just("all")))
def test_no_plan_ever_shrinks_and_one_that_was_done_plans_nothing(fs, gap, room, more, size):
    chain = simple(fs, fs + gap, room, fs + gap + room, more)
    plan = _growth.plan(chain, str(size))
    for step in plan["steps"]:
        assert step["to_bytes"] > step["from_bytes"]
    if plan["refused"]:
        assert plan["steps"] == []
        return
    part, disk = chain["links"][1], chain["links"][2]
    for step in plan["steps"]:  # as the modules would
        if step["module"] == "disk_rescan":
            disk["size_bytes"], disk["free_behind_bytes"] = step["to_bytes"], 0
            part["free_behind_bytes"] += step["to_bytes"] - step["from_bytes"]
        elif step["module"] == "partition_grow":
            part["free_behind_bytes"] -= step["to_bytes"] - part["size_bytes"]
            part["size_bytes"] = step["to_bytes"]
        else:
            chain["links"][0]["size_bytes"] = step["to_bytes"] // 4096 * 4096
    assert part["free_behind_bytes"] >= 0
    assert chain["links"][0]["size_bytes"] <= part["size_bytes"]
    assert steps(_growth.plan(chain, str(size))) == []


def device(sys: Path, number: str, name: str, **files: str) -> None:
    """Make a block device of a /sys of our own: this kernel has none of these kinds."""
    folder = sys / "devices" / name
    for path, text in {"size": "204800", "dev": number, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text + "\n")
    (sys / "dev/block").mkdir(parents=True, exist_ok=True)
    (sys / "dev/block" / number).symlink_to(folder)


@pytest.mark.parametrize(
    ("name", "files", "kind", "text"),
    [
        ("dm-0", {"dm/uuid": "CRYPT-LUKS2-ab-home", "dm/name": "home"}, "crypt", "LUKS"),
        ("dm-0", {"dm/uuid": "mpath-3600", "dm/name": "mpatha"}, "multipath", "multipathd resize map"),
        ("dm-1", {"dm/uuid": "part1-mpath-3600", "dm/name": "mpatha-part1"}, "multipath", "resize map"),
        ("dm-0", {"dm/uuid": "", "dm/name": "x"}, "dm", "no LVM volume"),
        ("md0", {"md/level": "raid1"}, "md", "mdadm --grow"),
        ("zd0", {}, "zd", "a volume of ZFS"),
        ("bcache0", {}, "bcache", "of a kind that is not known here"),
        ("foo0", {}, "foo0", "of a kind that is not known here"),
    ],
)
def test_layouts_that_are_not_known_are_named(
    tmp_path: Path, name: str, files: dict[str, str], kind: str, text: str
) -> None:
    device(tmp_path, "9:0", name, **files)
    block = _blocks.Block("9:0", str(tmp_path))
    links: list[dict[str, Any]] = []
    with pytest.raises(_chain.Unclear, match=text):
        _chain._below(None, links, block, "/data")
    assert (block.kind, links[0]["kind"], links[0]["size_bytes"]) == (kind, kind, 100 * MIB)


def test_a_disk_tells_the_volume_that_it_is(tmp_path: Path) -> None:
    device(tmp_path, "259:0", "nvme1n1", **{"device/serial": "vol0123456789abcdef0"})
    device(tmp_path, "252:0", "vda", serial="root")
    device(tmp_path, "252:1", "vdb", serial="vol12345678")
    device(tmp_path, "252:2", "vdc", serial="vol1234567890")  # they have 8 digits, or 17
    assert _blocks.Block("259:0", str(tmp_path)).cloud_volume == "vol-0123456789abcdef0"
    assert _blocks.Block("252:0", str(tmp_path)).cloud_volume is None
    assert _blocks.Block("252:1", str(tmp_path)).cloud_volume == "vol-12345678"
    assert _blocks.Block("252:2", str(tmp_path)).cloud_volume is None


def test_who_may_grow_ext_while_it_is_mounted(tmp_path: Path) -> None:
    status = tmp_path / "status"
    for mask, may in (("000001fffeffffff", False), ("000001ffffffffff", True)):
        status.write_text(f"Name: x\nCapEff:\t{mask}\n")
        assert _filesystems.may_grow_online(str(status)) is may


def lvm(tmp_path: Path, *lvs: str, free: int, pv: int) -> Host:
    """A host in check mode whose LVM has one group, data: this kernel has no device mapper to make one with.

    Its programs are scripts; each notes that it was asked.
    """
    group = {"vg_name": "data", "vg_uuid": "VG", "vg_attr": "wz--n-", "vg_size": free, "vg_free": free}
    group.update(vg_extent_size=4 * MIB, vg_missing_pv_count="0")
    volumes = [
        {
            "lv_name": name,
            "lv_uuid": name,
            "lv_attr": "-wi-ao",
            "origin": "",
            "pool_lv": "",
            "segtype": "linear",
        }
        | group
        for name in lvs
    ]
    physical = {
        "pv_name": "/dev/no-such-disk",
        "pv_uuid": "PV",
        "pv_size": pv,
        "pe_start": MIB,
        "pv_mda_count": "1",
    }
    for tool, rows in (
        ("lvs", volumes),
        ("vgs", [group]),
        ("pvs", [physical | group | {"pv_duplicate": ""}]),
    ):
        report = json.dumps({"report": [{tool[:2]: rows}]})
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / tool
        program.write_text(f"#!/bin/sh\necho {tool} >> {tmp_path}/asked\ncat <<'END'\n{report}\nEND\n")
        program.chmod(0o755)
    host = Host(Talk())
    host.begin({"check": True, "environment": {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}}, "test")
    return host


def logical(host: Host, sys: Path, name: str, **given: Any) -> int:
    """Let check mode run lvm_lv on a volume of the group; return the bytes that it would have."""
    number = f"253:{len(name)}"
    if not (sys / "dev/block" / number).exists():
        device(sys, number, "dm-" + name, **{"dm/uuid": "LVM-VG" + name, "dm/name": "data-" + name})
    module = lvm_lv.Logical(params("lvm_lv", device="/dev/data/" + name, **given), host)
    module._block = _blocks.Block(number, str(sys))
    have = module.read()
    want = module.wanted(have)
    if want != have:
        module.predict(have, want)
    return int(want["bytes"])


def test_what_check_mode_gave_one_volume_is_not_free_for_the_next(tmp_path: Path) -> None:
    host = lvm(tmp_path, "a", "bb", free=200 * MIB, pv=400 * MIB)
    assert logical(host, tmp_path, "a", size="+50M") == 152 * MIB  # of its 100M, in extents of 4M
    assert logical(host, tmp_path, "a", size="152M") == 152 * MIB  # it has that now
    with pytest.raises(Failed, match="the group data has 155189248 bytes free"):
        logical(host, tmp_path, "bb", size="+150M")
    assert logical(host, tmp_path, "bb") == 248 * MIB
    assert logical(host, tmp_path, "a") == 152 * MIB


def test_lvm_is_asked_once_for_all_chains(tmp_path: Path) -> None:
    survey = _chain.Survey(lvm(tmp_path, "a", "bb", free=0, pv=400 * MIB))
    for name in ("a", "bb"):
        device(tmp_path, f"253:{name}", name, **{"dm/uuid": "LVM-VG" + name, "dm/name": "data-" + name})
        links: list[dict[str, Any]] = []
        with pytest.raises(Failed, match="the physical volume /dev/no-such-disk is not there"):
            _chain._below(survey, links, _blocks.Block(f"253:{name}", str(tmp_path)), "/data")
        assert [each["name"] for each in links] == ["data-" + name, "data"]
    assert (tmp_path / "asked").read_text().split() == ["lvs", "vgs", "pvs"]


def test_sfdisk_is_asked_once_for_all_partitions_of_a_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    script = b"label: gpt\nstart=2048, size=8192\nstart=20480, size=8192\n"
    subprocess.run(["sfdisk", "--quiet", disk], input=script, check=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/sfdisk"
    program.write_text(f'#!/bin/sh\necho $1 >> {tmp_path}/asked\nPATH=/usr/sbin:/sbin exec sfdisk "$@"\n')
    program.chmod(0o755)
    host = Host(Talk())
    host.begin({"environment": {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}}, "test")
    survey = _chain.Survey(host)
    device(tmp_path, "8:0", "sdx", size=str(64 * 2048))
    rooms = []
    for number, start in (("1", "2048"), ("2", "20480")):
        device(tmp_path, f"8:{number}", f"sdx/sdx{number}", partition=number, start=start, size="8192")
        block = _blocks.Block(f"8:{number}", str(tmp_path))
        part = _tables.partition(survey.table(block.disk, str(disk)), block, block.disk.size)
        rooms.append((part.index, part.size, part.room))
    assert rooms == [(1, 4 * MIB, (20480 - 10240) * 512), (2, 4 * MIB, (64 * 2048 - 33 - 28672) * 512)]
    assert (tmp_path / "asked").read_text().split() == ["--json"]
    assert b"start=       20480, size=        8192" in _tables.dump(host, str(disk))


def test_a_file_system_tells_its_uuid_as_all_tools_write_it(tmp_path: Path) -> None:
    disk, uuid = tmp_path / "disk", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
    subprocess.run(["mkfs.ext4", "-q", "-U", uuid, disk, "8M"], check=True)
    assert _filesystems.of("ext4", None, str(disk))["uuid"] == uuid
    assert _filesystems._uuid(bytearray(range(16))) == str(UUID(bytes=bytes(range(16))))


@pytest.mark.parametrize(
    ("module", "noun"),
    [
        (disk_rescan.Rescan, "disk"),
        (partition_grow.Grow, "partition"),
        (lvm_lv.Logical, "logical volume"),
    ],
)
def test_a_device_of_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: type[_growing.Growing], noun: str
) -> None:
    device(tmp_path, "9:0", "md0", **{"md/level": "raid1"})
    monkeypatch.setattr(_blocks, "at", lambda path: _blocks.Block("9:0", str(tmp_path)))
    with pytest.raises(Failed, match=f"^/dev/md0 is no {noun}: it is of the kind md$"):
        _ = module({"device": "/dev/md0", "mount": None}, Host(Talk())).block
