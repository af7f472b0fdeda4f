"""Volumes of Amazon's block store: finding the one behind a host's disk, changing its size, waiting for it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._aws import REGION, call, client
from remedy.modules.controller._site import Site

HOST = "remedy.modules.target._ebs_host"
LOOK = 10.0
"""Seconds between two looks at what AWS is doing: it takes minutes to hours."""

_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}\Z")
_SAY = 60.0  # seconds after which an unchanged state is told again
_AGAIN = 3600.0  # seconds for which a snapshot of an earlier try is good enough
_TAG = "remedy-before"


@dataclass(frozen=True)
class Volume:
    """One volume and the session that asks for it; `instance` is the host's own id where it says one."""

    ec2: Any
    site: Site
    id: str
    region: str
    instance: str | None
    disk: str | None
    """The host's name of its disk, where the host shows which one it is."""

    @property
    def where(self) -> str:
        """Return the volume as people call it."""
        return f"{self.id} of {self.site.name} in {self.region}"

    def describe(self) -> dict[str, Any]:
        """Return what AWS says of it (DescribeVolumes)."""
        return _described(self.ec2, f"looking at {self.where}", self.id)

    def modification(self) -> dict[str, Any] | None:
        """Return its latest modification (DescribeVolumesModifications), None where it never had one."""
        try:
            answer = call(
                f"looking at the modifications of {self.where}",
                self.ec2.describe_volumes_modifications,
                VolumeIds=[self.id],
            )
        except Failed as failed:
            if failed.result.get("code") == "InvalidVolumeModification.NotFound":
                return None
            raise
        found: list[dict[str, Any]] = answer.get("VolumesModifications", [])
        return max(found, key=lambda one: one["StartTime"], default=None)

    def rehearse(self, size: int) -> None:
        """Ask whether this account may change it, without changing anything; raises Failed where it may not."""
        try:
            call(
                f"{self.where} cannot be changed",
                self.ec2.modify_volume,
                VolumeId=self.id,
                Size=size,
                DryRun=True,
            )
        except Failed as failed:
            if failed.result.get("code") != "DryRunOperation":
                raise

    def modify(self, size: int) -> None:
        """Ask AWS for a size (GiB); raises Failed with its own words where a limit is reached."""
        try:
            call(
                f"{self.where} was not changed",
                self.ec2.modify_volume,
                VolumeId=self.id,
                Size=size,
            )
        except Failed as failed:
            if failed.result.get("code") in (
                "VolumeModificationRateExceeded",
                "IncorrectModificationState",
                "IncorrectState",
            ):
                raise Failed(f"{failed.message}; {self._last()}", **failed.result) from None
            raise

    def snapshot(self, size: int, now: int, seconds: float) -> tuple[str, bool]:
        """Take a snapshot and wait for it; return its id, and whether an earlier try took it.

        One that a run took before the same change is waited for, or taken as it is while it is young: a run that
        was cut off does not pay twice.
        """
        tag = f"{now}G to {size}G"
        earlier = self._snapshots(tag)
        if earlier:
            taken, again = earlier, True
        else:
            again = False
            taken = call(
                f"no snapshot of {self.where} was taken, and nothing was changed",
                self.ec2.create_snapshot,
                VolumeId=self.id,
                Description=f"{self.id} before it grows from {now} to {size} GiB",
                TagSpecifications=[
                    {
                        "ResourceType": "snapshot",
                        "Tags": [
                            {"Key": "Name", "Value": f"{self.id} before {tag}"},
                            {"Key": _TAG, "Value": tag},
                        ],
                    }
                ],
            )
        name = str(taken["SnapshotId"])

        def look() -> tuple[bool, str]:
            shown = call(
                f"looking at the snapshot {name}, before anything was changed",
                self.ec2.describe_snapshots,
                SnapshotIds=[name],
            )["Snapshots"][0]
            if shown["State"] not in ("pending", "completed"):
                said = shown.get("StateMessage") or "AWS says no more"
                raise Failed(
                    f"the snapshot {name} is {shown['State']}: {said}; {self.id} was not changed",
                    snapshot_id=name,
                )
            return shown["State"] == "completed", f"snapshot {name} {shown.get('Progress') or shown['State']}"

        left = f"the snapshot {name} goes on at AWS, and {self.id} was not changed; the next run takes it up"
        self._wait(look, seconds, left)
        return name, again

    def settle(self, size: int, until: str, seconds: float) -> None:
        """Wait until its latest change lets the host use the new size.

        `until`: optimizing (the host sees the size) or completed (AWS takes the next change).
        """
        enough = ("completed",) if until == "completed" else ("optimizing", "completed")

        def look() -> tuple[bool, str]:
            latest = self.modification() or {}
            state = latest.get("ModificationState")
            if state == "failed":
                said = latest.get("StatusMessage") or "AWS says no more"
                raise Failed(f"AWS could not change {self.where}: {said}")
            target = latest.get("TargetSize")
            if state is None or target is None or target < size:
                return False, "the change is not shown yet"
            return state in enough, f"{state} {latest.get('Progress', 0)}% to {target} GiB"

        left = f"the change of {self.id} to {size} GiB goes on at AWS; run it again to wait for it"
        self._wait(look, seconds, left)

    def _snapshots(self, tag: str) -> dict[str, Any] | None:
        answer = call(
            f"looking for snapshots of {self.where}",
            self.ec2.describe_snapshots,
            Filters=[
                {"Name": "volume-id", "Values": [self.id]},
                {"Name": f"tag:{_TAG}", "Values": [tag]},
                {"Name": "status", "Values": ["pending", "completed"]},
            ],
        )
        young = [one for one in answer["Snapshots"] if time.time() - one["StartTime"].timestamp() < _AGAIN]
        return max(young, key=lambda one: one["StartTime"], default=None)

    def _last(self) -> str:
        try:
            last = self.modification()
        except Failed:
            last = None
        if last is None:
            return "AWS names no earlier change of it"
        text = f"its last change, to {last.get('TargetSize')} GiB, is {last['ModificationState']}"
        if last["ModificationState"] in ("modifying", "optimizing"):
            return f"{text} ({last.get('Progress', 0)}%): it must be completed first"
        began = last["StartTime"].strftime("%Y-%m-%d %H:%M UTC")
        return f"{text} and began {began}: AWS takes a volume's changes six hours apart, or four in 24 hours"

    def _wait(self, look: Callable[[], tuple[bool, str]], seconds: float, left: str) -> None:
        """Look until it is there; progress is told when it changes; raises Failed, cause timeout, with what is left."""
        until = time.monotonic() + seconds
        told, when = "", 0.0
        while True:
            there, text = look()
            now = time.monotonic()
            if not there and (text != told or now - when > _SAY):
                self.site.warn(f"{self.id}: {text}")
                told, when = text, now
            if there:
                return
            remaining = self.site.left()
            if now > until or remaining == 0:
                raise Failed(f"{self.where}: no end in time, last seen: {text}; {left}", "timeout")
            if self._pause():
                raise Failed(f"{self.where}: stopped, last seen: {text}; {left}")

    def _pause(self) -> bool:
        """Wait until the next look; say whether the operator wants to stop."""
        until = time.monotonic() + LOOK
        while (left := until - time.monotonic()) > 0:
            if self.site.stopping():
                return True
            threading.Event().wait(min(left, 0.5))
        return self.site.stopping()


