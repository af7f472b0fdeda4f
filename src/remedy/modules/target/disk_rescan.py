"""Let the kernel see that a disk has become larger.

SCSI disks are asked for their capacity and rescanned, a loop device takes the size of its file. virtio, NVMe and Xen
disks tell the kernel by themselves: nothing is to be done. A disk that became smaller is refused. Returns `device`,
`bytes`.
"""

import fcntl
import os

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _disks
from remedy.modules.target._growing import MOUNT, Growing

PARAMS = (
    Param("device", "path", default=REQUIRED, help="The disk, such as /dev/sdb."),
    MOUNT,
)

EXAMPLES = """
- disk_rescan: {device: /dev/sdb, mount: /data}
"""

_LOOP_SET_CAPACITY = 0x4C07


def kind(params):
    return Rescan


class Rescan(Growing):
    kinds = ("disk", "loop")
    noun = "disk"

    def key(self):
        return "disk:" + self.block.name

    def read(self):
        return {"bytes": self.block.size}

    def wanted(self, have):
        real = _disks.device_size(self.block)
        if real is None:
            raise Failed("%s cannot be asked how large it is%s" % (self.block.name, _why(self.block)))
        if real < have["bytes"]:
            raise Failed("%s has become smaller, %d bytes from %d: the kernel is not told, look at the disk first"
                         % (self.block.name, real, have["bytes"]))  # fmt: skip
        return {"bytes": real}

    def write(self, have, want):
        if self.block.kind == "loop":
            descriptor = os.open(self.params["device"], os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, _LOOP_SET_CAPACITY, 0)
            finally:
                os.close(descriptor)
            return
        with open(os.path.join(self.block.folder, "device", "rescan"), "w") as file:
            file.write("1\n")

    def predict(self, have, want):
        self.foresee(self.block, want["bytes"])

    def returns(self, have, now):
        return {"device": self.params["device"], "bytes": now["bytes"]}


def _why(block):
    if block.kind == "loop":
        return ": its file %s is not to be seen from here" % block.read("loop/backing_file")
    return ""
