"""A disk that has become larger, and a file system on it that does not know yet: one link of the chain is short.

The disk is a loop device on a file of this fault's own, with a partition table or without; it is mounted on `path`,
which it makes, and is gone with the mount. `short` says which link does not know of the new size: the disk itself (the
file has grown, the kernel was not told), the partition, or the file system. Returns `path`, `disk` and `device`.
"""

import os
import stat
import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _blocks, _chain, _filesystems, _mounts
from remedy.modules.target.faults import _folder
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name, wrong_path

PARAMS = (
    Param(
        "path", "path", default=REQUIRED, help="Where it is mounted: an empty folder or mount, or a new one."
    ),
    Param("fs", default="ext4", choices=("ext4", "xfs", "btrfs"), help="The file system."),
    Param(
        "table",
        default="gpt",
        choices=("gpt", "mbr", "none"),
        help="The partition table; none: the whole disk.",
    ),
    Param(
        "short",
        default="partition",
        choices=("disk", "partition", "filesystem"),
        help="What does not know yet.",
    ),
    Param("size", "size", default=320 << 20, help="What the file system has."),
    Param("grown", "size", default=512 << 20, help="What the disk has now."),
    Param(
        "folder",
        "path",
        default="/var/lib/" + MARK,
        help="Where the disk's file lies; the default is made if missing.",
    ),
    name_param("disk"),
    STATE,
)

EXAMPLES = """
- fault_disk_short: {path: /data, fs: xfs, table: gpt, short: partition}
- fault_disk_short: {path: /data, state: absent}
"""

_MIB = 1 << 20
_SLACK = 16 * _MIB
_LOOP_CONTROL = os.makedev(10, 237)
# Whoever asks for a free loop device at the same time may get the same one: the next is tried then.
_ATTACH = """
for try in $(seq 20); do
    loop=$(losetup --find) || exit 1
    made=
    [ -e "$loop" ] || { mknod -m 600 "$loop" b 7 "${loop#/dev/loop}"; made=$loop; }
    if losetup --partscan "$loop" "$1" 2> /dev/null; then echo "$loop"; exit 0; fi
    [ -z "$made" ] || rm "$made"
done
echo 'no loop device is free' >&2
exit 1"""
_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}


def check_params(params):
    if params["short"] == "partition" and params["table"] == "none":
        return "without a table there is no partition that could be short"
    if isinstance(params["size"], int) and isinstance(params["grown"], int):
        if params["grown"] < params["size"] + 2 * _SLACK:
            return "grown must be at least 32M more than size"
    return wrong_path(params) or wrong_path(params, "folder") or wrong_name(params)


def kind(params):
    return DiskShort


