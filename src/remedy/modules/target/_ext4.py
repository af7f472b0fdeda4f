"""What an ext file system keeps back for root, read by tune2fs."""

import os
import re

from remedy.agent.kinds import REQUIRED, Failed, Param, Probe
from remedy.modules.target import _mounts

_TYPES = ("ext2", "ext3", "ext4")

PARAMS = (Param("path", "path", default=REQUIRED, help="Any path on the file system."),)


def kind(params):
    return Ext4


class Ext4(Probe):
    """device, block_size, blocks (kept back)."""

    def read(self):
        return reserve(self.host, device(self.params["path"]))


def device(path):
    """Return the device of the ext file system that a path is on; raises Failed."""
    path = os.path.realpath(path)
    entry = _mounts.holding(_mounts.mounts(), path)
    if entry is None or entry["type"] not in _TYPES:
        kind = entry["type"] if entry else "nothing that is mounted"
        raise Failed("%s is on %s; only ext2, ext3 and ext4 keep blocks back" % (path, kind))
    if not os.path.exists(entry["source"]):
        raise Failed("the device %s of %s cannot be seen from here" % (entry["source"], entry["mount"]))
    return entry["source"]


def reserve(host, device):
    """Return device, block_size and blocks (how many only root may use); raises Failed."""
    told = host.run(["tune2fs", "-l", device], c_locale=True, timeout=20)
    known = dict(re.findall(r"^([A-Z][\w ]+):\s+(\d+)", told.stdout.decode("utf-8", "replace"), re.M))
    if "Reserved block count" not in known:
        raise Failed("tune2fs tells no 'Reserved block count' of %s" % device)
    return {
        "device": device,
        "block_size": int(known.get("Block size", 4096)),
        "blocks": int(known["Reserved block count"]),
    }