def locate(site: Site, params: Mapping[str, Any]) -> tuple[Volume, dict[str, Any]]:
    """Return the volume that the task means, and what AWS says of it; raises Failed where it may be another host's."""
    known = site.ask(HOST, device=params.get("device"))
    instance = _instance(known["instance"])
    ec2 = client(site, params, "ec2", (instance or {}).get("region"))
    shown, disk = dict(known["disks"]), known.get("disk")
    wanted = params.get("volume_id")
    by_disk = disk["volume"] if disk else None
    if wanted and by_disk and wanted != by_disk:
        raise Failed(f"{params['device']} of {site.name} is {by_disk}, and not {wanted}: nothing was changed")
    name = wanted or by_disk
    described = (
        _described(ec2, f"looking at {name} of {site.name}", name)
        if name
        else _by_instance(ec2, site, instance, disk, known["no_instance"])
    )
    name = str(described["VolumeId"])
    _belongs(site, name, described, instance, shown)
    if wanted and disk and str(disk["name"]).startswith("xvd"):
        _letter(site, name, described, disk["name"])
    volume = Volume(
        ec2,
        site,
        name,
        str(ec2.meta.region_name),
        instance["id"] if instance else None,
        shown.get(name) or (disk["name"] if disk else None),
    )
    return volume, described


