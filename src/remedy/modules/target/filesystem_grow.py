"""Make a file system larger, up to the end of its device: ext2, ext3, ext4, xfs, btrfs.

All grow while they are mounted. `offline` is for ext where the kernel does not let that happen (a container's root has
no CAP_SYS_RESOURCE): it is unmounted, checked by e2fsck, grown, and mounted with the same options, in one go that ends
with the mount whatever happens in between; refused where a unit of systemd would be stopped with the mount. An ext file
system that is not mounted is named by its `device`, which must carry nothing else: no partitions, no table, no RAID.
Refused: a read-only mount, one with errors, btrfs on several devices, a size below the present one. Returns `device`,
`bytes`, `free` (for ordinary users; None where it is not mounted).
"""

import os

from remedy.agent.kinds import Failed, Param
from remedy.modules.target import _blocks, _chain, _filesystems, _mounts
from remedy.modules.target._amount import wrong
from remedy.modules.target._growing import SIZE, Growing
from remedy.modules.target._systemd import RUNNING, Units, booted

PARAMS = (
    Param("mount", "path", help="Where it is mounted."),
    Param("device", "path", help="The device of an ext file system that is not mounted."),
    SIZE,
    Param(
        "offline",
        "bool",
        default=False,
        help="Unmount an ext file system for it, where it cannot grow mounted.",
    ),
)

EXAMPLES = """
- filesystem_grow: {mount: /data}
- filesystem_grow: {mount: /data, size: +20%}
- filesystem_grow: {device: /dev/vg0/old}
"""

_PROGRAMS = {"xfs": ("xfs_growfs", "xfsprogs"), "btrfs": ("btrfs", "btrfs-progs")}
_CHECKED = """
e2fsck -f -p "$1"
code=$?
[ $code -lt 8 ] ||
    { echo "e2fsck cannot begin: a container, or a unit with mounts of its own, may have it mounted" >&2; exit 14; }
[ $code -le 1 ] || { echo "e2fsck found what it does not repair by itself: run e2fsck -f $1" >&2; exit 11; }
resize2fs "$1" $2 || exit 12"""
# The open descriptor keeps an automatic loop device (mount -o loop) from going away between umount and mount.
_AROUND = """
exec 9< "$1"
umount -- "$3" || exit 10
( %s )
code=$?
mount -t "$4" -o "$5" -- "$1" "$3" || { echo "MOUNT IT AGAIN: mount $1 $3" >&2; exit 13; }
exit $code"""
_OFFLINE = _AROUND % _CHECKED


def check_params(params):
    if bool(params["mount"]) == bool(params["device"]):
        return "give mount, or the device of an ext file system that is not mounted"
    return wrong(params["size"])


def kind(params):
    return Offline if params.get("offline") in (True, "true", "yes") else Grow


