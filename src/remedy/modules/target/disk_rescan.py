"""Let the kernel see that a disk has become larger.

SCSI disks are asked for their capacity and rescanned, a loop device takes the size of its file. virtio, NVMe and Xen
disks tell the kernel by themselves: nothing is to be done. With `least` it waits until the disk is so large, as after a
change of the cloud's volume. A disk that became smaller is refused. Returns `device`, `bytes`.
"""

import fcntl
import os
import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _disks
from remedy.modules.target._amount import shown
from remedy.modules.target._growing import MOUNT, Growing

PARAMS = (
    Param("device", "path", default=REQUIRED, help="The disk, such as /dev/sdb."),
    Param("least", "size", help="How large it must be at least; check mode takes it for so large."),
    Param("wait", "duration", default=60, help="How long to wait until it is."),
    MOUNT,
)

EXAMPLES = """
- disk_rescan: {device: /dev/sdb, mount: /data}
- disk_rescan: {device: /dev/nvme1n1, least: 200G}
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
        until = time.monotonic() + self.params["wait"]
        while self.params["least"] and not self.host.check and time.monotonic() < until:
            if (_disks.device_size(self.block) or 0) >= self.params["least"]:
                break
            time.sleep(0.5)
        return {"bytes": self.block.size}

    def wanted(self, have):
        real = _disks.device_size(self.block)
        least = self.params["least"]
        if least and real is not None and real < least:
            if not self.host.check:
                raise Failed("%s has %s (%d bytes), and %s (%d bytes) should be there by now: look at its volume, and "
                             "play again" % (self.block.name, shown(real), real, shown(least), least))  # fmt: skip
            real = least
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
