"""Remove Docker's stopped containers, dangling images and build cache, each decided one by one.

Nothing that is in use goes: no running or paused container, no image that a container uses (a stopped one that
stays counts), no record of a build under way. Volumes and networks go only when they are named, and only if no
container uses them, stopped ones included; a container's anonymous volumes stay when it goes. What Docker itself
means by `prune --volumes` depends on its version, and a label filter protects only what carries all labels: so
remedy lists everything, decides, looks at each again right before, and removes it by its id, which also works on a
full disk. The age of a container is the time since it ended, of an image the time since it got its name here, of
build cache the time since a build used it. It talks to Docker's socket; the docker program is not needed. It
cannot be undone. Returns `containers`, `images`, `build_cache`, `volumes` and `networks` (what went),
`missing` (named volumes and networks that are not there), `version`, and `bytes_freed`, measured on the file
system of Docker's folder where that can be seen, else as Docker tells.
"""

import json
import os
import time

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _docker_items as items
from remedy.modules.target._docker import SOCKET_PARAM, TIMEOUT_PARAM, Engine, Refused, part, seconds

_SKEW = items.SKEW

PARAMS = (
    Param("containers", "bool", default=True, help="Stopped containers, and those never started."),
    Param(
        "images",
        default="dangling",
        choices=("none", "dangling", "all_unused"),
        help="Images without a name, or every image that no container uses.",
    ),
    Param("build_cache", "bool", default=True, help="What BuildKit keeps of earlier builds."),
    Param("volumes", "list", elements="str", help="The names of volumes to remove, with the data in them."),
    Param("networks", "list", elements="str", help="The names of networks to remove."),
    Param(
        "older_than",
        "duration",
        default=86400,
        help="Younger ones stay (by default a day); 0 takes them whatever their age.",
    ),
    Param("labels", "list", elements="str", help="Only what carries all of these labels (key or key=value)."),
    Param(
        "keep_labels",
        "list",
        default=("remedy.keep",),
        elements="str",
        help="What carries any of these labels (key or key=value) stays.",
    ),
    SOCKET_PARAM,
    TIMEOUT_PARAM,
)

INTERNAL = ("clock_skew",)

EXAMPLES = """
- docker_prune: {older_than: 3d, keep_labels: [remedy.keep, env=production]}
- docker_prune: {containers: false, images: all_unused, older_than: 30d, build_cache: false}
- docker_prune: {images: none, volumes: [old-reports]}
"""


def check_params(params):
    if isinstance(params["older_than"], (int, float)) and params["older_than"] < 0:
        return "older_than cannot be less than 0"
    for name in (params["volumes"] or []) + (params["networks"] or []):
        if isinstance(name, str) and set(name) & set("*?[]/ "):
            return "'%s' is no name: volumes and networks are named one by one" % name
    wanted = [params[name] for name in ("containers", "build_cache", "volumes", "networks")]
    if not any(wanted) and params["images"] == "none":
        return "nothing is chosen: name containers, images, build_cache, volumes or networks"
    return None


def kind(params):
    return Volumes if params.get("volumes") else DockerPrune


class DockerPrune(Sweep):
    deadline = 900
    _engine = None
    _now = None
    _root = None
    _missing = None

    def key(self):
        return "docker:" + self.params["socket"]

    def find(self):
        self._guard()
        if self._engine is None:
            self._now = time.time()
            self._engine = Engine(self.host, self.params["socket"], self.params["timeout"])
            self._root = _root(self._engine)
        rules = items.Rules(self.params, self._now)
        held = items.Holdings(self._engine, self.host.warn)
        found = held.judge_containers(rules) if self.params["containers"] else []
        going = {item.identity[1] for item in found if item.take}
        if self.params["images"] != "none":
            found += held.judge_images(rules, going)
        if self.params["build_cache"]:
            found += held.judge_build_cache(rules)
            if held.sizes is not None:
                found.append(Item("build cache", False, held.sizes))
        volumes, no_volumes = held.judge_volumes(rules, going) if self.params["volumes"] else ([], [])
        networks, no_networks = held.judge_networks(rules, going) if self.params["networks"] else ([], [])
        if self._missing is None:  # the second look, after the sweep, misses what went
            self._missing = no_volumes + no_networks
        return found + volumes + networks

    def drain(self, item):
        look, act = _WAYS[item.identity[0]]
        before = self._free()
        try:
            left = look(self._engine, item.identity) or act(self._engine, item.identity)
        except Refused as error:
            if error.status == 404:
                return "it is gone already"
            if error.status == 409:
                return "Docker keeps it: %s" % error.message
            full = "no space left" in error.message.lower()
            raise Failed("Docker cannot remove it: %s" % error.message, cause="disk_full" if full else None)
        if left is not None:
            return left
        # What others write meanwhile takes from the figure: then it is less than what was freed, never more.
        return item.size if before is None else max(0, self._free() - before)

    def returns(self, taken, kept):
        named = {"container": "containers", "image": "images", "volume": "volumes", "network": "networks"}
        named["build cache"] = "build_cache"
        found = {name: [] for name in named.values()}
        for item in taken:
            found[named[item.identity[0]]].append(item.id)
        return dict(found, missing=list(self._missing), version=self._engine.version)

    def _guard(self):
        skew = self.params.get("clock_skew")
        if self.params["older_than"] > 0 and skew is not None and abs(skew) > _SKEW:
            text = "the host's clock is %d s off, and the age of everything with it; set the clock first"
            raise Failed(text % abs(skew))

    def _free(self):
        if self._root is None:
            return None
        sizes = os.statvfs(self._root)
        return sizes.f_bfree * sizes.f_frsize


