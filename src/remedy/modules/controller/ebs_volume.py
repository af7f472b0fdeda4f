"""Grow a volume of Amazon's block store (EBS) that is a disk of the host, or look at it.

The volume is the one named (`volume_id`), or the one behind `device` by its disk's serial, else the instance's only one
by its metadata (version 2, asked on the host). It must be attached to this host as far as that can be told: another
host's volume is refused. It only grows; a snapshot is taken first where asked, and waited for. Then AWS is asked for
the size and the module waits until the state is `optimizing`, from when on the host can use it; partition, LVM and
file system are for other modules. A change that is under way already, by a run that was cut off, is waited for.

AWS takes only so many changes of a volume (the next one after the last is completed, at least six hours after it began,
or four in 24 hours): what it answers is told as it is, and nothing is tried again. There is no way back but a snapshot.
It runs on the control machine with boto3 (the extra `remedy[aws]`) and the rights ec2:DescribeVolumes,
DescribeVolumesModifications, ModifyVolume and, for a snapshot, DescribeSnapshots, CreateSnapshot and CreateTags.
Without `size` it only reads. Returns `volume_id`, `size` and `before` (GiB), `type`, `state`, `progress`, `region`,
`snapshot_id`, `instance_id` and `disk`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from remedy.agent.kinds import Failed, Irreversible, Param, Probe, Resource
from remedy.modules.controller._aws import AWS_PARAMS, AWS_VARIABLES, check_login
from remedy.modules.controller._ebs import Volume, locate
from remedy.modules.target._blocks import volume_of

_SIZE = re.compile(r"(\+)?(\d+(?:\.\d+)?)\s*(%|G|T|GB|TB|GiB|TiB)?", re.IGNORECASE)
_MOVING = ("modifying", "optimizing")

PARAMS = (
    Param("volume_id", help="The volume, vol-…; else the one behind `device`."),
    Param("device", "path", help="A disk or partition of the host, such as /dev/nvme1n1."),
    Param("size", help="How large it shall be: 200G, +50G, +20%; a bare number is GiB. Rounded up to whole GiB. What "
          "begins with + grows again with every run."),
    Param("snapshot", "bool", default=False, help="Take a snapshot first, and wait for it."),
    Param("wait", default="optimizing", choices=("optimizing", "completed"), help="Until the host can use the size, or "
          "until AWS would take another change, which takes hours."),
    Param("wait_timeout", "duration", default=3600, help="How long to wait for the change."),
    Param("snapshot_timeout", "duration", default=6 * 3600, help="How long to wait for the snapshot."),
    *AWS_PARAMS,
)  # fmt: skip
VARIABLES = {"volume_id": "ebs_volume_id", **AWS_VARIABLES}
EXAMPLES = """
- ebs_volume: {device: /dev/nvme1n1}
  register: volume
