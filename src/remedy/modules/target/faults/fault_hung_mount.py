"""Mount a network file system whose server does not answer: who touches it hangs, beyond SIGKILL.

It is a FUSE mount that looks like sshfs, of the unit `remedy-drill-mount-NAME`; df, ls and stat wait for ever there.
`absent` ends the server, which wakes everybody who waits, and unmounts. Needs FUSE in the kernel, nothing else.
Returns `path` and `unit`.
"""

import os

from remedy.agent.kinds import Failed, Param
from remedy.modules.target import _mounts
from remedy.modules.target.faults import _folder
from remedy.modules.target.faults._daemon import Running
from remedy.modules.target.faults._fault import MARK, STATE, name_param, wrong_name, wrong_path

PARAMS = (
    Param(
        "path", "path", default="/mnt/" + MARK, help="Where it is mounted; the default is made if missing."
    ),
    name_param("share"),
    STATE,
)

EXAMPLES = """
- fault_hung_mount: {}
- fault_hung_mount: {path: /srv/export}
- fault_hung_mount: {state: absent}
"""

_SOURCE = MARK + ":/export"

# It answers the first request (INIT) of linux/fuse.h, and swallows all others.
_PROGRAM = """
import ctypes, stat, struct
source, path = sys.argv[1].encode(), sys.argv[2].encode()
try:
    device = os.open("/dev/fuse", os.O_RDWR)
except FileNotFoundError:
    node = "/dev/" + source.decode().partition(":")[0] + "-fuse"
    os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(10, 229))
    try:
        device = os.open(node, os.O_RDWR)
    finally:
        os.unlink(node)
libc = ctypes.CDLL(None, use_errno=True)
options = "fd={},rootmode=40000,user_id=0,group_id=0,allow_other".format(device)
if libc.mount(source, path, b"fuse.sshfs", 0, options.encode()):
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
while True:
    request = os.read(device, 1 << 18)
    size, kind, unique = struct.unpack_from("<IIQ", request)
    if kind == 26:
        body = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 0, 0, 65536, 1, 0, 0, *[0] * 8)
        os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
        ready()
"""


def check_params(params):
    return wrong_path(params) or wrong_name(params)


def kind(params):
    return HungMount


class HungMount(Running):
    _path = None

    def label(self):
        return "mount-" + self.params["name"]

    @property
    def path(self):
        """The canonical path, found without a look at what may be mounted there: that look would not end."""
        if self._path is None:
            folder, name = os.path.split(os.path.normpath(self.params["path"]))
            self._path = os.path.join(_folder.real(folder), name)
        return self._path

    def key(self):
        return "fault:mount:" + self.path

    def found(self):
        mounted = self._mounted()
        if mounted is not None and mounted["source"] != _SOURCE:
            raise Failed("%s is mounted there already: %s" % (mounted["source"], self.path))
        runs = self.daemon.pid() is not None
        if mounted is None and not runs:
            return False if _folder.left(self.path) else None
        return mounted is not None and runs

    def inject(self):
        self.lift()
        _folder.make(self.path)
        self.daemon.start(_PROGRAM, _SOURCE, self.path)

    def lift(self):
        self.daemon.stop()  # its end wakes everybody who waits
        while self._mounted() is not None:
            self.host.run(["umount", "--lazy", self.path], c_locale=True, timeout=10)
        _folder.drop(self.path)

    def returns(self, have, now):
        return {"path": self.path, "unit": self.daemon.unit}

    def _mounted(self):
        """Return what is mounted there, None where nothing is."""
        return next((each for each in _mounts.mounts() if each["mount"] == self.path), None)
