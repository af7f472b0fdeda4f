"""Redis in lab hosts: its files as they came, a replica, TLS, clients that ask nothing; and who plays on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result

CONF = "/etc/redis/redis.conf"
_CLEAN = f"""
[ -e /root/golden.conf ] || cp -a {CONF} /root/golden.conf
chown redis:redis /var/lib/redis; chmod 750 /var/lib/redis  # it does not end while it cannot save
timeout 5 systemctl stop redis-server || systemctl kill -s KILL redis-server; systemctl stop redis-server
rm -rf /run/systemd/system/redis-server.service.d; systemctl daemon-reload; systemctl reset-failed redis-server || true
chown redis:redis /etc/redis; cp -a /root/golden.conf {CONF}
rm -rf /var/lib/redis/* /var/log/redis/*
printf '%s\\n' "$1" >> {CONF}
systemctl start redis-server
"""
_SLEEPERS = """
import os, socket, sys, time
held = []
for words in sys.argv[2:]:
    link = socket.create_connection(("127.0.0.1", 6379))
    link.sendall(words.encode().decode("unicode_escape").encode() + b"\\r\\n")
    held.append(link)
open(sys.argv[1], "w").close()
time.sleep(300)
"""


@dataclass(frozen=True)
class Cache:
    """A Redis in a lab host."""

    lab: Lab
    host: str

    @property
    def address(self) -> str:
        return self.lab.host(self.host).address

    def shell(self, script: str, *arguments: str, timeout: float = 60) -> str:
        """Run a shell script in the host."""
        return self.lab.run(
            self.host, ["sh", "-ec", script, "sh", *arguments], timeout=timeout
        ).stdout.strip()

    def cli(self, *words: str, **how: Any) -> str:
        """Ask the server."""
        return self.lab.run(self.host, ["redis-cli", *words], timeout=20, **how).stdout.strip()

    def clean(self, *lines: str) -> None:
        """Let it begin anew, with lines added to its file as it came."""
        self.shell(_CLEAN, "\n".join(lines))

    def setting(self, name: str) -> tuple[str, str]:
        """Return a setting's live value and its line in the file."""
        live = self.cli("config", "get", name).split("\n")[1]
        return live, self.shell(f"grep -E '^{name} ' {CONF} || true").partition(" ")[2]

    def fill(self, pattern: str, count: int) -> None:
        """Write keys; # stands for their number."""
        script = 'seq $2 | sed "s/.*/SET $1 value-&/" | redis-cli > /dev/null'
        self.shell(script, pattern.replace("#", "&"), str(count))

    def squeeze(self) -> None:
        """Let it be full: its limit becomes what it uses, live and in its file, once what filled it is cleared away."""
        ask = "redis-cli info memory | awk -F: '/^used_memory:/ {print $2 - 30000}'"
        steady = "[ $((is - was)) -lt 2000 ] && [ $((was - is)) -lt 2000 ]"
        wait = f"was=0; until is=$({ask}); {steady}; do was=$is; sleep .3; done"
        self.shell(f"{wait}; redis-cli config set maxmemory $is && redis-cli config rewrite")

    def keys(self, pattern: str) -> int:
        return int(self.shell('redis-cli --scan --pattern "$1" | wc -l', pattern))

    @contextmanager
    def clients(self, *commands: str, name: str = "test-sleepers") -> Iterator[None]:
        """Keep connections that have each sent one command, and ask nothing more; `name` tells several apart."""
        self.shell("rm -f /tmp/there")
        self.lab.run(
            self.host,
            ["systemd-run", "-q", f"--unit={name}", "python3", "-c", _SLEEPERS, "/tmp/there", *commands],
        )
        self.shell("for k in $(seq 200); do [ -e /tmp/there ] && exit 0; sleep .05; done; exit 1")
        try:
            yield
        finally:
            self.shell(f"systemctl stop {name}")


class Bench:
    """The operator, who plays single tasks and runbooks on hosts."""

    def __init__(self, folder: Path, lab: Lab, *caches: Cache) -> None:
        self.folder = folder
        self.caches = caches
        self.operator = Operator(folder, lab, *(lab.host(each.host) for each in caches), ansible_become=True)

    def tasks(
        self, *tasks: dict[str, Any], on: str | None = None, flags: tuple[str, ...] = ("--yes",)
    ) -> Result:
        """Play tasks; those that fail do not stop the others."""
        listed = [{**each, "ignore_errors": True} for each in tasks]
        book = [{"hosts": on or self.caches[0].host, "gather_facts": False, "tasks": listed}]
        path = self.operator.write("playbooks/tasks.yml", json.dumps(book))
        return self.operator.here("play", str(path), *flags)

    def one(self, module: str, *flags: str, on: str | None = None, **params: Any) -> dict[str, Any]:
        """Play one task; return what became of it."""
        (task,) = self.tasks({module: params}, on=on, flags=flags or ("--yes",)).report["tasks"]
        return dict(task)

    def runbook(
        self, name: str, *flags: str, on: str | None = None, command: str = "play", **values: Any
    ) -> Result:
        """Play or diagnose a runbook."""
        extra = ("-e", json.dumps(values)) if values else ()
        yes = ("--yes",) if command == "play" and not flags else ()
        return self.operator.here(command, name, "-l", on or self.caches[0].host, *yes, *flags, *extra)

    def rollback(self, run: Result, *flags: str) -> Result:
        """Take a run back, or look what that would be."""
        return self.operator.here("rollback", run.report["run"]["id"], *(flags or ("--yes",)))


def findings(result: Result) -> dict[str, dict[str, Any]]:
    """Return the findings by their ids."""
    return {each["id"]: each for each in result.report["findings"]}


def reason(result: Result) -> str:
    """Return why tasks failed."""
    return "; ".join(each["reason"] for each in result.report["tasks"] if each["status"] == "failed")
