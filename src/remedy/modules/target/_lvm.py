"""Logical volumes, volume groups and physical volumes, as LVM's own reports tell them."""

import json

from remedy.agent.kinds import Failed

_LV = "lv_name,lv_uuid,lv_attr,origin,pool_lv,segtype,vg_name,vg_uuid"
_VG = "vg_name,vg_uuid,vg_attr,vg_size,vg_free,vg_extent_size,vg_missing_pv_count"
_PV = "pv_name,pv_uuid,pv_size,pe_start,pv_mda_count,vg_name,vg_uuid,pv_duplicate"
_NUMBERS = ("vg_size", "vg_free", "vg_extent_size", "pv_size", "pe_start")
QUIET = {"LVM_SUPPRESS_FD_WARNINGS": "1"}
NO_FILES = "backup { backup = 0 archive = 0 }"  # none in /etc/lvm: the root may be full


class Lvm(object):
    """One look at all of LVM on a host: `lvs`, `vgs`, `pvs` (lists of dicts; sizes in bytes)."""

    def __init__(self, host):
        self._host = host
        self.lvs = self._report("lvs", _LV)
        self.vgs = self._report("vgs", _VG)
        self.pvs = self._report("pvs", _PV)

    def lv(self, block):
        """Return the LV that a device-mapper Block is, by its UUID; raises Failed where LVM does not know it."""
        known = (block.read("dm/uuid") or "")[len("LVM-") :]
        for each in self.lvs:
            if known == (each["vg_uuid"] + each["lv_uuid"]).replace("-", ""):
                return each
        raise Failed("LVM does not know the logical volume %s" % (block.read("dm/name") or block.name))

    def vg(self, uuid):
        """Return a volume group by its UUID."""
        found = [each for each in self.vgs if each["vg_uuid"] == uuid]
        if not found:
            raise Failed("LVM does not know the volume group %s" % uuid)
        return found[0]

    def members(self, uuid):
        """Return the physical volumes of a group."""
        return [each for each in self.pvs if each["vg_uuid"] == uuid]

    def trouble(self, lv):
        """Return why a logical volume is not to be grown, None where nothing speaks against it."""
        kinds = sorted({each["segtype"] for each in self.lvs if each["lv_uuid"] == lv["lv_uuid"]})
        vg = self.vg(lv["vg_uuid"])
        if lv["pool_lv"] or "thin" in kinds:
            return "it lies in the thin pool %s" % (lv["pool_lv"] or "of its group")
        if lv["lv_attr"][:1] in "oO":
            return "it has a snapshot"
        if lv["origin"]:
            return "it is a snapshot of %s" % lv["origin"]
        if kinds != ["linear"]:
            return "it is of the type %s, and only linear ones are known" % ", ".join(kinds)
        return self.group_trouble(vg)

    def group_trouble(self, vg):
        """Return why nothing of a group is to be changed, None where nothing speaks against it."""
        attributes = vg["vg_attr"] + "------"
        same = [each for each in self.vgs if each["vg_name"] == vg["vg_name"]]
        if len(same) > 1:
            return "there are %d volume groups called %s" % (len(same), vg["vg_name"])
        if int(vg["vg_missing_pv_count"] or 0) or attributes[3] == "p":
            return "a physical volume of the group %s is missing" % vg["vg_name"]
        if attributes[0] != "w":
            return "the group %s is read-only" % vg["vg_name"]
        if attributes[2] == "x":
            return "the group %s is exported" % vg["vg_name"]
        if attributes[5] in "cs":
            return "the group %s is shared between hosts" % vg["vg_name"]
        if any(each["pv_duplicate"] for each in self.members(vg["vg_uuid"])):
            return (
                "a physical volume of the group %s is there twice (a clone, or one path of several)"
                % vg["vg_name"]
            )
        return None

    def saved(self, vg_name):
        """Return {file name: bytes}: a group's metadata as vgcfgbackup writes it; it touches memory alone, no disk."""
        script = (
            'd=$(mktemp -d -p "$1") || exit 1; trap \'rm -rf "$d"\' EXIT; '
            'vgcfgbackup -f "$d/vg" -- "$2" > /dev/null || exit 1; cat "$d/vg"'
        )
        for place in ("/run", "/dev/shm"):
            done = self._host.run(
                ["sh", "-c", script, "sh", place, vg_name], ok=None, environment=QUIET, timeout=60
            )
            if done.rc == 0:
                return {vg_name + ".vgcfg": done.stdout}
        raise Failed("vgcfgbackup cannot save the metadata of %s: %s"
                     % (vg_name, done.stderr.decode("utf-8", "replace").strip()))  # fmt: skip

    def _report(self, tool, fields):
        argv = [tool, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields]
        if tool != "vgs":
            argv.append("--all")
        if self._host.which(tool) is None:
            raise Failed("the program %s is not on this host: install lvm2" % tool)
        done = self._host.run(argv, c_locale=True, environment=QUIET, timeout=60)
        kind = tool[:2]
        rows = json.loads(done.stdout.decode("utf-8", "replace"))["report"][0][kind]
        for row in rows:
            for name in _NUMBERS:
                if name in row:
                    row[name] = int(row[name] or 0)
        return rows
