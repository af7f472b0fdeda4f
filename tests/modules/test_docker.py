"""docker_prune and docker_usage on a real Docker: what is in use, labelled, named or young stays, the rest goes."""

import time

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import Talk, in_lab, in_python, params, run, step

from remedy.errors import InputError
from remedy.modules.target._docker import seconds

ROOT = "/var/lib/docker"
CONTAINERS = """
docker volume create data > /dev/null
docker volume create spare > /dev/null
docker volume create unused > /dev/null
docker network create lonely > /dev/null
docker network create joined > /dev/null
docker run -d --name web -v data:/data --network joined busybox:1 sleep 1000 > /dev/null
docker run --name done -v spare:/spare -v /nameless busybox:1 \\
  sh -c 'head -c 5000000 /dev/urandom > /big; yes | head -c 500000'  > /dev/null
docker run --name kept --label remedy.keep=1 busybox:1 true
docker create --name never busybox:1 > /dev/null
"""
IMAGES = """
image() { printf "FROM busybox:1\\nLABEL $2\\nRUN head -c $3 /dev/urandom > /$1\\n" | docker build -q $4 - ; }
image dangling stage=ci 6000000 > /dev/null
image labelled env=production 1000 > /dev/null
image named stage=ci 1000 "-t named:1 -t other/named:2" > /dev/null
image used stage=ci 1000 "-t used:1" > /dev/null
docker run -d --name busy used:1 sleep 1000 > /dev/null
docker rmi -f used:1 > /dev/null
"""
BUILD = """
printf 'FROM busybox:1\\nRUN head -c 4000000 /dev/urandom > /x\\nRUN head -c 3000000 /dev/urandom > /y\\n' \\
  | DOCKER_BUILDKIT=1 docker build -q -t kit:1 - > /dev/null 2>&1
docker rmi kit:1 > /dev/null
"""
CLEAN = """
systemctl start docker busybox-image
docker rm -fv $(docker ps -aq) > /dev/null 2>&1
docker volume rm $(docker volume ls -q) > /dev/null 2>&1
docker network rm lonely joined > /dev/null 2>&1
docker rmi -f named:1 other/named:2 > /dev/null 2>&1
docker image prune -f > /dev/null 2>&1
docker builder prune -af > /dev/null 2>&1
true
"""


@pytest.fixture(scope="module")
def made(lab, host_factory):
    host = host_factory("docks", role="docker").name
    lab.run(host, ["systemctl", "start", "busybox-image"])
    return host


@pytest.fixture
def host(lab, made):
    yield made
    lab.unfill(made, ROOT)
    sh(lab, made, CLEAN)


@pytest.fixture
def socket(lab, host):
    """Docker's socket as it is seen from outside of the host, for what must happen in the middle of a sweep."""
    return f"/proc/{lab.inside(host).first_process()}/root/run/docker.sock"


def sh(lab, host, script):
    return lab.run(host, ["sh", "-c", script]).stdout


def one(lab, host, module="docker_prune", **given):
    given.setdefault("older_than", 0)
    [frame] = in_lab(lab, host, step(module, **given))
    return frame


def there(lab, host, what):
    command = {
        "containers": "docker ps -a --format '{{.Names}}'",
        "images": "docker images --format '{{.Repository}}:{{.Tag}}'",
        "volumes": "docker volume ls --format '{{.Name}}'",
        "networks": "docker network ls --format '{{.Name}}'",
    }
    return set(sh(lab, host, command[what]).split())


def kept(frame):
    """{the word after the kind: reason}; for images the name."""
    return {entry["item"].split(" (")[0]: entry["reason"] for entry in frame["kept"]}


