"""What Docker holds, item by item, each with the reason to take it or to keep it: Docker's own prune decides nothing.

Its filters mean different things in different versions (`--volumes`, several `label!=`), and a filter sees no more
than one kind at a time. So everything is listed, judged here, and removed by its id.
"""

import glob
import os
import re

from remedy.agent.kinds import Failed, Item
from remedy.modules.target._docker import Refused, part, seconds

_STOPPED = ("exited", "created", "dead")
_NAMELESS = re.compile("[0-9a-f]{64}")
_TRIES = 8
SKEW = 60
_FIXED = ("bridge", "host", "none", "ingress", "docker_gwbridge")


class Rules(object):
    """What the user lets go: `labels`, `keep_labels` (texts "key" or "key=value"), `older_than` (seconds)."""

    def __init__(self, params, now):
        self.params = params
        self.now = now

    def kept(self, labels, born):
        """Return why something with these labels, last used at `born`, is kept, else None."""
        known = labels or {}
        for wish in self.params["keep_labels"] or ():
            if _carries(known, wish):
                return "it carries the label %s" % wish
        for wish in self.params["labels"] or ():
            if not _carries(known, wish):
                return "it does not carry the label %s" % wish
        return self.young(born)

    def young(self, born):
        """Return why something of this age is kept, else None."""
        if self.params["older_than"] <= 0:
            return None
        skew = self.params.get("clock_skew")
        if skew is not None and abs(skew) > SKEW:
            return "its age is unknown: the host's clock is %d s off" % abs(skew)
        if born is None:
            return "its age is unknown"
        if born > self.now + 1:
            return "dated in the future: its age is unknown"
        return "only %s old" % span(self.now - born) if self.now - born < self.params["older_than"] else None

    def since(self, born):
        """Return "3 days ago", or "" where nobody knows."""
        return " %s ago" % span(self.now - born) if born is not None else ""