- ebs_volume: {device: /dev/nvme1n1, size: 200G, snapshot: true}
- ebs_volume: {volume_id: vol-0a1b2c3d4e5f60718, size: +20%, region: eu-central-1}
"""


def check_params(params: dict[str, Any]) -> str | None:
    name = params.get("volume_id")
    if name and "{{" not in str(name) and volume_of(str(name)) != str(name):
        return f"volume_id '{name}': expected vol- and 8 or 17 digits and letters a to f"
    size = params.get("size")
    if size is not None and "{{" not in str(size):
        try:
            _wanted(str(size), 1)
        except Failed as failed:
            return str(failed)
    return check_login(params)


def kind(params: dict[str, Any]) -> type[Probe] | type[Resource]:
    return Look if params.get("size") is None else Growth


class Look(Probe):
    """Reads it."""

    deadline = 120

    def read(self) -> dict[str, Any]:
        """Return what AWS says of the volume."""
        volume, described = locate(self.host, self.params)
        return _told(volume, described, volume.modification())


class Growth(Resource):
    """The size of one volume in GiB; its state is {volume, size, settled}: whether no change is under way."""

    interruptible = False
    deadline = 12 * 3600
    _volume: Volume | None = None
    _target: int | None = None
    _modification: dict[str, Any] | None = None
    _described: dict[str, Any] = {}  # noqa: RUF012 (never changed in place)
    _snapshot: str | None = None

    @property
    def volume(self) -> Volume:
        """The volume, found once; what AWS said of it then is known."""
        if self._volume is None:
            self._volume, self._described = locate(self.host, self.params)
        return self._volume

    def key(self) -> str:
        """Return the volume's id."""
        return f"ebs:{self.volume.id}"

    def read(self) -> dict[str, Any]:
        """Return its size, and whether there is no change under way to wait for."""
        known = self._volume is not None
        volume = self.volume
        if known:  # looked at before: after a change AWS is asked anew
            self._described = volume.describe()
        self._modification = volume.modification()
        return {
            "volume": volume.id,
            "size": int(self._described["Size"]),
            "settled": not self._pending(),
        }

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return the state with the size that was asked for; raises Failed for what AWS or the data would not bear."""
        if self._target is None:
            self._target = self._judged(have["size"])
        return {**have, "size": self._target, "settled": True}

    def keep(self, have: dict[str, Any]) -> Irreversible:
        """Return why this cannot be taken back."""
        way = "the snapshot taken before" if self.params["snapshot"] else "a snapshot"
        return Irreversible(f"a volume cannot shrink: {way} is the only way back, as a new volume")

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Take the snapshot, ask for the size, wait."""
        size = int(want["size"])
        if not self._pending():
            if self.params["snapshot"]:
                seconds = float(self.params["snapshot_timeout"])
                self._snapshot, again = self.volume.snapshot(size, int(have["size"]), seconds)
                if again:
                    self.host.warn(f"the snapshot {self._snapshot} of an earlier run is young enough: no second one")
            self.volume.modify(size)
        self.volume.settle(size, str(self.params["wait"]), float(self.params["wait_timeout"]))

    def diff(self, have: dict[str, Any], want: dict[str, Any]) -> dict[str, Any]:
        """Return the sizes before and after."""
        name = have["volume"]
        pending = "" if have["settled"] else " (a change is under way)"
        before = f"{name} {have['size']} GiB{pending}\n"
        return {"before": before, "after": f"{name} {want['size']} GiB\n"}

    def why(self, have: dict[str, Any]) -> str:
        """Return why nothing is to be done."""
        return f"{have['volume']} has {have['size']} GiB already"

    def returns(self, have: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """Return what AWS says of it now."""
        return {
            **_told(self.volume, self._described, self._modification),
            "size": now["size"],
            "before": have["size"],
            "snapshot_id": self._snapshot,
        }

    def _pending(self) -> bool:
        """Return whether a change is under way that the task has to wait for."""
        last = self._modification
        moving = _MOVING if self.params["wait"] == "completed" else _MOVING[:1]
        return last is not None and last["ModificationState"] in moving

    def _judged(self, size: int) -> int:
        """Return the size (GiB) to bring it to; raises Failed where that is refused."""
        text = str(self.params["size"])
        where, last = self.volume.where, self._modification or {}
        state = last.get("ModificationState")
        leads = int(last.get("TargetSize") or size)
        moving = f"{where} is being changed to {leads} GiB ({state} {last.get('Progress', 0)}%)"
        if state in _MOVING and text.startswith("+"):
            raise Failed(f"{moving}: {text} of what? Name the size itself")
        target = _wanted(text, size)
        if state == "modifying" and target == leads:
            return leads
        if target < size:
            raise Failed(f"{where} has {size} GiB, and {text} is less: a volume never shrinks")
        if state == "modifying" or (state in _MOVING and target > size):
            raise Failed(f"{moving}: AWS takes the next change only after that is completed")
        if target > size:
            if self._described.get("State") not in ("in-use", "available"):
                raise Failed(f"{where} is {self._described.get('State')}: only one in use or available can grow")
            self.volume.rehearse(target)
        return target


def _wanted(text: str, size: int) -> int:
    """Return the GiB that a text means for a volume of `size` GiB: 200G, +50G, +20%, 2T, 200; raises Failed."""
    found = _SIZE.fullmatch(text.strip())
    more, number, unit = (found[1], float(found[2]), (found[3] or "G").upper()) if found else (None, 0.0, "")
    # Without + a percentage would be a share of itself: 20% of a volume is smaller.
    if not number or (unit == "%" and not more):
        raise Failed(f"size '{text}': expected 200G, 2T, +50G or +20%")
    if unit == "%":
        return math.ceil(size * (1 + number / 100))
    asked = math.ceil(number * (1024 if unit.startswith("T") else 1))
    return size + asked if more else asked


def _told(volume: Volume, described: dict[str, Any], last: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "volume_id": volume.id,
        "size": int(described.get("Size", 0)),
        "type": described.get("VolumeType"),
        "state": last["ModificationState"] if last else described.get("State"),
        "progress": last.get("Progress") if last else None,
        "region": volume.region,
        "instance_id": volume.instance,
        "disk": volume.disk,
    }
