"""Let an LVM physical volume take all of its device (pvresize), after the device has become larger.

Nothing is written to the root's /etc/lvm, so it works on a full root; the group's metadata as it was (vgcfgbackup) is
saved in the run's folder. Refused: a group that misses a physical volume, is shared, exported, read-only, or has a
namesake. Returns `device`, `bytes`, `vg`.
"""

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _blocks, _lvm
from remedy.modules.target._growing import MOUNT, Growing

PARAMS = (
    Param("device", "path", default=REQUIRED, help="The physical volume, such as /dev/sda3."),
    MOUNT,
)

EXAMPLES = """
- lvm_pv: {device: /dev/sda3, mount: /data}
"""


def kind(params):
    return Physical


class Physical(Growing):
    def key(self):
        return "lvm_pv:" + self.block.name

    def read(self):
        lvm = self._lvm = _lvm.Lvm(self.host)
        own = [
            each
            for each in lvm.pvs
            if each["pv_uuid"] and _blocks.number_of(each["pv_name"]) == self.block.number
        ]
        if not own:
            raise Failed("%s is no physical volume of LVM" % self.params["device"])
        self._pv = own[0]
        if not self._pv["vg_uuid"]:
            raise Failed("%s belongs to no volume group: nothing lies on it" % self.params["device"])
        trouble = lvm.group_trouble(lvm.vg(self._pv["vg_uuid"]))
        if trouble:
            raise Failed("%s is left alone: %s" % (self.params["device"], trouble))
        return {"bytes": self._pv["pv_size"]}

    def wanted(self, have):
        extent = self._lvm.vg(self._pv["vg_uuid"])["vg_extent_size"]
        usable = (self.size_of(self.block) - self._pv["pe_start"]) // extent * extent
        if usable < have["bytes"] - extent:
            raise Failed("%s holds %d bytes of LVM, and its device has room for %d: it is left alone"
                         % (self.params["device"], have["bytes"], usable))  # fmt: skip
        if int(self._pv["pv_mda_count"] or 1) > 1 and usable - have["bytes"] <= extent:
            return have  # a second copy of the metadata lies at the end
        return {"bytes": max(have["bytes"], usable)}

    def saved(self):
        return self._lvm.saved(self._pv["vg_name"])

    def write(self, have, want):
        script = 'exec pvresize --config "$2" -- "$1"'
        self.steady("pvresize", script, (self._pv["pv_name"], _lvm.NO_FILES), environment=_lvm.QUIET)

    def predict(self, have, want):
        name = "free:" + self._pv["vg_uuid"]
        self.host.foreseen[name] = self.host.foreseen.get(name, 0) + want["bytes"] - have["bytes"]

    def returns(self, have, now):
        return {"device": self.params["device"], "bytes": now["bytes"], "vg": self._pv["vg_name"]}
