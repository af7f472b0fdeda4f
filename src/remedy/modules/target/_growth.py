"""The plan of growth: which links of a chain are short for an amount, and by how much; pure, from a chain alone.

A plan is a dict: from_bytes and to_bytes (the file system now, and then), reach_bytes (the most that can be had),
steps (in order; each module, device, from_bytes, to_bytes, what), refused (in words, None where it can be done), ends
(what keeps the chain from becoming larger still). Where the cloud may be asked, and the chain itself has less than is
wanted, a step makes its volume larger first.
"""

from remedy.agent.kinds import Failed
from remedy.modules.target import _amount
from remedy.modules.target._amount import ALL, MIB, shown

_GIB = 1 << 30  # what volumes of a cloud are counted in


def plan(chain, amount, grows_mounted=True, earlier=None, cloud=False):
    """Return the plan for a chain of _chain.of; `grows_mounted`: False where ext4 must be unmounted to grow.

    `earlier`: {before, want} of the last run that let the file system grow: the same +amount is not added twice.
    `cloud`: the volume that the chain ends in may be made larger, which costs money.
    """
    links = [dict(each) for each in chain["links"]]
    found = {"mount": chain["mount"], "steps": [], "refused": None, "ends": None, "done_before": False}
    if chain["stops_at"] is not None or len(links) < 2:
        found["refused"] = "%s is left alone: %s" % (chain["mount"], chain["stops_at"])
        return found
    if earlier and str(amount).strip().startswith("+") and _same(links, amount, earlier):
        found["done_before"] = True
        amount = str(links[0]["size_bytes"])
    return _Plan(links, found, grows_mounted, cloud).make(amount)


def _same(links, amount, earlier):
    """Say whether a file system is as an earlier run left it, which had been asked for the same amount."""
    before, want = ((earlier.get(name) or {}).get("bytes") for name in ("before", "want"))
    if not isinstance(before, int) or not isinstance(want, int):
        return False
    unit = max(links[1].get("extent_bytes") or 0, MIB) + links[0]["slack_bytes"]
    asked = _amount.target(amount, before)
    return abs(links[0]["size_bytes"] - want) <= unit and -unit <= want - asked <= unit


