"""Tell how full each mounted file system is, in bytes and in inodes.

Every file system appears once; pseudo file systems, bind mounts and the layers of containers are left out.
A mount that does not answer in time is named in `hung`, and nothing waits for it. Returns

filesystems: mount, device, type, state (rw or ro), size, used, available (to ordinary users), reserved,
percent (as df prints it), inodes, inodes_used, inodes_free, inode_percent (None without inodes), image
(read-only by nature); full: those above the limit, worst first, with `lacks`: ["bytes"], ["inodes"] or
both; images never count; hung: mount, device, type; largest: for each full file system (or each selected
one without a limit) its largest directories and files with their owners, by what lies in them where only
inodes lack, `complete: false` where the budget ended before the walk. A directory that is large only because
of one directory in it is left out.
"""

import os

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import _mounts
from remedy.modules.target._largest import largest

PARAMS = (
    Param("above", "percent", help="The limit: file systems that use more, of bytes or inodes, are in full."),
    Param("mounts", "list", elements="path", help="Only these mount points."),
    Param("paths", "list", elements="path", help="Only the file systems that hold these paths."),
    Param("largest", "int", default=0, help="Name this many of the largest directories and files."),
    Param("budget", "duration", default=20, help="How long the search for them may take, in all."),
    Param("timeout", "duration", default=5, help="How long one mount may take to answer."),
)

EXAMPLES = """
- disk_usage: {above: 85%, largest: 5}
  register: disk
"""


def check_params(params):
    if params["mounts"] and params["paths"]:
        return "give mounts or paths, not both"
    return None


def kind(params):
    if params["largest"] in (0, "0"):
        return DiskUsage
    budget = params["budget"]
    # Asked before the templates are rendered, too: then the class matters, and its deadline does not.
    seconds = budget if isinstance(budget, (int, float)) else 0
    return type("WithLargest", (WithLargest,), {"deadline": seconds + 60})


class DiskUsage(Probe):
    def read(self):
        every = _mounts.mounts()
        filesystems, hung = [], []
        for entry, sizes in _mounts.usage(self.host, self._selected(every), self.params["timeout"]):
            about = {"mount": entry["mount"], "device": entry["source"], "type": entry["type"]}
            if sizes is None:
                hung.append(about)
            elif "error" in sizes:
                if self.params["mounts"] or self.params["paths"]:
                    raise Failed("cannot ask %s how full it is: %s" % (entry["mount"], sizes["error"]))
            elif sizes["f_blocks"] and sizes["directory"]:
                filesystems.append(_filesystem(about, entry, sizes))
        full = self._full(filesystems)
        found = {"filesystems": filesystems, "full": full, "hung": hung, "largest": [], "complete": not hung}
        if self.params["largest"]:
            where = filesystems if self.params["above"] is None else full
            found["largest"] = self._largest(where, every)
            found["complete"] = found["complete"] and all(each["complete"] for each in found["largest"])
        return found

    def _selected(self, every):
        if self.params["mounts"]:
            found = [(name, _mounts.named(every, name)) for name in self.params["mounts"]]
            missing = [name for name, entry in found if entry is None]
            if missing:
                raise Failed("%s is not a mount point; give paths to ask by any path" % missing[0])
            return [entry for _, entry in found]
        if self.params["paths"]:
            patience = self.params["timeout"]
            chosen = []
            for path in self.params["paths"]:
                resolved = self.host.in_child(lambda path=path: os.path.realpath(path), patience)
                entry = _mounts.holding(every, resolved)
                if entry is not None and entry not in chosen:
                    chosen.append(entry)
            return chosen
        return _mounts.real(every)

    def _full(self, filesystems):
        limit = self.params["above"]
        full = []
        for each in filesystems if limit is not None else ():
            lacks = []
            if each["used"] * 100 > limit * (each["used"] + each["available"]):
                lacks.append("bytes")
            if each["inodes"] and each["inodes_used"] * 100 > limit * each["inodes"]:
                lacks.append("inodes")
            if lacks and not each["image"]:
                full.append(dict(each, lacks=lacks))
        return sorted(full, key=lambda each: -max(each["percent"], each["inode_percent"] or 0))

    def _largest(self, filesystems, every):
        found = []
        left, count = self.params["budget"], self.params["largest"]
        for place, each in enumerate(filesystems):
            share = max(0, left / (len(filesystems) - place))
            by_entries = each.get("lacks") == ["inodes"]
            answer, seconds = largest(self.host, each["mount"], every, count, share, by_entries)
            left -= seconds
            found.append(dict(answer, mount=each["mount"]))
        return found


class WithLargest(DiskUsage):
    cost = "expensive"


def _filesystem(about, entry, sizes):
    inodes = sizes["f_files"]
    inodes_used = inodes - sizes["f_ffree"]
    return dict(
        about,
        state="ro" if _mounts.read_only(entry) else "rw",
        inodes=inodes,
        inodes_used=inodes_used,
        inodes_free=sizes["f_ffree"],
        inode_percent=_mounts.percent(inodes_used, inodes) if inodes else None,
        image=entry["type"] in _mounts.IMAGES,
        **_mounts.room(sizes),
    )
