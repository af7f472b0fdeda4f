"""The chain below a mounted file system: each link from it down to the disks, and the space that waits at each.

A link is a dict: kind, name, path (under /dev; None where there is none), above (the name of the link that lies on
it), size_bytes, free_behind_bytes (by how much it can become larger before anything below it does), and what its kind
has: uuid, serial, label... `limit` says in words what ends it. Where the chain is not understood, it ends.
"""

import os

from remedy.agent.kinds import Failed
from remedy.modules.target import _blocks, _disks, _filesystems, _lvm, _mounts, _tables

_LAYOUTS = {
    "crypt": "an encrypted device (LUKS): its mapping is enlarged by hand (cryptsetup resize)",
    "md": "a software RAID (md): enlarge its members and the array by hand (mdadm --grow)",
    "multipath": "a multipath device: each path and the map must learn the size (multipathd resize map)",
    "dmraid": "a RAID of the firmware (dmraid)",
    "zd": "a volume of ZFS",
    "dm": "a device-mapper target that is no LVM volume",
}
_KINDS = {"zfs": "ZFS", "overlay": "an overlay of folders", "bcachefs": "bcachefs"}


class Unclear(Exception):
    """The chain is not understood from here on; the message says why."""


class Survey(object):
    """What the chains of one probe are read from, asked once: LVM, and the partition table of each disk."""

    def __init__(self, host, volume=None):
        """`volume`: the id of the cloud's volume that the disk is, for one that shows no serial."""
        self._host = host
        self._volume = volume
        self._lvm = None
        self._tables = {}

    @property
    def lvm(self):
        """All of LVM."""
        if self._lvm is None:
            self._lvm = _lvm.Lvm(self._host)
        return self._lvm

    def volume(self, disk):
        """Return the id of the cloud's volume that a disk is, None where it is not known; raises Unclear."""
        shown = disk.cloud_volume
        if shown is None and self._volume is not None:
            other = _blocks.volumes(disk.sys).get(self._volume)
            if other is not None:
                text = "%s is named as the volume of %s, and %s is that"
                raise Unclear(text % (self._volume, disk.name, other))
        return shown or self._volume

    def table(self, disk, node):
        """Return the Table of a disk."""
        if disk.number not in self._tables:
            self._tables[disk.number] = _tables.read(self._host, disk, node)
        return self._tables[disk.number]


def mounted(host, path, timeout=5):
    """Return the mount entry at a path; raises Failed where nothing is mounted there, or nothing answers in time."""
    if not path.startswith("/"):
        raise Failed("mount '%s': expected an absolute path, such as /data" % path)
    found = _mounts.at(host, path, timeout)
    if found is not None:
        return found
    there, real = host.in_child(lambda: [os.path.exists(path), os.path.realpath(path)], timeout)
    if not there:
        raise Failed("%s is no mount point: nothing is there" % path)
    inside = _mounts.holding(_mounts.mounts(), real)
    where = "; it lies on the file system of %s" % inside["mount"] if inside else ""
    raise Failed("%s is no mount point%s" % (path, where))


def device(entry):
    """Return the Block that a mounted file system lies on; raises Unclear."""
    kind = entry["type"]
    if kind not in _filesystems.KNOWN:
        raise Unclear("%s is %s, which is not grown here: %s are" % (
            entry["mount"], _KINDS.get(kind, kind), ", ".join(_filesystems.KNOWN)))  # fmt: skip
    number = entry["device"]
    if kind == "btrfs":
        # Its mounts have numbers that lead to no device: it tells itself what it is on.
        about = _filesystems.of(kind, entry["mount"], None)
        if about["devices"] != 1:
            raise Unclear("the btrfs of %s is on %d devices" % (entry["mount"], about["devices"]))
        number = (
            _filesystems.btrfs_device(about["uuid"])
            or _blocks.number_of(about["device"])
            or _blocks.number_of(entry["source"])
        )
        if number is None:
            raise Unclear(
                "the device %s of %s is not to be seen from here" % (about["device"], entry["mount"])
            )
    try:
        return _blocks.Block(number)
    except Failed as error:
        raise Unclear(error.message)


def of(survey, entry):
    """Return the chain of a mount: mount, type, links, stops_at (in words, None where it reaches its disks)."""
    chain = {"mount": entry["mount"], "type": entry["type"], "links": [], "stops_at": None}
    try:
        block = device(entry)
        _filesystem(chain, entry, block)
        _below(survey, chain["links"], block, chain["mount"])
    except Unclear as error:
        chain["stops_at"] = str(error)
    except Failed as error:
        chain["stops_at"] = error.message
    except OSError as error:
        where = error.filename or entry["source"]
        chain["stops_at"] = "%s cannot be read: %s" % (where, (error.strerror or str(error)).lower())
    return chain