class _Plan(object):
    def __init__(self, links, found, grows_mounted, cloud):
        self._links = links
        self._found = found
        self._grows_mounted = grows_mounted
        self._steps = found["steps"]
        self._cloud = cloud
        self._enlarged = {}
        self._rescanned = set()

    def make(self, amount):
        """Return the finished plan."""
        top, device = self._links[0], self._links[1]
        have, unit = top["size_bytes"], max(device.get("extent_bytes") or 0, MIB)
        reach = self._reach(device)
        wanted = _amount.target(amount, have)
        relative = str(amount).strip().startswith("+")
        self._found.update(from_bytes=have, reach_bytes=reach, ends=self._ends(device))
        if self._cloud and wanted is None:
            text = "size %s asks nothing of the cloud: with grow_cloud name a size (200G), or what to add (+50G)"
            return self._refuse(have, text % ALL)
        if self._cloud and wanted > max(reach, have):
            reach = self._found["reach_bytes"] = self._enlarge(device, wanted)
        if wanted is None:
            wanted = reach
        elif wanted < have - unit - top["slack_bytes"] and not relative:
            text = "%s has %s (%d bytes) already, and %s (%d bytes) is wanted: remedy makes nothing smaller"
            return self._refuse(wanted, text % (top["name"], shown(have), have, shown(wanted), wanted))
        elif wanted > max(reach, have):
            text = "%s can become %s (%d bytes) at most, and %s (%d bytes) is wanted: %s"
            more = (top["name"], shown(reach), reach, shown(wanted), wanted, self._found["ends"])
            return self._refuse(wanted, text % more)
        after = self._need(device, min(_amount.up(wanted, unit), reach))
        whole = after - wanted < unit
        target = after if whole else wanted
        self._found["to_bytes"] = max(have, target)
        if target - have > (top["slack_bytes"] if whole else top["grain_bytes"]):
            if top["type"].startswith("ext") and not self._grows_mounted:
                text = (
                    "%s is %s, which this root may not grow while it is mounted (no CAP_SYS_RESOURCE: a container?): "
                    "grow it from outside, or let it be unmounted for a moment (grow_offline=true)"
                )
                return self._refuse(target, text % (top["name"], top["type"]))
            self._step(
                "filesystem_grow", top, top["name"], have, target, size="all" if whole else str(target)
            )
        return self._found

    def _refuse(self, wanted, text):
        del self._steps[:]
        self._found.update(refused=text, to_bytes=wanted)
        return self._found

    def _step(self, module, link, device, before, after, **more):
        step = {
            "module": module,
            "link": link["kind"],
            "device": device,
            "from_bytes": before,
            "to_bytes": after,
        }
        step["what"] = "%s %s: %s to %s" % (link["kind"], device, shown(before), shown(after))
        step.update(more)
        self._steps.append(step)

    def _right_below(self, link):
        place = self._links.index(link)
        return [each for each in self._links[place + 1 :] if each["above"] == link["name"]]

    def _disk(self, partition):
        """Return the disk of a partition: several partitions may lie on one, which is told once."""
        disks = [each for each in self._links if each["kind"] in ("disk", "loop")]
        return next(each for each in disks if each["name"] == partition["disk"])

    def _members(self, logical):
        group = next(each for each in self._right_below(logical) if each["kind"] == "lvm_vg")
        return [each for each in self._right_below(group) if each["kind"] == "lvm_pv"]

    # How far a link can come

    def _reach(self, link):
        size, free = link["size_bytes"], link["free_behind_bytes"]
        if link["kind"] == "partition":
            more = self._disk(link)["free_behind_bytes"] if link["last"] else 0
            reach = size + free + more
            return reach if link["most_bytes"] is None else min(reach, max(size, link["most_bytes"]))
        if link["kind"] == "lvm_lv":
            return size + free + sum(self._gain(each) for each in self._members(link))
        return size + free

    def _gain(self, physical):
        """Return the bytes that a physical volume can become larger by."""
        below = self._device(physical)
        extent = physical["extent_bytes"]
        usable = _amount.down(self._reach(below) - physical["start_bytes"], extent)
        return max(0, usable - physical["size_bytes"])

    def _device(self, physical):
        found = self._right_below(physical)
        if found:
            return found[0]
        # Two of its physical volumes are on the same disk: its links are told once.
        raise Failed("the device of the physical volume %s is not in the chain" % physical["name"])

    # What must be done for it

    def _need(self, link, target):
        """Add the steps that bring a link to a size within its reach; return the size that it has then."""
        size, free = link["size_bytes"], link["free_behind_bytes"]
        if target <= size:
            return size
        after = size + free
        if link["kind"] == "partition":
            after = min(_amount.up(target, MIB), self._reach(link))
            if after > size + free:
                disk = self._disk(link)
                self._need(disk, disk["size_bytes"] + disk["free_behind_bytes"])
            self._step("partition_grow", link, link["path"], size, after)
        elif link["kind"] == "lvm_lv":
            after = min(_amount.up(target, link["extent_bytes"]), self._reach(link))
            self._room(link, after - size - free)
            self._step("lvm_lv", link, link["path"], size, after)
        elif link["name"] not in self._rescanned:
            self._rescanned.add(link["name"])
            more = {}
            if link["name"] in self._enlarged:
                volume, real = self._enlarged[link["name"]]
                what = "cloud_volume %s: %s to %s" % (volume["name"], shown(real), shown(after))
                more = {"volume": volume["name"], "gib": after // _GIB, "what": what}
                self._step("ebs_volume", volume, link["path"], real, after, **more)
                more = {"least_bytes": after}
            self._step("disk_rescan", link, link["path"], size, after, **more)
        return after

    def _enlarge(self, device, wanted):
        """Let the disk of the only cloud's volume have what lacks, in whole GiB; return how far the device can come."""
        volumes = self._volumes()
        if len(volumes) == 1:
            [disk] = [each for each in self._links if each["name"] == volumes[0]["above"]]
            free = disk["free_behind_bytes"]
            least = disk["size_bytes"] + free + wanted - self._reach(device)
            for more in (0, _GIB):  # tables, and LVM's extents, take their share
                disk["free_behind_bytes"] = _amount.up(least, _GIB) + more - disk["size_bytes"]
                if self._reach(device) >= wanted:
                    self._enlarged[disk["name"]] = (volumes[0], disk["size_bytes"] + free)
                    return self._reach(device)
            disk["free_behind_bytes"] = free  # what ends the chain is not the disk
        return self._reach(device)

    def _volumes(self):
        return [each for each in self._links if each["kind"] == "cloud_volume"]

    def _room(self, logical, lack):
        """Add the steps that make a volume group larger by what lacks: what waits already first."""
        for physical in sorted(self._members(logical), key=lambda each: -each["free_behind_bytes"]):
            gain = self._gain(physical)
            if lack <= 0 or gain <= 0:
                continue
            take = min(gain, max(_amount.up(lack, physical["extent_bytes"]), physical["free_behind_bytes"]))
            after = physical["size_bytes"] + take
            self._need(self._device(physical), after + physical["start_bytes"])
            self._step("lvm_pv", physical, physical["path"], physical["size_bytes"], after)
            lack -= take

    # What ends it

    def _ends(self, link):
        """Say in words what keeps a link from becoming larger, and what would help."""
        if link["kind"] == "lvm_lv":
            said = [self._ends(self._device(each)) for each in self._members(link)]
            return "; ".join(said) + "; or add a physical volume to its group"
        if link["limit"]:
            return "%s is as large as it can be: %s" % (link["name"], link["limit"])
        if link["kind"] == "partition":
            return self._ends(self._disk(link))
        volume = [each for each in self._right_below(link) if each["kind"] == "cloud_volume"]
        name = "the disk " + link["name"]
        if link["kind"] == "loop":
            name = "the file behind %s (%s)" % (link["name"], link["backing_file"])
        if volume:
            name = "the cloud's volume %s (%s)" % (volume[0]["name"], link["name"])
        return "%s ends there: make it larger%s, and play again" % (name, self._by_the_cloud(volume))

    def _by_the_cloud(self, volume):
        """Say how the cloud would help with a disk, or why it does not."""
        if not self._cloud:
            return " (with a size, grow_cloud=true does)" if volume else ""
        if not self._volumes():
            return " (it is not known as a cloud's volume: ebs_volume_id in the inventory names it)"
        number = len(self._volumes())
        if number > 1:
            return " (grow_cloud takes only one volume, and there are %d: name one to ebs_volume)" % number
        # The volume would become as large as need be: something else ends the chain.
        mbr = any(each.get("most_bytes") for each in self._links)
        return " (but an MBR counts no further than 2 TiB)" if mbr else ""
