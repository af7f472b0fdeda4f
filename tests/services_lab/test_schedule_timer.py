"""Schedules started by a real systemd, on a lab host that plays on other lab hosts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.notify.listening import Web, web_server
from tests.services_lab.timekeeping import MARK, PROJECT, STATE, Keeper

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

HISTORY = "/srv/records"
TOKEN = "9f86d081884c7d65"
# What the play's own machine lets it do: where it may write, and with which privileges it is.
PROBE = f"""\
#!/bin/sh
for path in /etc/probed /usr/probed {PROJECT}/probed {STATE}/probed {HISTORY}/probed; do
    (: > "$path") 2> /dev/null && echo "wrote $path"
done
touch {PROJECT}/probed 2>&1
grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status
sudo -n true 2> /dev/null && echo "became root"
unshare --user true 2> /dev/null && echo "made a namespace"
ls -A /tmp
exit 0
"""
PROBED = f"""\
{MARK}\
    - copy: {{dest: /srv/probed, content: "{{{{ lookup('pipe', '/usr/local/bin/probe') }}}}"}}
"""


@pytest.fixture(scope="module")
def keeper(lab: Lab, host_factory: HostFactory) -> Keeper:
    host_factory("clock")
    host_factory("web1")
    keeper = Keeper(lab, "clock", ("web1",))
    keeper.furnish()
    keeper.put(f"{PROJECT}/playbooks/mark.yml", MARK)
    keeper.put(f"{PROJECT}/playbooks/probed.yml", PROBED)
    # Outside the state folder, which is all that the sandbox lets it write else.
    keeper.run("install", "-d", "-o", "admin", "-m", "0700", HISTORY)
    keeper.put("/usr/local/bin/probe", PROBE, 0o755)
    keeper.put("/tmp/somebody-elses", "x")
    # Without the sandbox it can do all that.
    can = keeper.run("sh", "-c", "/usr/local/bin/probe; rm -f $(find /srv /var/lib -name probed)", user="admin")
    assert {f"wrote {PROJECT}/probed", "became root", "somebody-elses", "NoNewPrivs:\t0"} <= set(can.split("\n"))
    keeper.put(f"{PROJECT}/remedy.yml", f"history: sqlite:///{HISTORY}/history.db\n")
    return keeper


@pytest.fixture
def web(lab: Lab, keeper: Keeper) -> Iterator[Web]:
    """A server that the timekeeper's host reaches; its address and that of a dead one are files that root may read."""
    with web_server(address=lab.network.gateway) as (web, port):
        keeper.put("/root/ops", f"json://{lab.network.gateway}:{port}/{TOKEN}\n", 0o600)
        keeper.put("/root/dead", f"json://{lab.network.gateway}:9/{TOKEN}\n", 0o600)
        said = {name: {"url_file": f"$CREDENTIALS_DIRECTORY/{name}", "events": "always"} for name in ("ops", "dead")}
        keeper.put(f"{PROJECT}/notifications.yml", yaml.safe_dump(said))
        yield web


def _add(keeper: Keeper, name: str, playbook: str, *when: str, **words: object) -> None:
    document = {"playbook": playbook, "mode": "play", "when": list(when), "zone": "UTC", **words}
    keeper.put(f"{PROJECT}/schedules/{name}.yml", yaml.safe_dump(document))
    keeper.remedy("schedule", "add", name, "--private-key", "/root/lab_key")
    keeper.run("chown", "-R", "admin:admin", STATE, HISTORY, PROJECT)


def _marks(keeper: Keeper) -> list[int]:
    text = keeper.lab.run("web1", ["sh", "-c", "cat /srv/times 2>/dev/null || :"]).stdout
    return [int(line) for line in text.split()]


def _export(keeper: Keeper, name: str, *words: str) -> str:
    done = keeper.remedy("schedule", "export", name, "--systemd", "--install", "--run-as", "admin",
                         "--private-key", "/root/lab_key", *words)  # fmt: skip
    return str(done.stderr)