@pytest.mark.lab
def test_what_nobody_needs_goes_and_what_somebody_needs_stays(lab, host):
    sh(lab, host, CONTAINERS + IMAGES + BUILD)
    free = int(sh(lab, host, f"df --output=avail -B1 {ROOT} | tail -1"))
    seen = one(lab, host, "docker_usage", keep_labels=["remedy.keep", "env=production"])["result"]
    [predicted] = in_lab(
        lab,
        host,
        step("docker_prune", in_check=True, older_than=0, keep_labels=["remedy.keep", "env=production"]),
    )
    assert {"done", "never"} <= there(lab, host, "containers"), "check mode only looks"
    frame = one(lab, host, keep_labels=["remedy.keep", "env=production"])
    assert frame["status"] == "changed", frame["reason"]
    result = frame["result"]
    assert {item.split()[1] for item in result["containers"]} == {"done", "never"}
    assert there(lab, host, "containers") == {"web", "kept", "busy"}
    assert len(result["images"]) == 1
    assert len(result["build_cache"]) >= 2
    assert (result["volumes"], result["networks"]) == ([], [])
    assert {"named:1", "other/named:2", "busybox:1", "<none>:<none>"} == there(lab, host, "images")
    assert {"data", "spare", "unused"} < there(lab, host, "volumes"), "anonymous volumes stay too"
    assert len(there(lab, host, "volumes")) == 4
    assert {"lonely", "joined"} < there(lab, host, "networks")
    reasons = kept(frame)
    assert reasons["container web"] == "it is running"
    assert reasons["container kept"] == "it carries the label remedy.keep"
    assert reasons["image named:1, other/named:2"] == "it has a name"
    unnamed = {entry["reason"] for entry in frame["kept"] if entry["item"].startswith("image <none>")}
    assert {"it carries the label env=production", "container busy uses it"} <= unnamed
    # Two megabytes more or less: the journal of the file system, and Docker's own databases.
    now = int(sh(lab, host, f"df --output=avail -B1 {ROOT} | tail -1"))
    assert result["bytes_freed"] == pytest.approx(now - free, abs=2 << 20)
    assert result["bytes_freed"] > 17_000_000
    assert seen["reclaimable"] == pytest.approx(predicted["change"]["bytes_freed"], abs=1 << 16)
    assert seen["reclaimable"] == pytest.approx(result["bytes_freed"], abs=2 << 20)
    assert [each["container"] for each in seen["logs"]] == ["done"]
    assert {each["name"] for each in seen["volumes"]["unused"]} == {"unused"}
    again = one(lab, host, keep_labels=["remedy.keep", "env=production"])
    assert (again["status"], again["reason"]) == ("ok", "nothing to take")


@pytest.mark.lab
def test_volumes_and_networks_go_only_by_name_and_only_unused(lab, host):
    sh(lab, host, CONTAINERS)
    given = {"containers": False, "images": "none", "build_cache": False}
    names = {"volumes": ["data", "spare", "unused", "gone"], "networks": ["lonely", "joined", "bridge"]}
    frame = one(lab, host, **given, **names)
    assert frame["result"]["volumes"] == ["volume unused"]
    assert [item.split()[1] for item in frame["result"]["networks"]] == ["lonely"]
    assert frame["result"]["missing"] == ["gone"]
    reasons = kept(frame)
    assert reasons["volume data"] == reasons["network joined"] == "container web uses it"
    assert reasons["volume spare"] == "container done uses it", "a stopped container uses it too"
    assert reasons["network bridge"] == "it is Docker's own"
    assert {"done", "never"} <= there(lab, host, "containers")
    assert one(lab, host, **given, **names)["status"] == "ok"


@pytest.mark.lab
def test_ages_labels_and_unused_images_with_names(lab, host):
    sh(lab, host, CONTAINERS + IMAGES + BUILD)
    frame = one(lab, host, older_than="1h")
    assert frame["status"] == "ok"
    assert kept(frame)["container done"].startswith("only ")
    assert kept(frame)["container never"].startswith("only ")
    nothing = one(lab, host, "docker_usage", older_than="1h")["result"]
    assert (nothing["reclaimable"], nothing["containers"]["takes"]) == (0, [])
    chosen = one(lab, host, labels=["stage=ci"], images="all_unused")
    assert chosen["result"]["containers"] == chosen["result"]["build_cache"] == []
    assert there(lab, host, "images") == {"busybox:1", "<none>:<none>"}, "both names of an image go"
    assert kept(chosen)["container done"] == "it does not carry the label stage=ci"
    reasons = kept(one(lab, host, images="all_unused", containers=False, build_cache=False))
    assert reasons["image busybox:1"].startswith("container ")


@pytest.mark.lab
def test_a_container_started_or_an_image_named_meanwhile_is_left(lab, host, socket):
    sh(lab, host, "docker run --name again busybox:1 true; docker run --name once busybox:1 true")
    sh(lab, host, "printf 'FROM busybox:1\\nRUN touch /new\\n' | DOCKER_BUILDKIT=0 docker build -q -")
    talk = Talk()
    talk.before_word = lambda: sh(
        lab, host, "docker start again; docker tag $(docker images -qf dangling=true) saved:1"
    )
    frame = run("docker_prune", talk=talk, socket=socket, older_than=0, keep_labels=[])
    sh(lab, host, "docker image inspect saved:1 && docker rmi saved:1")
    assert [item.split()[1] for item in frame["result"]["containers"]] == ["once"]
    assert there(lab, host, "containers") == {"again"}
    reasons = {entry["item"].split(" (")[0]: entry["reason"] for entry in frame["kept"]}
    assert reasons["container again"] in (
        "it changed since it was looked at",
        "it was started since it was looked at",
    )
    assert reasons["image <none>"] == "it changed since it was looked at"
    assert frame["result"]["images"] == []


@pytest.mark.lab
def test_build_cache_that_a_build_used_meanwhile_is_left(lab, host, socket):
    sh(lab, host, BUILD)
    # A build renews the time of what it uses, and that is told apart from half a second on.
    used = time.monotonic()
    talk = Talk()

    def build_again():
        sh(lab, host, f"sleep {max(0.0, used + 1 - time.monotonic())}; {BUILD}")

    talk.before_word = build_again
    frame = run("docker_prune", talk=talk, socket=socket, older_than=0, images="none")
    assert (frame["status"], frame["reason"]) == ("ok", "every item had changed or was gone")
    left = {entry["reason"] for entry in frame["kept"] if entry["item"].startswith("build cache")}
    assert "BuildKit keeps it: it is in use, or was used since" in left


