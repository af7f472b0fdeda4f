"""Tell what Docker's containers, images, build cache and volumes hold, and how much of it could go.

What could go is what docker_prune would take with the same `images`, `older_than`, `labels` and `keep_labels`.
Nothing is started for it: a daemon that systemd would start at the first word counts as not running. Returns

available (false without a Docker that answers; then `reason` says why), version, root (Docker's folder);
containers: count, running, bytes (written in them, and their logs), log_bytes; images, build_cache: count,
bytes; volumes: count, bytes, unused: those that no container uses, each with name, bytes and anonymous (they
go only when named); each of the first three with `takes`, the items that could go, largest first: item,
reason, bytes, and `reclaimable`, the bytes they would free at least; logs: the largest logs of containers,
running ones too; reclaimable: the sum; complete: false where Docker did not tell its sizes in time.
"""

import time

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import _docker_items as items
from remedy.modules.target._docker import SOCKET_PARAM, TIMEOUT_PARAM, Absent, Engine, Refused
from remedy.modules.target.docker_prune import PARAMS as PRUNE_PARAMS

_SHARED = ("images", "older_than", "labels", "keep_labels")

PARAMS = tuple(param for param in PRUNE_PARAMS if param.name in _SHARED) + (
    Param("top", "int", default=20, help="Name this many items of each kind."),
    SOCKET_PARAM,
    TIMEOUT_PARAM,
)

INTERNAL = ("clock_skew",)

EXAMPLES = """
- docker_usage: {older_than: 3d}
  register: docker
"""


def check_params(params):
    if isinstance(params["older_than"], (int, float)) and params["older_than"] < 0:
        return "older_than cannot be less than 0"
    return None


def kind(params):
    return DockerUsage


class DockerUsage(Probe):
    cost = "expensive"
    deadline = 180

    def read(self):
        engine = Engine(self.host, self.params["socket"], self.params["timeout"])
        try:
            root = engine.get("/info").get("DockerRootDir")
            held = items.Holdings(engine, self.host.warn)
            return dict(self._held(held), available=True, version=engine.version, root=root)
        except Absent as error:
            return {"available": False, "reason": error.message}
        except Refused as error:
            return {"available": False, "reason": "Docker answers with an error: %s" % error.message}
        except Failed as error:
            # A host whose Docker hangs has more to be looked at than its Docker.
            if error.cause != "timeout":
                raise
            return {"available": False, "reason": error.message}

    def _held(self, held):
        rules = items.Rules(self.params, time.time())
        containers = held.judge_containers(rules)
        going = {item.identity[1] for item in containers if item.take}
        images = held.judge_images(rules, going) if self.params["images"] != "none" else []
        cache = held.judge_build_cache(rules)
        logs = self._logs(held)
        written = sum(each.get("SizeRw") or 0 for each in held.usage.get("Containers") or ())
        log_bytes = sum(each["bytes"] for each in logs)
        running = sum(each["State"] == "running" for each in held.containers)
        found = {
            "containers": self._kind(containers, len(held.containers), written + log_bytes),
            "images": self._kind(images, len(held.images), held.usage.get("LayersSize")),
            "build_cache": self._kind(cache, len(cache), sum(item.size for item in cache)),
            "volumes": self._volumes(held),
            "logs": logs[: self.params["top"]],
            "complete": held.sizes is None,
        }
        found["containers"].update(running=running, log_bytes=log_bytes)
        found["reclaimable"] = sum(
            found[name]["reclaimable"] for name in ("containers", "images", "build_cache")
        )
        return found

    def _kind(self, judged, count, size):
        takes = sorted((item for item in judged if item.take), key=lambda item: -item.size)
        named = [{"item": item.id, "reason": item.reason, "bytes": item.size} for item in takes]
        reclaimable = sum(item.size for item in takes)
        return {
            "count": count,
            "bytes": size,
            "takes": named[: self.params["top"]],
            "reclaimable": reclaimable,
        }

    def _volumes(self, held):
        volumes = held.volumes()
        unused = [
            {"name": each["Name"], "bytes": size, "anonymous": items.anonymous(each)}
            for each, users, size in volumes
            if not users
        ]
        unused.sort(key=lambda each: -(each["bytes"] or 0))
        size = sum(size or 0 for _, _, size in volumes)
        return {"count": len(volumes), "bytes": size, "unused": unused[: self.params["top"]]}

    def _logs(self, held):
        """Return the logs of all containers, largest first; Docker itself counts them nowhere."""
        logs = []
        for each in held.containers:
            try:
                path = held.engine.get("/containers/%s/json" % each["Id"]).get("LogPath")
            except Refused:
                continue
            size = items.log_size(path)
            if size:
                logs.append(
                    {"container": items.named(each), "path": path, "bytes": size, "state": each["State"]}
                )
        return sorted(logs, key=lambda log: -log["bytes"])