def _instance(told: dict[str, Any] | None) -> dict[str, str] | None:
    """Return what the host says it is; it is data of the host, and part of the address that is asked."""
    if told is None:
        return None
    if not _INSTANCE.match(str(told["id"])) or not REGION.match(str(told["region"])):
        raise Failed(f"the instance metadata tell of {told['id']!r} in {told['region']!r}: that is no instance")
    return {name: str(value) for name, value in told.items()}


def _described(ec2: Any, what: str, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = call(what, ec2.describe_volumes, VolumeIds=[name])["Volumes"]
    if not found:
        raise Failed(f"{what}: AWS knows no such volume")
    return found[0]


def _by_instance(
    ec2: Any,
    site: Site,
    instance: dict[str, str] | None,
    disk: dict[str, Any] | None,
    why: str | None,
) -> dict[str, Any]:
    """Return the volume that the instance has under a disk's name, or its only one."""
    if instance is None:
        raise Failed(
            f"no volume can be told: {site.name} shows none by a disk's serial and its instance metadata do not answer "
            f"({why}); name it: volume_id, or ebs_volume_id in the inventory"
        )
    filters = [{"Name": "attachment.instance-id", "Values": [instance["id"]]}]
    what = f"looking for the volumes of {instance['id']}"
    found: list[dict[str, Any]] = call(what, ec2.describe_volumes, Filters=filters)["Volumes"]
    places = {
        str(place["Device"]): volume
        for volume in found
        for place in volume["Attachments"]
        if place.get("InstanceId") == instance["id"]
    }
    listed = ", ".join(f"{volume['VolumeId']} ({place})" for place, volume in sorted(places.items())) or "none"
    if disk is not None:
        # Xen alone keeps AWS's letters (xvdf is /dev/sdf); an NVMe disk's number says nothing.
        matches = [volume for place, volume in places.items() if _letters(place) == _letters(disk["name"])]
        if len(matches) != 1 or not str(disk["name"]).startswith("xvd"):
            raise Failed(
                f"which volume {disk['name']} of {site.name} is cannot be told: it shows no serial of one; "
                f"the instance has {listed}; name it: volume_id"
            )
        return matches[0]
    if len(places) != 1:
        raise Failed(f"{instance['id']} has {len(places)} volumes: {listed}; name one: volume_id, or device")
    return next(iter(places.values()))


def _letter(site: Site, name: str, described: dict[str, Any], disk: str) -> None:
    """Raise Failed where a volume and a disk were named, and the volume is attached as another one (Xen)."""
    places = [str(place.get("Device")) for place in described.get("Attachments", [])]
    if places and _letters(disk) not in [_letters(place) for place in places]:
        where = f"{name} is attached as {', '.join(places)}, and {disk} of {site.name} is another"
        raise Failed(f"{where}: nothing was changed")


def _letters(device: str) -> str:
    found = re.fullmatch(r"(?:/dev/)?(?:sd|xvd)([a-z]+)\d*", device)
    return found[1] if found else device


def _belongs(
    site: Site,
    name: str,
    described: dict[str, Any],
    instance: dict[str, str] | None,
    shown: Mapping[str, str],
) -> None:
    """Raise Failed where the volume is another host's; warn where nobody can say."""
    owners = [str(place["InstanceId"]) for place in described.get("Attachments", []) if place.get("InstanceId")]
    if instance is not None:
        if instance["id"] not in owners:
            whose = f"attached to {', '.join(owners)}" if owners else "not attached"
            raise Failed(f"{name} is {whose}, and {site.name} is {instance['id']}: nothing was changed")
    elif name not in shown:
        if shown:
            listed = ", ".join(sorted(shown))
            raise Failed(f"{site.name} shows the volumes {listed}, and not {name}: nothing was changed")
        site.warn(f"whether {name} is a volume of {site.name} cannot be checked: it shows no serials and no metadata")