def _filesystem(chain, entry, block):
    node = block.node()
    if node is None and entry["type"] in _filesystems.EXT:
        raise Unclear(
            "%s, the device of %s, has no node under /dev here (a container?)" % (block.name, entry["mount"])
        )
    about = _filesystems.of(entry["type"], entry["mount"], node)
    waiting = block.size - about["size"]
    link = {
        "kind": "filesystem",
        "name": entry["mount"],
        "path": node,
        "above": None,
        "type": about["type"],
        "size_bytes": about["size"],
        "free_behind_bytes": waiting if waiting > about["slack"] else 0,
        "grain_bytes": about["grain"],
        "slack_bytes": about["slack"],
        "uuid": about["uuid"],
        "label": about["label"],
        "limit": None,
    }
    chain["links"].append(link)
    if about["trouble"]:
        raise Unclear("the file system of %s: %s" % (entry["mount"], about["trouble"]))
    if waiting < 0:
        raise Unclear("the file system of %s is larger than its device %s" % (entry["mount"], block.name))
    if _mounts.read_only(entry):
        raise Unclear("%s is mounted read-only, and does not grow like that" % entry["mount"])


def _below(survey, links, block, above):
    """Add the links of a device, and of all below it."""
    if any(each["kind"] != "filesystem" and each.get("number") == block.number for each in links):
        return
    if block.kind == "partition":
        _partition(survey, links, block, above)
    elif block.kind == "lvm_lv":
        _logical(survey, links, block, above)
    elif block.kind in ("disk", "loop"):
        _disk(survey, links, block, above)
    else:
        links.append(_link(block, block.kind, above))
        raise Unclear("%s is %s" % (block.name, _LAYOUTS.get(block.kind, "of a kind that is not known here")))


def _link(block, kind, above, **more):
    link = {
        "kind": kind,
        "name": block.read("dm/name") or block.name,
        "path": block.node(),
        "above": above,
        "number": block.number,
        "size_bytes": block.size,
        "free_behind_bytes": 0,
        "limit": None,
    }
    link.update(more)
    return link


def _partition(survey, links, block, above):
    disk = block.disk
    node = disk.node()
    if node is None:
        raise Unclear(
            "%s, the disk of %s, has no node under /dev here (a container?)" % (disk.name, block.name)
        )
    part = _tables.partition(survey.table(disk, node), block, disk.size)
    link = _link(
        block,
        "partition",
        above,
        free_behind_bytes=part.size - block.size + part.room,
        uuid=part.uuid,
        table=part.label,
        disk=disk.name,
        last=part.last,
        most_bytes=part.most,
    )
    if not part.last:
        link["limit"] = "partition %d begins behind it" % part.behind
    elif part.most is not None and part.size + part.room >= part.most:
        link["limit"] = "an MBR counts no further than 2 TiB"
    links.append(link)
    if part.size < block.size:
        raise Unclear("%s is larger in the kernel (%d bytes) than in the table on its disk (%d)"
                      % (block.name, block.size, part.size))  # fmt: skip
    if part.trouble:
        raise Unclear("%s: %s" % (block.name, part.trouble))
    _below(survey, links, disk, block.name)


def _disk(survey, links, block, above):
    real = _disks.device_size(block)
    link = _link(block, block.kind, above, serial=block.serial, model=block.read("device/model"))
    link["free_behind_bytes"] = max(0, (real or 0) - block.size)
    if block.kind == "loop":
        link["backing_file"] = block.read("loop/backing_file")
    links.append(link)
    if block.kind == "loop" and (block.read("loop/offset") or "0") != "0":
        raise Unclear("%s begins in the middle of its file" % block.name)
    volume = survey.volume(block)
    if volume:
        links.append(
            {
                "kind": "cloud_volume",
                "name": volume,
                "path": None,
                "above": block.name,
                "provider": "aws",
                "size_bytes": block.size,
                "free_behind_bytes": 0,
                "limit": None,
            }
        )


def _logical(survey, links, block, above):
    lvm = survey.lvm
    lv = lvm.lv(block)
    vg = lvm.vg(lv["vg_uuid"])
    link = _link(
        block, "lvm_lv", above, uuid=lv["lv_uuid"], vg=vg["vg_name"], extent_bytes=vg["vg_extent_size"]
    )
    link["free_behind_bytes"] = vg["vg_free"]
    links.append(link)
    links.append(
        {
            "kind": "lvm_vg",
            "name": vg["vg_name"],
            "path": None,
            "above": link["name"],
            "uuid": vg["vg_uuid"],
            "size_bytes": vg["vg_size"],
            "free_behind_bytes": 0,
            "limit": None,
        }
    )
    trouble = lvm.trouble(lv)
    if trouble:
        raise Unclear("the logical volume %s/%s: %s" % (vg["vg_name"], lv["lv_name"], trouble))
    for pv in lvm.members(vg["vg_uuid"]):
        below = _blocks.at(pv["pv_name"], "the physical volume")
        extent = vg["vg_extent_size"]
        usable = (below.size - pv["pe_start"]) // extent * extent
        links.append(
            {
                "kind": "lvm_pv",
                "name": pv["pv_name"],
                "path": pv["pv_name"],
                "above": vg["vg_name"],
                "uuid": pv["pv_uuid"],
                "size_bytes": pv["pv_size"],
                "free_behind_bytes": max(0, usable - pv["pv_size"]),
                "start_bytes": pv["pe_start"],
                "extent_bytes": extent,
                "limit": None,
            }
        )
        _below(survey, links, below, pv["pv_name"])
