"""Units of PostgreSQL that should run a server and do not: Debian's postgresql@VERSION-NAME, others' postgresql-NN."""

import os
import re

from remedy.agent.kinds import Failed
from remedy.modules.target._systemd import Units, booted

CLUSTERS = "/etc/postgresql"
_UNIT = re.compile(r"postgresql(@\d[\w.]*-.+|-\d[\w.]*)?\.service$")
_ENABLED = ("enabled", "enabled-runtime", "generated", "linked")


def down(host, servers, unit, lines):
    """Return the units without a server: those that failed and, where no server runs, those that are to start."""
    clusters = {"postgresql@%s.service" % each.replace("/", "-", 1): each for each in _clusters()}
    here = [each for each in servers if not each["container"]]
    runs = {each["unit"] for each in here}
    if not booted():
        found = [_about(name, None) for name in sorted(clusters) if _auto(clusters[name]) and not here]
    else:
        wanted = unit if not unit or "." in unit else unit + ".service"
        found = []
        for name, status in _units(Units(host), clusters, wanted):
            about = _about(name, status)
            starts = _auto(clusters[name]) if name in clusters else about["enabled"] in _ENABLED
            meant = about["state"] == "failed" or (not here and (starts or name == wanted))
            if name not in runs and about["state"] in ("failed", "stopped") and meant:
                found.append(about)
    for each in found:
        each["log"] = _log(host, each["unit"], clusters.get(each["unit"]), lines)
    return found


def _units(units, clusters, wanted):
    """Give each unit that runs one server, with its properties; a unit that only groups others is left out."""
    names = set(clusters)
    for words in (["list-unit-files"], ["list-units", "--all", "--plain"]):
        _, out, _ = units.call(*(words + ["--type=service", "--no-legend", "--full", "postgresql*"]))
        names.update(line.split()[0] for line in out.splitlines() if line.split())
    names = {name for name in names if _UNIT.match(name)} | ({wanted} if wanted else set())
    seen = set()
    for name in sorted(names):
        try:
            status = units.show(name)
        except Failed:
            continue
        if status["LoadState"] == "loaded" and status.get("Type") != "oneshot" and status["Id"] not in seen:
            seen.add(status["Id"])
            yield status["Id"], status


def _about(name, status):
    status = status or {}
    state = "stopped"
    if status.get("SubState") == "auto-restart":
        state = "failed"
    elif status:
        known = {"active": "running", "reloading": "running", "activating": "starting", "failed": "failed"}
        state = known.get(status["ActiveState"], "stopped")
    return {
        "unit": name,
        "state": state,
        "result": status.get("Result"),
        "exit": status.get("ExecMainStatus"),
        "enabled": status.get("UnitFileState"),
    }


def _clusters():
    """Return Debian's clusters as VERSION/NAME."""
    found = []
    for version in _listed(CLUSTERS):
        for name in _listed(os.path.join(CLUSTERS, version)):
            if os.path.exists(os.path.join(CLUSTERS, version, name, "postgresql.conf")):
                found.append("%s/%s" % (version, name))
    return found


def _listed(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _auto(cluster):
    """Say whether a cluster is to start with the host; one without start.conf is."""
    lines = _last(os.path.join(CLUSTERS, cluster, "start.conf"), 100)
    words = [line.split("#")[0].strip() for line in lines]
    return [word for word in words if word][-1:] in ([], ["auto"])


def _log(host, unit, cluster, count):
    lines = []
    if count and booted():
        done = host.run(
            ["journalctl", "--unit=" + unit, "--lines=%d" % count, "--output=cat", "--no-pager", "--quiet"],
            ok=None,
            timeout=10,
            c_locale=True,
        )
        lines += done.stdout.decode("utf-8", "replace").splitlines()
    if cluster:
        lines += _last("/var/log/postgresql/postgresql-%s.log" % cluster.replace("/", "-", 1), count)
    return lines


def _last(path, count):
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return lines[-count:] if count else []
