"""Tell for each mounted file system the chain below it, down to the disks, and where space waits to be used.

Returns `chains`: for each mount, type and device; links, from the file system down; stops_at (in words, where the
chain is not understood: it is left alone then); waiting_bytes (by how much the file system could grow with what is
there); percent (used, as df prints it), free_bytes and statvfs_bytes (its size for df); and with `size` also `plan`.
A link has kind (filesystem, lvm_lv, lvm_vg, lvm_pv, crypt, md, partition, disk, loop, cloud_volume), name, path, above
(the name of the link that lies on it), size_bytes, free_behind_bytes (by how much it could grow before anything below
it does), limit (what ends it, in words), and what tells it from look-alikes: uuid, label, serial. A plan has
from_bytes, to_bytes, reach_bytes (the most there is), steps (in order; each module, device, from_bytes, to_bytes),
refused (why it cannot be done), ends (what would help to have more) and done_before (an earlier run added it).
"""

import os

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import _amount, _blocks, _chain, _filesystems, _growth, _mounts

PARAMS = (
    Param("mount", "path", help="Only this mount point; it must be one."),
    Param("size", help="Plan for it to become so large: a size (20G), what to add (+5G, +20%), or all."),
    Param(
        "earlier",
        "dict",
        help="What an earlier run let it grow from and to, as earlier_change tells it: before and "
        "want. The same +amount is not added twice.",
    ),
    Param("offline", "bool", default=False, help="The plan may unmount ext4 for a moment, where it must be."),
    Param(
        "cloud",
        "bool",
        default=False,
        help="The plan may make the cloud's volume larger, where the chain ends in one and has less than is wanted.",
    ),
    Param("cloud_volume", help="The volume, vol-…, that a disk which shows no serial is."),
    Param("timeout", "duration", default=5, help="How long one mount may take to answer."),
)

EXAMPLES = """
- block_chain: {mount: /data, size: +20%}
  register: disk
- block_chain: {mount: /data, size: 200G, cloud: true}
"""


def check_params(params):
    named = params["cloud_volume"]
    if named and "{{" not in str(named) and _blocks.volume_of(str(named)) != str(named):
        return "cloud_volume '%s': expected vol- and 8 or 17 digits and letters a to f" % named
    return _amount.wrong(params["size"]) if params["size"] is not None else None


def kind(params):
    return BlockChain


def _on_disks(entries):
    """Return the mounts on disks of the host, as their sources tell; pools of ZFS have names of their own."""
    entries = [each for each in entries if each["source"].startswith("/dev/") or each["type"] == "zfs"]
    return [each for each in entries if each["type"] not in _mounts.IMAGES]


class BlockChain(Probe):
    def read(self):
        if os.geteuid() != 0:
            raise Failed(
                "only root may read what lies below a file system; add become: true", cause="permission"
            )
        if self.params["mount"]:
            entries = [_chain.mounted(self.host, self.params["mount"], self.params["timeout"])]
            self._refuse_another_name(entries[0]["mount"])
        else:
            entries = _on_disks(_mounts.real(_mounts.mounts()))
        survey = _chain.Survey(self.host, self.params["cloud_volume"])
        found = _mounts.usage(self.host, entries, self.params["timeout"])
        return {"chains": [self._chain(survey, *each) for each in found]}

    def _refuse_another_name(self, mount):
        """Refuse +size by a name that is not the mount point's own: what earlier runs added is known by that one."""
        asked, size = self.params["mount"], str(self.params["size"] or "")
        if asked != mount and size.strip().startswith("+"):
            raise Failed("%s leads to the mount point %s: name that, or what an earlier run added would be added twice"
                         % (asked, mount))  # fmt: skip

    def _chain(self, survey, entry, sizes):
        if sizes is None or "error" in sizes:
            why = "it does not answer" if sizes is None else sizes["error"]
            if self.params["mount"]:
                raise Failed("%s cannot be asked: %s" % (entry["mount"], why))
            chain = {"mount": entry["mount"], "type": entry["type"], "links": [], "stops_at": why}
        else:
            chain = _chain.of(survey, entry)
        chain["device"] = chain["links"][0]["path"] if chain["links"] else entry["source"]
        room = _mounts.room(sizes) if sizes and "error" not in sizes else {}
        chain["percent"] = room["percent"] if room.get("size") else None
        chain["free_bytes"] = room.get("available")
        chain["statvfs_bytes"] = room.get("size")
        grows = self.params["offline"] or _filesystems.may_grow_online()
        every = _growth.plan(chain, "all", True)
        chain["waiting_bytes"] = 0 if not every["steps"] else every["to_bytes"] - every["from_bytes"]
        size, earlier = self.params["size"], self.params["earlier"]
        cloud = self.params["cloud"]
        chain["plan"] = _growth.plan(chain, size, grows, earlier, cloud) if size else None
        return chain