@pytest.mark.lab
def test_a_full_disk_is_freed(lab, host):
    sh(lab, host, CONTAINERS + IMAGES + BUILD)
    lab.fill(host, ROOT)
    assert lab.run(host, ["sh", "-c", f"echo x > {ROOT}/x"], ok=None).code != 0
    frame = one(lab, host, images="all_unused")
    assert frame["status"] == "changed", frame["reason"]
    assert frame["result"]["bytes_freed"] > 15_000_000
    assert there(lab, host, "containers") == {"web", "kept", "busy"}
    assert sh(lab, host, "docker run --rm busybox:1 echo alive") == "alive\n"


@pytest.mark.lab
def test_a_daemon_that_hangs_holds_nobody_up(lab, host):
    sh(lab, host, "kill -STOP $(pidof dockerd)")
    try:
        begun = time.monotonic()
        frame = one(lab, host, timeout=1)
        usage = one(lab, host, "docker_usage", timeout=1)["result"]
        assert time.monotonic() - begun < 12
    finally:
        sh(lab, host, "kill -CONT $(pidof dockerd)")
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "timeout")
    assert frame["reason"].startswith(
        "Docker at /var/run/docker.sock did not answer within 1 s (GET /version)"
    )
    assert usage["available"] is False
    assert usage["reason"] == frame["reason"]


@pytest.mark.lab
def test_a_daemon_that_hangs_in_the_middle_is_asked_once(lab, host, socket):
    sh(lab, host, "for name in one two three four; do docker create --name $name busybox:1; done")
    talk = Talk()
    talk.before_word = lambda: sh(lab, host, "kill -STOP $(pidof dockerd)")
    begun = time.monotonic()
    try:
        frame = run("docker_prune", talk=talk, socket=socket, older_than=0, timeout=1)
    finally:
        sh(lab, host, "kill -CONT $(pidof dockerd)")
    assert time.monotonic() - begun < 9, "3 s, times 3, for four containers"
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "timeout")


@pytest.mark.lab
def test_every_python_talks_to_docker(lab, host, socket):
    sh(lab, host, "docker create --name never busybox:1")
    given = {"socket": socket, "older_than": 0}
    asked = step("docker_usage", **given), step("docker_prune", in_check=True, **given)
    for interpreter in interpreters():
        usage, prune = in_python(interpreter, *asked)
        assert usage["result"].get("version"), (interpreter, usage)
        assert len(prune["result"]["containers"]) == 1, (interpreter, prune)


@pytest.mark.lab
def test_a_stopped_daemon_is_not_started_by_a_look(lab, host):
    sh(lab, host, "systemctl stop docker 2> /dev/null")
    usage = one(lab, host, "docker_usage")["result"]
    assert usage["available"] is False
    assert usage["reason"].startswith("Docker is not running")
    assert one(lab, host)["reason"] == usage["reason"]
    assert sh(lab, host, "systemctl is-active docker || true") == "inactive\n"


@pytest.mark.lab
def test_an_ordinary_user_is_told_what_is_missing(lab, host):
    [frame] = in_lab(lab, host, step("docker_prune"), user="plain")
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "permission")
    assert "only by root and the group docker; add become: true" in frame["reason"]


def test_where_there_is_no_docker(tmp_path):
    path = str(tmp_path / "docker.sock")
    frame = run("docker_prune", socket=path)
    assert (
        frame["reason"] == f"there is no Docker socket at {path}; where Docker listens elsewhere, give socket"
    )
    assert run("docker_usage", socket=path)["result"]["available"] is False


def test_with_a_wrong_clock_nothing_goes_by_age(tmp_path):
    frame = run("docker_prune", socket=str(tmp_path / "none"), internal={"clock_skew": 172800.0})
    assert frame["reason"].startswith("the host's clock is 172800 s off")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"volumes": ["data-*"]}, "'data-\\*' is no name: volumes and networks are named one by one"),
        ({"containers": False, "images": "none", "build_cache": False}, "nothing is chosen"),
        ({"older_than": -5}, "older_than cannot be less than 0"),
        ({"images": "all"}, "must be one of none, dangling, all_unused"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(args, text):
    with pytest.raises(InputError, match=text):
        params("docker_prune", **args)


def test_dockers_times():
    assert seconds("1970-01-01T00:01:00.5Z") == 60.5
    assert seconds("2026-11-22T03:00:00.123456789+02:00") == pytest.approx(
        seconds("2026-11-22T01:00:00.123456789Z")
    )
    assert seconds("0001-01-01T00:00:00Z") is None
    assert seconds(None) is None