class DiskShort(Fault):
    @property
    def image(self):
        return os.path.join(_folder.real(self.params["folder"]), "%s-%s.img" % (MARK, self.params["name"]))

    def key(self):
        return "fault:" + self.image

    def found(self):
        if not os.path.exists(self.image):
            return None
        entry = self._mounted(self._disk())
        if entry is None:
            return False
        try:
            size = _filesystems.of(entry["type"], entry["mount"], entry["source"])["size"]
        except (Failed, OSError):
            return False
        return os.stat(self.image).st_size - size > _SLACK

    def inject(self):
        self.lift()
        path = self.params["path"]
        if os.path.isdir(path) and os.listdir(path):
            raise Failed("%s is not empty: give a folder of the fault's own" % path)
        _folder.make(self.params["folder"])
        if not os.path.isdir(path):
            os.makedirs(path)
        table, short = self.params["table"], self.params["short"]
        size, grown = self.params["size"], self.params["grown"]
        # Room for the table before the partition, and for its copy behind it.
        around = 2 * _MIB if table != "none" else 0
        first = grown if short == "filesystem" else size + around
        with open(self.image, "wb") as file:
            file.truncate(first)
        disk = self._attach()
        device = disk
        if table != "none":
            device = self._partition(disk, first - around if short == "filesystem" else size)
        self._make(device, size if short == "filesystem" else None)
        self.host.run(["mount", device, path])
        # From here on the disk lasts as long as its mount, also where the host is switched off.
        self.host.run(["losetup", "--detach", disk])
        with open(self.image, "r+b") as file:
            file.truncate(grown)
        if short != "disk":
            self.host.run(["losetup", "--set-capacity", disk])

    def lift(self):
        was = self._disk()
        while self._mounted(was) is not None:
            self.host.run(["umount", self.params["path"]])
        disk = self._disk()
        # One that lets go by itself may at any moment be the disk of somebody else, so it is only waited for.
        if disk is not None and disk.read("loop/autoclear") != "1":
            node = "/dev/" + disk.name
            self.host.run(["partx", "--delete", node], ok=None)
            self.host.run(["losetup", "--detach", node], ok=None)
        until = time.monotonic() + 10
        while self._disk() is not None:
            if time.monotonic() > until:
                raise Failed("%s does not let go of its file: who has it open?" % self._disk().name)
            time.sleep(0.05)
        if os.path.exists(self.image):
            os.unlink(self.image)
        if was is not None:
            _forget("/dev/" + was.name)
        try:
            os.rmdir(self.params["path"])
        except OSError:
            pass  # others have something in it
        _folder.drop(self.params["folder"])

    def returns(self, have, now):
        disk = self._disk()
        mount = self._mounted(disk)
        return {
            "path": self.params["path"],
            "disk": "/dev/" + disk.name if disk else None,
            "device": mount["source"] if mount else None,
        }

    def _attach(self):
        self._control()
        done = self.host.run(["sh", "-c", _ATTACH, "sh", self.image], c_locale=True, timeout=60)
        disk = done.stdout.decode("ascii").strip()
        self.host.run(["partx", "--delete", disk], ok=None)  # what an earlier disk of that number left
        return disk

    def _control(self):
        if not os.path.exists("/dev/loop-control"):
            os.mknod("/dev/loop-control", stat.S_IFCHR | 0o600, _LOOP_CONTROL)

    def _partition(self, disk, size):
        label = "dos" if self.params["table"] == "mbr" else "gpt"
        script = "label: %s\nstart=2048, size=%d, type=L\n" % (label, size // _blocks.SECTOR)
        quiet = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel"]
        self.host.run(quiet + [disk], input=script.encode("ascii"), c_locale=True)
        self.host.run(["partx", "--add", disk])
        device = disk + "p1"
        with open("/sys/class/block/%s/dev" % os.path.basename(device)) as file:
            number = file.read().strip()
        if _blocks.number_of(device) != number:
            if os.path.exists(device):
                os.unlink(device)
            os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(*map(int, number.split(":"))))
        return device

    def _make(self, device, size):
        kind = self.params["fs"]
        argv = list(_MAKE[kind])
        if size is not None and kind == "xfs":
            argv += ["-d", "size=%d" % size]
        elif size is not None and kind == "btrfs":
            argv += ["--byte-count", str(size)]
        argv.append(device)
        if size is not None and kind == "ext4":
            argv.append("%dK" % (size // 1024))
        self.host.run(argv, c_locale=True, timeout=120)

    def _disk(self):
        """Return the loop device of our file, None where there is none."""
        for name in sorted(os.listdir("/sys/block")):
            if not name.startswith("loop"):
                continue
            try:
                with open("/sys/block/%s/loop/backing_file" % name) as file:
                    path = file.read().strip()
                with open("/sys/block/%s/dev" % name) as file:
                    number = file.read().strip()
            except OSError:
                continue  # attached to nothing
            # Other hosts on the same machine are to be seen here, with files that are called the same.
            if path == self.image and self._ours(name, number):
                return _blocks.Block(number)
        return None

    def _ours(self, name, number):
        if _blocks.number_of("/dev/" + name) != number:
            return False
        # Inode numbers repeat: the first file of each new file system has the same one.
        argv = ["losetup", "--noheadings", "--output", "BACK-MAJ:MIN,BACK-INO", "/dev/" + name]
        said = self.host.run(argv, ok=None).stdout.decode("ascii", "replace").split()
        try:
            file = os.stat(self.image)
        except OSError:
            return False
        return said == ["%d:%d" % (os.major(file.st_dev), os.minor(file.st_dev)), str(file.st_ino)]

    def _mounted(self, disk):
        """Return the mount of our disk, None where it is not there."""
        entry = _mounts.at(self.host, self.params["path"]) if disk is not None else None
        if entry is None:
            return None
        try:
            numbers = _blocks.all_below(_chain.device(entry))
        except (_chain.Unclear, Failed):
            return None
        return entry if disk.number in numbers else None


def _forget(node):
    """Remove the nodes that we made, where no udev and no devtmpfs does that."""
    if any(entry["mount"] == "/dev" and entry["type"] == "devtmpfs" for entry in _mounts.mounts()):
        return
    for path in (node + "p1", node):
        if _blocks.number_of(path):
            os.unlink(path)
