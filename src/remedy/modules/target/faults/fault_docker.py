"""Leave what Docker heaps up: stopped containers, images without a name and build cache, each of so many bytes.

They are made from `image`, which must be there already: nothing is pulled. All carry the label `remedy.drill=NAME`;
the build cache carries the name in its commands. `keep: true` makes, as what no clean-up may take, a stopped
container and a tagged image with the label `remedy.keep`, both named remedy-drill-NAME-keep. Where a clean-up took
the build cache, BuildKit's list may keep a record of `image` that holds no byte. Returns `containers`, `images` and
`build_cache` (how many).
"""

import json
import shutil
import tempfile

from remedy.agent.kinds import Failed, Param
from remedy.modules.target._docker import SOCKET_PARAM, TIMEOUT_PARAM, Absent, Engine, Refused, part
from remedy.modules.target._docker_items import parents
from remedy.modules.target.faults._fault import MARK, STATE, Fault, name_param, wrong_name

PARAMS = (
    Param("containers", "int", default=1, help="How many stopped containers there are."),
    Param("images", "int", default=1, help="How many images without a name there are."),
    Param("build_cache", "int", default=0, help="How many records of BuildKit's cache there are."),
    Param("size", "size", default=20 << 20, help="How many bytes each takes, in whole MiB."),
    Param("keep", "bool", default=False, help="Make a container and an image, too, that must not go."),
    Param("image", default="busybox:1", help="What they are made from; it has dd and sh."),
    name_param("leavings"),
    STATE,
    SOCKET_PARAM,
    TIMEOUT_PARAM,
)

EXAMPLES = """
- fault_docker: {containers: 3, images: 2, build_cache: 1, size: 100M, keep: true}
- fault_docker: {state: absent}
"""

_LABEL = "remedy.drill"
_KEEP = "keep"


def check_params(params):
    counts = [params[name] for name in ("containers", "images", "build_cache")]
    if any(isinstance(count, int) and not 0 <= count <= 1000 for count in counts):
        return "containers, images and build_cache: expected 0 to 1000"
    return wrong_name(params)


def kind(params):
    return Docker


