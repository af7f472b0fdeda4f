"""Partition tables, GPT and MBR, as sfdisk reads them; and how far a partition can reach on its disk."""

import json

from remedy.agent.kinds import Failed

LABELS = ("gpt", "dos")
_GPT_ENTRIES = 128 * 128
_MBR_MOST = (1 << 32) - 1  # sectors: what its 32 bits can count
_EXTENDED = ("5", "f", "85")


class Table(object):
    """The partition table of a disk: `table` as `sfdisk --json` tells it, `sector` (bytes)."""

    def __init__(self, table, sector):
        self.table = table
        self.sector = sector


class Partition(object):
    """One partition of a disk and the room behind it.

    `index` (as sfdisk counts), `size` (bytes, as the table has it), `room` (bytes that lie free right behind it),
    `last` (nothing behind it but the disk's end), `most` (bytes that an MBR counts; None for GPT), `behind` (the number
    of the partition that begins behind it, or None), `uuid`, `label` (gpt or dos), `trouble` (why it is not to be
    grown), `sector`.
    """

    def __init__(self, **known):
        self.__dict__.update(known)


def read(host, disk, node):
    """Return the Table of a disk; `node` is its path. Raises Failed where sfdisk cannot read it, or it is damaged."""
    told = host.run(["sfdisk", "--json", node], c_locale=True, timeout=30, ok=None)
    said = told.stderr.decode("utf-8", "replace").strip()
    if told.rc:
        raise Failed(
            "sfdisk cannot read the partition table of %s: %s" % (node, said or "no reason told"), rc=told.rc
        )
    if "corrupt" in said.lower():
        raise Failed("the partition table of %s is damaged, and must be repaired first: %s" % (node, said))
    table = json.loads(told.stdout.decode("utf-8", "replace"))["partitiontable"]
    return Table(table, int(table.get("sectorsize") or disk.read("queue/logical_block_size") or 512))


def dump(host, node):
    """Return the whole table of a disk as `sfdisk --dump` tells it, and takes it again."""
    return host.run(["sfdisk", "--dump", node], c_locale=True, timeout=30).stdout


def partition(table, block, disk_size):
    """Return the Partition of a Block from its disk's Table; `disk_size` in bytes, as it is or will be."""
    return judge(table.table, block.start, table.sector, disk_size, block.read("partition"))


def judge(table, start, sector, disk_size, number):
    """Return the Partition that begins at a byte; pure, for a parsed `sfdisk -J` table."""
    label = table.get("label")
    if label not in LABELS:
        raise Failed("the partition table is of the kind '%s': only gpt and dos (MBR) are known" % label)
    every = sorted(table.get("partitions") or [], key=lambda each: each["start"])
    own = [each for each in every if each["start"] * sector == start]
    logical = label == "dos" and int(number or 0) > 4
    if not own and not logical:
        raise Failed("the kernel's partition %s begins at byte %d, and the table on the disk has none there: "
                     "let the kernel read it again (partprobe)" % (number, start))  # fmt: skip
    own = [each for each in own if _type(each) not in _EXTENDED] or own
    entry = own[0] if own else every[0]
    end = entry["start"] + entry["size"]
    behind = [each for each in every if each["start"] >= end]
    total = disk_size // sector
    if label == "gpt":
        entries = int(table.get("table-length") or 128) * 128
        limit = total - 1 - -(-max(entries, _GPT_ENTRIES) // sector)
        most = None
    else:
        limit = min(total, _MBR_MOST)
        most = (_MBR_MOST - entry["start"]) * sector
    trouble = None
    if logical:
        trouble = "it is a logical partition within an extended one"
    elif label == "dos" and _type(entry) in _EXTENDED:
        trouble = "it is an extended partition"
    else:
        inside = [each for each in every if each["start"] < end and each["start"] + each["size"] > entry["start"]]
        inside = [each for each in inside if each is not entry and not (label == "dos" and _type(each) in _EXTENDED)]
        if inside:
            trouble = "partition %d overlaps it: the table must be repaired first" % _index(inside[0], None)
    edge = min(limit, behind[0]["start"]) if behind else limit
    return Partition(
        index=_index(entry, number),
        size=entry["size"] * sector,
        room=max(0, edge - end) * sector,
        last=not behind,
        most=most,
        behind=_index(behind[0], None) if behind else None,
        uuid=entry.get("uuid") or _mbr_uuid(table, entry, number),
        label=label,
        trouble=trouble,
        sector=sector,
    )


def _type(entry):
    return str(entry.get("type", "")).lower()


def _index(entry, number):
    if number:
        return int(number)
    digits = ""
    for letter in reversed(entry["node"]):
        if not letter.isdigit():
            break
        digits = letter + digits
    return int(digits or 0)


def _mbr_uuid(table, entry, number):
    """Return a PARTUUID of an MBR's partition as the kernel makes it: the disk's id and the number."""
    disk = str(table.get("id") or "").lower()
    return "%s-%02x" % (disk[2:], _index(entry, number)) if disk.startswith("0x") else None
