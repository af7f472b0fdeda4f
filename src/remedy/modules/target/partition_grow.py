"""Make a partition larger, into the free space right behind it; GPT and MBR, also while it is mounted.

Its beginning, type, name and UUID stay. The table is written by sfdisk, which takes the new size on its standard input
and makes no temporary file, so it works on a full root; then the kernel is told (partx). A run that was cut off between
the two is finished. Refused: another partition or the disk's end right behind it, a logical or extended partition, a
damaged table. The old table (`sfdisk --dump`) is saved in the run's folder. Returns `device`, `bytes`.
"""

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _tables
from remedy.modules.target._amount import wrong
from remedy.modules.target._growing import MOUNT, SIZE, Growing

PARAMS = (
    Param("device", "path", default=REQUIRED, help="The partition, such as /dev/sda2."),
    SIZE,
    MOUNT,
)

EXAMPLES = """
- partition_grow: {device: /dev/sda2, mount: /data}
- partition_grow: {device: /dev/nvme0n1p1, size: 20G}
"""

# sfdisk writes nothing but the table: no signature of what lay there is wiped.
_WRITE = """
if [ "$4" = table ]; then
    lock=; if command -v flock > /dev/null; then lock="flock --timeout 30 $1"; fi
    printf ', %s\\n' "$3" | $lock sfdisk --quiet --no-reread --no-tell-kernel --wipe never --wipe-partitions never \\
        -N "$2" "$1" || exit 1
fi
exec partx --update --nr "$2" "$1" """


def check_params(params):
    return wrong(params["size"])


def kind(params):
    return Grow


class Grow(Growing):
    kinds = ("partition",)
    noun = "partition"

    def key(self):
        return "partition:" + self.block.name

    def read(self):
        disk = self.block.disk
        node = disk.node()
        if node is None:
            raise Failed("%s, the disk of %s, has no node under /dev here" % (disk.name, self.block.name))
        self._node = node
        self._part = _tables.partition(_tables.read(self.host, disk, node), self.block, self.size_of(disk))
        if self._part.trouble:
            raise Failed("%s is left alone: %s" % (self.block.name, self._part.trouble))
        if self._part.size < self.block.size:
            raise Failed("%s has %d bytes in the kernel, and %d in the table on its disk: it is left alone"
                         % (self.block.name, self.block.size, self._part.size))  # fmt: skip
        return {"bytes": self.block.size, "table_bytes": self._part.size}

    def wanted(self, have):
        part = self._part
        most = part.size + part.room
        if part.behind:
            helps = "partition %d begins right behind that" % part.behind
        else:
            helps = "its disk %s ends there: make the disk larger" % self.block.disk.name
        size = self.goal(have["bytes"], most, part.sector, self.block.name, helps)
        size = max(size, part.size)
        return {"bytes": size, "table_bytes": size}

    def saved(self):
        return {"%s.sfdisk" % self.block.disk.name: _tables.dump(self.host, self._node)}

    def write(self, have, want):
        what = "table" if want["table_bytes"] > have["table_bytes"] else "kernel"
        sectors = want["table_bytes"] // self._part.sector
        self.steady("sfdisk, or partx after it,", _WRITE, (self._node, self._part.index, sectors, what))

    def predict(self, have, want):
        self.foresee(self.block, want["bytes"])

    def returns(self, have, now):
        return {"device": self.params["device"], "bytes": now["bytes"]}