class Holdings(object):
    """One look at all that Docker holds. `sizes` (a text) says why sizes and build cache are unknown, else None."""

    def __init__(self, engine, warn):
        self.engine = engine
        self.sizes = None
        self.containers = engine.get("/containers/json", all="1")
        self.images = engine.get("/images/json", all="1")
        self.usage = self._usage(warn)
        self._unique = {each["Id"]: each for each in self.usage.get("Images") or ()}
        self._written = {each["Id"]: each for each in self.usage.get("Containers") or ()}

    def _usage(self, warn):
        """Ask for the sizes: Docker walks its folders for them, and refuses while it does so for somebody else."""
        for _ in range(_TRIES):
            try:
                self.sizes = None
                return self.engine.try_get("/system/df")
            except (Refused, Failed) as error:
                self.sizes = "Docker does not tell its sizes and its build cache: %s" % error.message
                # On a full disk BuildKit fails to write down the size of a record, once for each.
                if "no space left" not in error.message:
                    break
        warn(self.sizes)
        return {}

    def judge_containers(self, rules):
        """Return the Items of all containers."""
        items = []
        for each in self.containers:
            name = "container %s (%s)" % (named(each), each["Id"][:12])
            if each["State"] not in _STOPPED:
                items.append(Item(name, False, "it is %s" % each["State"], 0, ["container", each["Id"]]))
                continue
            try:
                about = self.engine.get("/containers/%s/json" % each["Id"])
            except Refused as error:
                if error.status == 404:
                    continue
                raise
            items.append(self._container(name, each, about, rules))
        return items

    def _container(self, name, each, about, rules):
        state = about["State"]
        ended = seconds(state.get("FinishedAt"))
        # One that was never started has the age of its making.
        born = seconds(about.get("Created")) if ended is None else ended
        reason = rules.kept(each.get("Labels"), born)
        if any(label.startswith("io.kubernetes.") for label in each.get("Labels") or ()):
            reason = "it is kubelet's"
        if reason:
            return Item(name, False, reason, 0, ["container", each["Id"]])
        if ended is None:
            text = "made%s, never started" % rules.since(born)
        else:
            text = "ended with code %s,%s" % (state.get("ExitCode"), rules.since(ended))
        size = (self._written.get(each["Id"], {}).get("SizeRw") or 0) + log_size(about.get("LogPath"))
        return Item(name, True, text, size, container_identity(about))

    def judge_images(self, rules, going):
        """Return the Items of all images, those built on others first; `going` are the ids of containers that go."""
        wanted = rules.params["images"]
        users, leaving = {}, {}
        for each in self.containers:
            whom = leaving if each["Id"] in going else users
            whom.setdefault(each["ImageID"], named(each))
        below = {}
        for each in self.images:
            if each.get("ParentId"):
                below.setdefault(each["ParentId"], []).append(each["Id"])
        taken, items = set(), []
        for each in _children_first(self.images):
            tags = tagged(each)
            name = "image %s (%s)" % (", ".join(tags) or "<none>", short(each["Id"]))
            born = None
            reason = "container %s uses it" % users[each["Id"]] if each["Id"] in users else None
            if reason is None and tags and wanted == "dangling":
                reason = "it has a name"
            if reason is None and not taken.issuperset(below.get(each["Id"], ())):
                reason = "another image is built on it"
            if reason is None:
                reason, born = self._image_kept(each, rules)
            if reason is not None:
                items.append(Item(name, False, reason, 0, ["image", each["Id"]]))
                continue
            text = "no container uses it, last named" if tags else "it has no name, made"
            text += rules.since(born)
            if each["Id"] in leaving:
                text += ", only container %s used it, which goes" % leaving[each["Id"]]
            taken.add(each["Id"])
            items.append(Item(name, True, text, self.image_size(each), image_identity(each)))
        return items

    def _image_kept(self, each, rules):
        """Return (reason or None, age): an image that was pulled is as old as its name here, not as its making."""
        try:
            about = self.engine.get("/images/%s/json" % part(each["Id"]))
        except Refused as error:
            if error.status == 404:
                return "it is gone already", None
            raise
        times = [each.get("Created"), seconds((about.get("Metadata") or {}).get("LastTagTime"))]
        born = max([moment for moment in times if moment is not None and moment > 0] or [None])
        return rules.kept(each.get("Labels"), born), born

    def image_size(self, each):
        """Return the bytes that only this image holds, as far as Docker tells."""
        about = self._unique.get(each["Id"], each)
        shared = max(0, about.get("SharedSize", 0))
        sizes = [max(0, about["Size"] - shared)]
        sizes += [
            max(0, each["Size"] - below["Size"])
            for below in self.images
            if below["Id"] == each.get("ParentId")
        ]
        return min(sizes)

    def judge_build_cache(self, rules):
        """Return the Items of BuildKit's records, those made from others first."""
        records = self.usage.get("BuildCache") or []
        below = {}
        for each in records:
            for parent in parents(each):
                below.setdefault(parent, []).append(each["ID"])
        taken, items = set(), []
        for each in _after(records, lambda record: record["ID"], parents):
            name = "build cache %s (%s)" % (each["ID"][:12], (each.get("Description") or "").strip()[:60])
            born = seconds(each.get("LastUsedAt")) or seconds(each.get("CreatedAt"))
            reason = None
            if each.get("InUse"):
                reason = "a build uses it"
            elif each.get("Shared"):
                reason = "it is part of an image: removing it frees nothing"
            elif not taken.issuperset(below.get(each["ID"], ())):
                reason = "another record is made from it"
            elif rules.params["labels"]:
                reason = "build cache carries no labels to choose by"
            reason = reason or rules.young(born)
            if reason is None:
                taken.add(each["ID"])
            text = reason or "last used%s" % rules.since(born)
            items.append(Item(name, reason is None, text, each.get("Size") or 0, cache_identity(each)))
        return items

    def volumes(self):
        """Return [(volume, its users' names, bytes or None)]."""
        sizes = {each["Name"]: each.get("UsageData") or {} for each in self.usage.get("Volumes") or ()}
        found = []
        for each in (self.engine.get("/volumes") or {}).get("Volumes") or ():
            users = volume_users(self.containers, each["Name"])
            size = sizes.get(each["Name"], {}).get("Size", -1)
            found.append((each, users, size if size >= 0 else None))
        return found

    def judge_volumes(self, rules, going):
        """Return (Items of the volumes that are named, names that are not there); a name stands for no age."""
        names, items = set(rules.params["volumes"] or ()), []
        for each, _, size in self.volumes():
            if each["Name"] not in names:
                continue
            names.discard(each["Name"])
            staying = [one for one in self.containers if one["Id"] not in going]
            users = volume_users(staying, each["Name"])
            reason = "container %s uses it" % users[0] if users else _labelled(each, rules)
            text = reason or "named, and no container uses it"
            items.append(
                Item("volume " + each["Name"], reason is None, text, size or 0, volume_identity(each))
            )
        return items, sorted(names)

    def judge_networks(self, rules, going):
        """Return (Items of the networks that are named, names that are not there)."""
        names, items = set(rules.params["networks"] or ()), []
        for each in self.engine.get("/networks") if names else ():
            if each["Name"] not in rules.params["networks"]:
                continue
            names.discard(each["Name"])
            staying = [one for one in self.containers if one["Id"] not in going]
            users = network_users(staying, each)
            reason = "it is Docker's own" if each["Name"] in _FIXED else None
            reason = reason or ("container %s uses it" % users[0] if users else _labelled(each, rules))
            name = "network %s (%s)" % (each["Name"], each["Id"][:12])
            text = reason or "named, and no container uses it"
            items.append(Item(name, reason is None, text, 0, ["network", each["Id"]]))
        return items, sorted(names)


