"""Layouts that this kernel cannot make, as /proc and /sys show them: pools of ZFS, partitions on a RAID."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.modules.running import Talk
from tests.modules.test_growth import device

from remedy.agent.host import Host
from remedy.modules.target import _blocks, _chain, _growth, _mounts, _tables, block_chain

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
24 22 0:22 / /proc rw,nosuid - proc proc rw
90 22 0:40 / /tank rw,noatime shared:44 - zfs tank rw,xattr,noacl
91 90 0:41 / /tank/home rw,noatime shared:45 - zfs tank/home rw,xattr,noacl
92 22 7:3 / /snap/core/1 ro,nodev - squashfs /dev/loop3 ro
93 22 0:50 / /mnt/share rw - nfs4 server:/share rw
"""


def test_pools_of_zfs_are_named_with_and_without_a_mount(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    entries = block_chain._on_disks(_mounts.real(_mounts.mounts(str(tmp_path / "mountinfo"))))
    assert [each["mount"] for each in entries] == ["/", "/tank", "/tank/home"]
    chain = _chain.of(_chain.Survey(Host(Talk())), entries[2])
    assert chain["links"] == []
    assert chain["stops_at"].startswith("/tank/home is ZFS, which is not grown here: ext2, ext3, ext4, xfs, btrfs")
    plan = _growth.plan(chain, "20G", cloud=True)
    assert (plan["steps"], plan["refused"]) == ([], "/tank/home is left alone: " + chain["stops_at"])


def test_a_partition_on_a_raid_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device(tmp_path, "9:127", "md127", **{"md/level": "raid1"})
    files = {"partition": "1", "start": "2048", "size": "8192"}
    device(tmp_path, "259:3", "md127/md127p1", **files)
    part = _tables.Partition(
        size=4 << 20, room=0, behind=None, label="gpt", uuid=None, trouble=None, most=None, last=True
    )
    monkeypatch.setattr(_blocks.Block, "node", lambda block: "/dev/" + block.name)
    monkeypatch.setattr(_chain.Survey, "table", lambda survey, disk, node: None)
    monkeypatch.setattr(_tables, "partition", lambda table, block, size: part)
    assert _blocks.Block("259:3", str(tmp_path)).disk.kind == "md"
    with pytest.raises(_chain.Unclear, match="md127 is a software RAID"):
        _chain._below(_chain.Survey(Host(Talk())), [], _blocks.Block("259:3", str(tmp_path)), "/data")