class Grow(Growing):
    _entry = None

    def _look(self):
        if self._block is not None:
            return
        if self.params["mount"]:
            self._entry = _chain.mounted(self.host, self.params["mount"])
            try:
                self._block = _chain.device(self._entry)
            except _chain.Unclear as error:
                raise Failed(str(error))
            self._node = self._block.node()
            if _mounts.read_only(self._entry):
                raise Failed("%s is mounted read-only, and does not grow like that" % self.params["mount"])
            self._type = self._entry["type"]
        else:
            self._block = _blocks.at(self.params["device"])
            self._node = self.params["device"]
            there = [each["mount"] for each in _mounts.mounts() if each["device"] == self._block.number]
            if there:
                raise Failed("%s is mounted on %s: give mount instead of device" % (self._node, there[0]))
            self._type = _filesystems.found_on(self._node)
            if self._type is None:
                raise Failed("%s carries no file system that is known here" % self._node)
            why = _filesystems.why_not_alone(self.host, self._block, self._node)
            if why:
                raise Failed("%s is left alone: %s" % (self._node, why))
        if self._node is None:
            raise Failed(
                "%s, the device of %s, has no node under /dev here" % (self._block.name, self.params["mount"])
            )

    def key(self):
        return "filesystem:" + (self.params["mount"] or self.params["device"])

    def read(self):
        self._look()
        self._about = _filesystems.of(self._type, self._entry and self._entry["mount"], self._node)
        if self._about["trouble"]:
            raise Failed("the file system of %s: %s" % (self._name(), self._about["trouble"]))
        return {"bytes": self._about["size"]}

    def wanted(self, have):
        about = self._about
        device = self.size_of(self._block) // about["grain"] * about["grain"]
        if device < have["bytes"]:
            raise Failed("the file system of %s has %d bytes, and its device %d: it is left alone"
                         % (self._name(), have["bytes"], device))  # fmt: skip
        helps = "its device %s ends there: make that larger first" % self._block.name
        goal = self.goal(have["bytes"], device, about["grain"], self._name(), helps)
        # Less than this may be left over: nothing fits into it.
        if goal - have["bytes"] <= (about["slack"] if goal == device else about["grain"] - 1):
            return have
        self._refuse_mounted()
        return {"bytes": goal}

    def write(self, have, want):
        whole = want["bytes"] >= self._block.size // self._about["grain"] * self._about["grain"]
        blocks = want["bytes"] // self._about["grain"]
        if self._type in _filesystems.EXT:
            self._grow_ext("" if whole else self._ext_size(want["bytes"]))
        elif self._type == "xfs":
            size = ["-d"] if whole else ["-D", blocks]
            self._run(["xfs_growfs"] + size + [self._entry["mount"]])
        else:
            size = "max" if whole else want["bytes"]
            self._run(
                [
                    "btrfs",
                    "filesystem",
                    "resize",
                    "%d:%s" % (self._about["devid"], size),
                    self._entry["mount"],
                ]
            )

    def diff(self, have, want):
        before, after = ("%d bytes" % state["bytes"] for state in (have, want))
        return {"before": before + "\n", "after": after + "\n"}

    def returns(self, have, now):
        free = None
        if self.params["mount"]:
            room = os.statvfs(self.params["mount"])
            free = room.f_bavail * room.f_frsize
        return {"device": self._node, "bytes": now["bytes"], "free": free}

    def _name(self):
        return self.params["mount"] or self.params["device"]

    def _ext_size(self, size):
        return "%dK" % (size // 1024)

    def _refuse_mounted(self):
        if self._type in _filesystems.EXT and self._entry and not _filesystems.may_grow_online():
            raise Failed("this root may not grow %s while it is mounted (no CAP_SYS_RESOURCE: a container?): grow %s "
                         "from outside, or with offline: true, which unmounts it for a moment"
                         % (self._type, self._name()))  # fmt: skip

    def _grow_ext(self, size):
        if self._entry is None:
            self.steady("e2fsck, or resize2fs after it,", _CHECKED, (self._node, size))
        else:
            self._run(["resize2fs", self._node] + ([size] if size else []))

    def _run(self, argv):
        package = _PROGRAMS.get(self._type, (None, "e2fsprogs"))[1]
        if self.host.which(argv[0]) is None:
            raise Failed("the program %s is not on this host: install %s" % (argv[0], package))
        self.steady(argv[0], 'exec "$@"', argv)


class Offline(Grow):
    """It is unmounted for it."""

    disruptive = True

    def _refuse_mounted(self):
        pass

    def wanted(self, have):
        want = Grow.wanted(self, have)
        if want != have and self._type in _filesystems.EXT and self._entry:
            self._refuse_unmounting()
        return want

    def _refuse_unmounting(self):
        mount = self._entry["mount"]
        if mount == "/":
            raise Failed(
                "/ cannot be unmounted while the host runs from it: grow it mounted, or from outside"
            )
        every = _mounts.mounts()
        others = [
            each["mount"]
            for each in every
            if each["device"] == self._entry["device"] and each["id"] != self._entry["id"]
        ]
        inside = [
            each["mount"] for each in every if each["mount"] != mount and _mounts.below(each["mount"], mount)
        ]
        if others or self._entry["root"] != "/":
            where = ", ".join(others) or "another place"
            raise Failed(
                "%s is mounted on %s too: it cannot be unmounted as a whole" % (self._block.name, where)
            )
        if inside:
            raise Failed("%s is mounted inside %s: unmount that first" % (inside[0], mount))
        bound = self._bound(mount)
        if bound:
            raise Failed("%s would be stopped with the mount of %s (BindsTo): stop it first, and start it after"
                         % (", ".join(bound), mount))  # fmt: skip

    def _bound(self, mount):
        """Return the units that run, and that systemd would stop, and not start again, with the mount."""
        if not booted():
            return []
        units = Units(self.host)
        _, told, _ = units.call("show", "--property=BoundBy", "--value", "--", mount)
        return [each for each in told.split() if units.show(each).get("ActiveState") in RUNNING]

    def _grow_ext(self, size):
        if self._entry is None:
            Grow._grow_ext(self, size)
            return
        options = [
            each
            for each in self._entry["options"].split(",") + self._entry["super_options"].split(",")
            if each
        ]
        options = ",".join(sorted(set(options), key=options.index))
        words = (self._node, size, self._entry["mount"], self._entry["type"], options)
        done = self.steady("resize2fs", _OFFLINE, words, ok=None)
        # It is another mount now; where it is none, reading again says so.
        self._block = None
        if done.rc:
            said = done.stderr.decode("utf-8", "replace").strip()
            text = (
                "nothing was done to it: it cannot be unmounted, for someone uses it: "
                if done.rc == 10
                else ""
            )
            raise Failed("%s did not grow: %s%s" % (self._name(), text, said), rc=done.rc)