@pytest.mark.soak
def test_a_timer_fires_plays_on_another_host_and_tells(keeper: Keeper, web: Web) -> None:
    _add(keeper, "minutely", "probed", "every 1 minute", notify=["ops", "dead"])
    given = ("--credential", "ops=/root/ops", "--credential", "dead=/root/dead")
    said = _export(keeper, "minutely", *given)
    assert "remedy-ops-minutely.timer is at work, next at" in said
    units = [f"/etc/systemd/system/remedy-ops-minutely.{ending}" for ending in ("timer", "service")]
    keeper.lab.run(keeper.name, ["systemd-analyze", "verify", *units])
    assert "as it was" in _export(keeper, "minutely", *given)

    keeper.until(
        "a timer that fired twice",
        lambda: [e for e in keeper.past("minutely") if e["state"] == "done"][1:],
        210,
    )
    keeper.run("systemctl", "stop", "remedy-ops-minutely.timer")
    keeper.until("the end of the last run", keeper.idle, 60)
    told = keeper.past("minutely")
    shown = ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "Result", "ExecMainStatus")
    service = keeper.run("systemctl", "show", *(f"-p{each}" for each in shown), units[1].rpartition("/")[2])
    said = keeper.run("journalctl", "-q", "-o", "cat", "-u", "remedy-ops-minutely.service")
    keeper.remedy("schedule", "remove", "minutely")

    done = [entry for entry in told if entry["state"] == "done"]
    assert {entry["exit_code"] for entry in done} == {0}  # though one of those to be told is dead
    first = done[-1]
    assert first["due"].endswith(":00Z")
    assert first["holder"].startswith("admin@clock")
    assert len(_marks(keeper)) == len(done)
    # The run is in the journal as any other one, made by the account that the service runs as.
    page = keeper.remedy("history", first["run"], user="admin").stdout
    assert "web1: lineinfile: file:/srv/times" in page
    journal = keeper.lab.run(
        keeper.name, ["sh", "-c", f"cat {STATE}/runs/{first['run']}/*.jsonl"], user="admin"
    )
    assert '"schedule","run","minutely","--due","now"' in journal.stdout.replace(" ", "")
    # The key and the addresses were never readable for that account.
    for name in ("lab_key", "ops", "dead"):
        assert keeper.lab.run(keeper.name, ["cat", f"/root/{name}"], user="admin", ok=None).code != 0
    assert keeper.lab.run(keeper.name, ["ls", *units], ok=None).code != 0

    # Each due time that ran is told once, and whoever cannot be told is said, without the address.
    runs = [body for _, body in web.bodies if not body["title"].startswith("minutely: skipped: ")]
    assert len(runs) == len(done)
    lines = [line for body in runs for line in body["message"].splitlines()]
    bodies = Counter(line.partition(", due ")[2] for line in lines if line.startswith("schedule minutely, due "))
    wanted = Counter(datetime.fromisoformat(entry["due"]).strftime("%Y-%m-%d %H:%M UTC") for entry in done)
    assert bodies == wanted
    assert {path for path, _ in web.bodies} == {f"/{TOKEN}"}
    assert said.count("'dead' was not told: ") == len(web.bodies)
    assert "'ops' was not told" not in said
    assert TOKEN not in said

    # It is in its sandbox: the history elsewhere was written, and nothing else but the state folder can be.
    assert set(service.split()) == {
        "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=read-only", "PrivateTmp=yes",
        "Result=success", "ExecMainStatus=0",
    }  # fmt: skip
    assert keeper.lab.run(keeper.name, ["test", "-e", f"{STATE}/history.db"], ok=None).code != 0
    assert keeper.run("find", "/etc", "/usr", PROJECT, "-name", "probed") == ""
    probed = keeper.lab.run("web1", ["cat", "/srv/probed"]).stdout
    lines = probed.split("\n")
    assert [line for line in lines if line.startswith("wrote ")] == [
        f"wrote {STATE}/probed", f"wrote {HISTORY}/probed"
    ]  # fmt: skip
    assert f"{PROJECT}/probed': Read-only file system" in probed
    assert "NoNewPrivs:\t1" in lines
    assert "Seccomp:\t2" in lines
    assert "CapBnd:\t0000000000000000" in lines
    assert "became root" not in lines
    assert "made a namespace" not in lines
    assert "somebody-elses" not in lines


@pytest.mark.soak
def test_powered_off_over_three_times_a_missed_one_runs_inside_a_window_alone(keeper: Keeper) -> None:
    """Two schedules due three times while it is off: the window of one is closed at the boot, the other's is open."""
    keeper.lab.run("web1", ["rm", "-f", "/srv/times"])
    first = (datetime.now(UTC) + timedelta(seconds=105)).replace(second=0, microsecond=0)
    dues = [first + timedelta(minutes=number) for number in range(3)]
    closes = first + timedelta(minutes=3)
    when = [f"daily at {due:%H:%M}" for due in dues]
    for name, end in (("night", closes), ("day", first + timedelta(hours=2))):
        window = f"daily {first:%H:%M} to {end:%H:%M}"
        _add(keeper, name, "mark", *when, windows=[window], missed="once", grace="10s")
        _export(keeper, name)
    keeper.power_off()
    assert datetime.now(UTC) < first, "it took too long to come so far"
    time.sleep((closes + timedelta(seconds=5) - datetime.now(UTC)).total_seconds())
    keeper.power_on()
    booted = datetime.now(UTC)
    assert _marks(keeper) == []

    # Both are looked at two minutes after the boot.
    keeper.until(
        "timers that fired after the boot",
        lambda: len(keeper.past("night")) == 3 and any(e["state"] == "done" for e in keeper.past("day")),
        240,
    )
    keeper.until("the end of what was started", keeper.idle, 60)
    night, day = keeper.past("night")[::-1], keeper.past("day")[::-1]
    for name in ("night", "day"):
        keeper.remedy("schedule", "remove", name)
    for told in (night, day):
        assert [datetime.fromisoformat(entry["due"]) for entry in told] == dues
        assert all(str(entry["reason"]).startswith("the machine was off") for entry in told[:2])
    assert [entry["state"] for entry in night] == ["missed"] * 3
    assert "the machine was off" in night[2]["reason"]
    assert "outside its windows" in night[2]["reason"]
    assert [(entry["state"], entry["exit_code"]) for entry in day] == [("missed", None)] * 2 + [("done", 0)]
    assert "late (the machine was off" in day[2]["reason"]
    assert day[2]["reason"].endswith("inside its window")
    (mark,) = _marks(keeper)
    assert mark > booted.timestamp()
