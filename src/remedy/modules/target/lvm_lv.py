"""Make an LVM logical volume larger, from what its volume group has free (lvextend).

The file system on it is another step: filesystem_grow. Nothing is written to the root's /etc/lvm, so it works on a
full root; the group's metadata as it was (vgcfgbackup) is saved in the run's folder. Only linear volumes; refused: thin
pools and what lies in them, snapshots and their origins, RAID, mirrors, caches, a group that misses a physical volume,
is shared, or has a namesake. Returns `device`, `bytes`, `vg`, `vg_free`.
"""

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _amount, _lvm
from remedy.modules.target._growing import MOUNT, SIZE, Growing

PARAMS = (
    Param("device", "path", default=REQUIRED, help="The logical volume, such as /dev/vg0/data."),
    SIZE,
    Param(
        "share",
        "percent",
        help="Take this share of what the group has free, in place of size; again at each run.",
    ),
    MOUNT,
)

EXAMPLES = """
- lvm_lv: {device: /dev/vg0/data, size: 20G, mount: /data}
- lvm_lv: {device: /dev/vg0/data, share: 50%}
"""


def check_params(params):
    if params["share"] is not None and params["size"] != "all":
        return "give size or share, not both"
    if params["share"] == 0:
        return "share: 0% is nothing"
    return _amount.wrong(params["size"])


def kind(params):
    return Logical


class Logical(Growing):
    kinds = ("lvm_lv",)
    noun = "logical volume"

    def key(self):
        return "lvm_lv:" + self._lv["vg_name"] + "/" + self._lv["lv_name"]

    def read(self):
        self._lvm = _lvm.Lvm(self.host)
        self._lv = self._lvm.lv(self.block)
        trouble = self._lvm.trouble(self._lv)
        if trouble:
            raise Failed("%s/%s is left alone: %s" % (self._lv["vg_name"], self._lv["lv_name"], trouble))
        return {"bytes": self.size_of(self.block)}

    def wanted(self, have):
        vg = self._lvm.vg(self._lv["vg_uuid"])
        free, extent = vg["vg_free"], vg["vg_extent_size"]
        if self.host.check:
            free += self.host.foreseen.get("free:" + vg["vg_uuid"], 0)
        if self.params["share"] is not None and self._goal is None:
            self._goal = have["bytes"] + _amount.down(int(free * self.params["share"] / 100), extent)
        name = "%s/%s" % (vg["vg_name"], self._lv["lv_name"])
        helps = "the group %s has %d bytes free: let its physical volumes grow, or add one" % (
            vg["vg_name"],
            free,
        )
        return {"bytes": self.goal(have["bytes"], have["bytes"] + free, extent, name, helps)}

    def saved(self):
        return self._lvm.saved(self._lv["vg_name"])

    def write(self, have, want):
        name = "%s/%s" % (self._lv["vg_name"], self._lv["lv_name"])
        script = 'exec lvextend --config "$3" --size "$1b" -- "$2"'
        self.steady("lvextend", script, (want["bytes"], name, _lvm.NO_FILES), environment=_lvm.QUIET)

    def predict(self, have, want):
        self.foresee(self.block, want["bytes"])
        free = "free:" + self._lv["vg_uuid"]
        self.host.foreseen[free] = self.host.foreseen.get(free, 0) - (want["bytes"] - have["bytes"])

    def returns(self, have, now):
        vg = self._lvm.vg(self._lv["vg_uuid"])
        return {
            "device": self.params["device"],
            "bytes": now["bytes"],
            "vg": vg["vg_name"],
            "vg_free": vg["vg_free"],
        }