def container_identity(about):
    state = about["State"]
    return ["container", about["Id"], state["Status"], state.get("StartedAt"), state.get("FinishedAt")]


def image_identity(about):
    return ["image", about["Id"], sorted(tagged(about) + digests(about))]


def volume_identity(about):
    return ["volume", about["Name"], about.get("CreatedAt"), about.get("Mountpoint")]


def cache_identity(about):
    return ["build cache", about["ID"], about.get("LastUsedAt")]


def named(container):
    return (container.get("Names") or ["/" + container["Id"][:12]])[0].lstrip("/")


def tagged(image):
    return [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]


def digests(image):
    return [name for name in image.get("RepoDigests") or () if name != "<none>@<none>"]


def parents(record):
    """Return the ids of the records that this one is made from (several since API 1.42)."""
    return record.get("Parents") or ([record["Parent"]] if record.get("Parent") else [])


def volume_users(containers, name):
    """Return the names of the containers, stopped ones too, that mount a volume."""
    mounted = [(each, mount) for each in containers for mount in each.get("Mounts") or ()]
    return [
        named(each) for each, mount in mounted if mount.get("Type") == "volume" and mount.get("Name") == name
    ]


def anonymous(volume):
    """Say whether nobody named a volume; engines before 23.0 do not label it, and give it a hash for a name."""
    labels = volume.get("Labels") or {}
    return "com.docker.volume.anonymous" in labels or _NAMELESS.fullmatch(volume["Name"]) is not None


def network_users(containers, network):
    """Return the names of the containers, stopped ones too, that are to be in a network."""
    found = []
    for each in containers:
        joined = (each.get("NetworkSettings") or {}).get("Networks") or {}
        if network["Name"] in joined or network["Id"] in [one.get("NetworkID") for one in joined.values()]:
            found.append(named(each))
    return found


def log_size(path):
    """Return the bytes of a container's log and of its rotated ones; Docker counts them nowhere."""
    size = 0
    for name in [path] + glob.glob(glob.escape(path) + ".*") if path else ():
        try:
            size += os.stat(name).st_blocks * 512
        except OSError:
            pass
    return size


def short(name):
    return name.split(":")[-1][:12]


def span(length):
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if length >= 2 * size:
            return "%d %s" % (length // size, unit)
    return "%d seconds" % max(0, length)


def _labelled(each, rules):
    for wish in rules.params["keep_labels"] or ():
        if _carries(each.get("Labels") or {}, wish):
            return "it carries the label %s" % wish
    return None


def _carries(labels, wish):
    key, equal, value = wish.partition("=")
    return key in labels and (not equal or labels[key] == value)


def _children_first(images):
    return _after(images, lambda image: image["Id"], lambda image: [image.get("ParentId")])


def _after(things, name, origins):
    """Return things so that each comes after all that is made from it."""
    by_name = {name(each): each for each in things}
    depths = {}

    def depth(each):
        if name(each) not in depths:
            depths[name(each)] = 0  # what would be its own origin ends here
            above = [by_name[one] for one in origins(each) if one in by_name]
            depths[name(each)] = 1 + max([depth(one) for one in above] or [0])
        return depths[name(each)]

    return sorted(things, key=lambda each: -depth(each))