class Volumes(DockerPrune):
    """Volumes go, too, with what somebody keeps in them."""

    attended = True


def _root(engine):
    """Return Docker's folder, None where it is not to be seen from here (a socket that leads elsewhere)."""
    about = engine.get("/info")
    root = about.get("DockerRootDir") or ""
    return root if root and os.path.isdir(os.path.join(root, "image", about.get("Driver") or "-")) else None


def _look_container(engine, identity):
    about = engine.get("/containers/%s/json" % identity[1])
    if about["State"].get("Running"):
        return "it was started since it was looked at"
    return _same(items.container_identity(about), identity)


def _look_image(engine, identity):
    about = engine.get("/images/%s/json" % part(identity[1]))
    for each in engine.get("/containers/json", all="1"):
        if each["ImageID"] == identity[1]:
            return "container %s uses it" % items.named(each)
    return _same(items.image_identity(about), identity)


def _look_cache(engine, identity):
    """BuildKit looks itself, while it removes: see _remove_cache."""
    return None


def _look_volume(engine, identity):
    about = engine.get("/volumes/" + part(identity[1]))
    users = items.volume_users(engine.get("/containers/json", all="1"), identity[1])
    return "container %s uses it" % users[0] if users else _same(items.volume_identity(about), identity)


def _look_network(engine, identity):
    about = engine.get("/networks/" + part(identity[1]))
    users = items.network_users(engine.get("/containers/json", all="1"), about)
    return "container %s uses it" % users[0] if users else None


def _same(now, then):
    return None if now == list(then) else "it changed since it was looked at"


def _remove_container(engine, identity):
    # v=0: its anonymous volumes may hold somebody's data.
    engine.remove("/containers/" + identity[1], v="0", force="0")


def _remove_image(engine, identity):
    names = identity[2]
    if len(names) < 2:
        # noprune: what it was built on is an item of its own, with labels and an age of its own.
        engine.remove("/images/" + part(identity[1]), noprune="1", force="0")
        return
    for name in names:
        try:
            about = engine.get("/images/%s/json" % part(name))
        except Refused as error:
            if error.status != 404:  # a digest goes with the last tag of its repository
                raise
            continue
        if about["Id"] == identity[1]:
            engine.remove("/images/" + part(name), noprune="1", force="0")


def _remove_cache(engine, identity):
    filters = {"id": [identity[1]]}
    unused = time.time() - (seconds(identity[2]) or 0) - 0.5
    if unused > 0:  # a record that a build used since is left alone
        filters["until"] = ["%.3fs" % unused]
    answer = engine.post("/build/prune", all="1", filters=json.dumps(filters)) or {}
    return None if answer.get("CachesDeleted") else "BuildKit keeps it: it is in use, or was used since"


def _remove_volume(engine, identity):
    engine.remove("/volumes/" + part(identity[1]), force="0")


def _remove_network(engine, identity):
    engine.remove("/networks/" + part(identity[1]))


_WAYS = {
    "container": (_look_container, _remove_container),
    "image": (_look_image, _remove_image),
    "build cache": (_look_cache, _remove_cache),
    "volume": (_look_volume, _remove_volume),
    "network": (_look_network, _remove_network),
}