class Docker(Fault):
    _engine = None

    @property
    def engine(self):
        if self._engine is None:
            self._engine = Engine(self.host, self.params["socket"], self.params["timeout"])
        return self._engine

    @property
    def prefix(self):
        return "%s-%s" % (MARK, self.params["name"])

    def key(self):
        return "fault:docker:" + self.params["name"]

    def found(self):
        have = self._have()
        if not any(have.values()):
            return None
        return all(self._wanted(what) <= self._numbers(have, what) for what in have)

    def inject(self):
        try:
            self.engine.get("/images/%s/json" % part(self.params["image"]))
        except Refused as error:
            raise Failed("the image %s is not to be had: %s" % (self.params["image"], error.message))
        have = self._have()
        ways = (("containers", self._container), ("images", self._image), ("build_cache", self._cache))
        for what, make in ways:
            for number in sorted(self._wanted(what) - self._numbers(have, what)):
                make(number)

    def lift(self):
        have = self._have()
        for each in have["containers"]:
            self._gone("/containers/" + each["Id"], v="1", force="1")
        images = {each["Id"]: each for each in have["images"]}
        while images:  # what an image was built on goes after it
            below = {each["ParentId"] for each in images.values()}
            for name in [name for name in images if name not in below]:
                self._gone("/images/" + part(name), force="1", noprune="1")
                del images[name]
        for each in have["build_cache"]:
            self._drop(each)
        others = self._records()
        used = {name for each in others for name in parents(each)}
        bases = {name for each in have["build_cache"] for name in parents(each)} - used
        for each in others:
            if each["ID"] in bases and not each["Size"]:
                self._drop(each)

    def returns(self, have, now):
        return {what: len(self._numbers(found, what)) for found in [self._have()] for what in found}

    def _wanted(self, what):
        """Return the numbers of those of a kind that shall be there."""
        keep = {_KEEP} if self.params["keep"] and what != "build_cache" else set()
        return {str(number) for number in range(1, self.params[what] + 1)} | keep

    def _numbers(self, have, what):
        if what == "build_cache":
            texts = [each.get("Description") or "" for each in have[what]]
            return {text.split(self.prefix + "-cache-", 1)[1].split()[0] for text in texts}
        found = have[what]
        if what == "images":  # what they were built on carries the label, too
            found = [each for each in found if each["Size"] >= self.params["size"] >> 20 << 20]
        return {(each.get("Labels") or {}).get(_LABEL + ".number") for each in found}

    def _have(self):
        """Return all that is ours, by kind; nothing where no Docker runs and it shall be absent."""
        mine = json.dumps({"label": ["%s=%s" % (_LABEL, self.params["name"])]})
        try:
            containers = self.engine.get("/containers/json", all="1", filters=mine)
            images = self.engine.get("/images/json", all="1", filters=mine)
            cache = self._records()
        except Absent:
            if self.params["state"] == "absent":
                return {"containers": [], "images": [], "build_cache": []}
            raise
        mark = self.prefix + "-cache-"
        ours = [each for each in cache if mark in (each.get("Description") or "")]
        return {"containers": containers, "images": images, "build_cache": ours}

    def _records(self):
        return self.engine.get("/system/df").get("BuildCache") or []

    def _drop(self, record):
        self.engine.post("/build/prune", all="1", filters=json.dumps({"id": [record["ID"]]}))

    def _labels(self, number):
        found = ["%s=%s" % (_LABEL, self.params["name"]), "%s.number=%s" % (_LABEL, number)]
        return found + (["remedy.keep=yes"] if number == _KEEP else [])

    def _fill(self, name):
        count = max(1, self.params["size"] >> 20)
        return ["dd", "if=/dev/zero", "of=/" + name, "bs=1048576", "count=%d" % count]

    def _container(self, number):
        labels = ["--label=" + label for label in self._labels(number)]
        name = "%s-%s" % (self.prefix, number)
        words = ["run", "--name=" + name, "--network=none", "--pull=never"] + labels
        self._docker(words + [self.params["image"]] + self._fill(name))

    def _image(self, number):
        name = "%s-%s" % (self.prefix, number)
        tag = ["--tag=%s:1" % name] if number == _KEEP else []
        self._build(["LABEL " + " ".join(self._labels(number))], name, tag)

    def _cache(self, number):
        name = "%s-cache-%s" % (self.prefix, number)
        before = {each["ID"] for each in self._records()}
        # Its space is the cache's alone once the image is gone.
        self._build([], name, ["--tag=%s:1" % name], {"DOCKER_BUILDKIT": "1"})
        self._gone("/images/" + part(name + ":1"), force="1")
        for each in self._records():  # the empty context of the build bears no name
            if each["ID"] not in before and each.get("Type") == "source.local":
                self._drop(each)

    def _build(self, lines, name, options, environment=None):
        lines = ["FROM " + self.params["image"]] + lines + ["RUN " + " ".join(self._fill(name))]
        words = ["build", "--quiet", "--network=none", "--force-rm"] + options + ["-"]
        self._docker(words, "\n".join(lines).encode("utf-8"), environment)

    def _docker(self, words, input=None, environment=None):
        argv = ["docker", "--host=unix://" + self.params["socket"]] + words
        # A folder of its own: with BuildKit the client leaves something in root's.
        folder = tempfile.mkdtemp(prefix=MARK + "-", dir="/run")
        known = dict(environment or {}, DOCKER_CONFIG=folder)
        try:
            self.host.run(argv, input=input, environment=known, c_locale=True, timeout=self.host.left())
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _gone(self, path, **query):
        try:
            self.engine.remove(path, **query)
        except Refused as error:
            if error.status != 404:
                raise Failed("Docker does not remove %s: %s" % (path, error.message))
