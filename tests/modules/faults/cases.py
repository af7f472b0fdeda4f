"""Every fault once: where it is made, with what, and how one sees that the host is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remedy.lab import Disk, HostSpec

SHOP, BASE, SHIPS, CACHE, ROWS = "faulty", "faulty-db", "faulty-docker", "faulty-cache", "faulty-pg"
HOSTS = (
    HostSpec(SHOP, role="app", root_size="64M", disks={"/var/log": Disk("96M", inodes=2000)}),
    HostSpec(BASE, role="db"),
    HostSpec(SHIPS, role="docker"),
    HostSpec(CACHE, role="cache"),
    HostSpec(ROWS, role="postgres"),
)


@dataclass(frozen=True)
class Case:
    """One fault; `broken` and `heals` are shell scripts that end well where it is there, and that take a part away."""

    module: str
    params: dict[str, Any]
    broken: str
    host: str = SHOP
    heals: str = ""


STAYS = {
    CACHE: ("/var/lib/redis", "/var/log/redis"),
    BASE: ("/var/lib/mysql",),
    ROWS: ("/var/lib/postgresql", "/var/log/postgresql"),
    SHIPS: ("/var/lib/docker", "/var/lib/containerd"),
}
"""What lives by itself, and what faults say that they leave behind."""
NGINX = "systemctl start nginx"
DRILL = "/var/log/remedy-drill"
PSQL = "cd /; runuser -u postgres -- psql -AtX postgres -c"
FULL = "if head -c 8K /dev/zero > {0} 2> /dev/null; then exit 1; else rm {0}; fi"

CASES = {
    "a full disk": Case(
        "fault_disk_full",
        {"path": "/var/log"},
        FULL.format("/var/log/more"),
    ),
    "a disk full but for a rest": Case(
        "fault_disk_full",
        {"path": "/var/log", "leave": "20M", "name": "ballast"},
        "df --output=avail -BK /var/log | grep -Eq '(19|20)[0-9]{3}K'",
    ),
    "a root full by percent": Case(
        "fault_disk_full", {"path": "/", "percent": "93%"}, "df --output=pcent / | grep -Eq '93|94'"
    ),
    "a root without a byte": Case("fault_disk_full", {"path": "/"}, FULL.format("/more")),
    "no inodes": Case("fault_inodes_full", {"path": "/var/log"}, "! touch /var/log/more 2> /dev/null"),
    "a deleted log": Case(
        "fault_deleted_open",
        {"size": "10M"},
        "pid=$(systemctl show -P MainPID remedy-drill-deleted-app); kill -USR1 $pid; "
        "stat -L -c %s /proc/$pid/fd/* | grep -Eq '^1048[0-9]{4}$'",
        heals="truncate -s 0 /proc/$(systemctl show -P MainPID remedy-drill-deleted-app)/fd/3",
    ),
    "logs": Case(
        "fault_logs",
        {"rotated": 3, "size": "1M", "age": "9d", "live": "2M"},
        f"test $(find {DRILL} -name '*.log.*' -mtime +8 -size +1023k | wc -l) = 3; "
        "systemctl -q is-active remedy-drill-log-app",
        heals=f"cd {DRILL}; rm *.log.2; gzip *.log.1; : > remedy-drill-app.log",
    ),
    "numbered lines": Case(
        "fault_log_writer",
        {"fill": "2M", "rate": 50, "reopens": True},
        f"cd {DRILL}; mv *-lines.log old.log; systemctl kill -s HUP remedy-drill-lines-lines; "
        "until test -s remedy-drill-lines.log; do sleep .02; done; "
        "head -1 old.log | grep -q ^000000000001; test $(wc -c < old.log) -ge 2097152; rm old.log",
        heals=f"cd {DRILL}; gzip -k *-lines.log; : > remedy-drill-lines.log",
    ),
    "old files": Case(
        "fault_old_files",
        {"path": "/tmp", "files": 5, "size": "10K"},
        "test $(find /tmp/remedy-drill-old -type f -mtime +29 -atime +29 | wc -l) = 5",
        heals="rm /tmp/remedy-drill-old/old-000003",
    ),
    "many old files": Case(
        "fault_old_files",
        {"path": "/var/log", "files": 1500, "size": 0, "ending": ".log.1", "name": "jobs"},
        "df --output=ipcent /var/log | grep -Eq '7[0-9]'",
    ),
    "journals": Case(
        "fault_journal",
        {"files": 3},
        "journalctl --disk-usage | grep -Eq 'take up (2[4-9]|3)'; journalctl --verify -q; "
        "journalctl -q -n 1 --file '/var/log/journal/*/remedy-drill*' > /dev/null",
        heals="rm $(ls /var/log/journal/*/remedy-drill* | head -1)",
    ),
    "binary logs": Case(
        "fault_binlogs",
        {"size": "6M", "age": "5d"},
        "test $(find /var/lib/mysql -name 'binlog.0*' -mtime +4 | wc -l) -ge 4",
        host=BASE,
        heals="mariadb -e 'RESET MASTER'",
    ),
    "slow writes": Case(
        "fault_mysql_writes",
        {"insert": [1, 2], "transactions": 20, "pause": 0.01},
        "test $(mariadb -NBe 'SELECT COUNT(*) FROM remedy_drill_writes.kv') = 10; "
        "test $(mariadb -NBe \"SELECT COUNT(*) FROM remedy_drill_writes.kv WHERE note = 'remedy-drill0'\") = 8",
        host=BASE,
        heals="mariadb -e 'DELETE FROM remedy_drill_writes.kv WHERE id < 1001'",
    ),
    "what Docker heaps up": Case(
        "fault_docker",
        {"containers": 1, "images": 1, "build_cache": 1, "size": "1M", "keep": True},
        "docker ps -a --format '{{.Names}} {{.State}}' | grep -q 'drill-leavings-1 exited'; "
        "docker images -q --filter dangling=true --filter label=remedy.drill | grep -q .; "
        "docker image inspect remedy-drill-leavings-keep:1 | grep -q remedy.keep; "
        "docker system df | grep 'Build Cache' | grep -q 1.049MB",
        host=SHIPS,
        heals="docker container prune -f --filter label!=remedy.keep > /dev/null; docker image prune -f > /dev/null",
    ),
    "a cache without memory": Case(
        "fault_redis_memory",
        {"maxmemory": "4M"},
        "redis-cli set shop 1 | grep -q OOM; redis-cli set shop $(head -c 9000 /dev/zero | tr '\\0' x) | grep -q OOM; "
        "test $(redis-cli --scan --pattern 'remedy-drill:memory:*' | wc -l) -gt 50",
        host=CACHE,
        heals="redis-cli config set maxmemory 8mb > /dev/null",
    ),
    "a cache without a free connection": Case(
        "fault_redis_clients",
        {"maxclients": 40},
        "redis-cli ping 2>&1 | grep -q 'max number of clients'",
        host=CACHE,
    ),
    "a service that stopped": Case("fault_service", {"name": "nginx"}, "! systemctl -q is-active nginx"),
    "a service that was killed": Case(
        "fault_service",
        {"name": "nginx", "how": "kill"},
        "systemctl -q is-failed nginx",
        heals=NGINX,
    ),
    "a service that hangs": Case(
        "fault_service",
        {"name": "nginx", "how": "hang"},
        "systemctl -q is-active nginx; grep -q '^State:.T' /proc/$(systemctl show -P MainPID nginx)/status",
        heals="systemctl kill -s CONT nginx",
    ),
    "a crash loop of its own": Case(
        "fault_crash_loop",
        {"pause": "100ms"},
        "until test $(systemctl show -P NRestarts remedy-drill-crash) -ge 2; do sleep 0.05; done",
        heals="systemctl stop remedy-drill-crash",
    ),
    "a service in a crash loop": Case(
        "fault_crash_loop",
        {"name": "nginx", "pause": "100ms"},
        "until test $(systemctl show -P NRestarts nginx) -ge 2; do sleep 0.05; done",
        heals="systemctl stop nginx",
    ),
    "a taken port": Case("fault_port", {"port": 8081}, "ss -Hltn 'sport = 8081' | grep -q LISTEN"),
    "a broken configuration": Case(
        "fault_config",
        {"path": "/etc/nginx/nginx.conf", "line": "this is no directive"},
        "! nginx -tq 2> /dev/null",
        heals="sed -i '/no directive/d' /etc/nginx/nginx.conf",
    ),
    "a hung mount": Case(
        "fault_hung_mount",
        {},
        "stat /mnt/remedy-drill > /dev/null 2>&1 & cd /proc/$!; until grep -q request_wait wchan; do sleep 0.02; done; "
        "kill -KILL $!; until grep -q '^State:.D' status; do sleep 0.02; done",
    ),
    "no connection to PostgreSQL": Case(
        "fault_postgres_connections",
        {"name": "pool"},
        f"{PSQL} \"SELECT count(*) FROM pg_stat_activity WHERE usename = 'remedy_drill_pool'\" | grep -qx 17",
        host=ROWS,
        heals=f"{PSQL} \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'remedy_drill%'\"",
    ),
    "transactions of PostgreSQL that nobody ends": Case(
        "fault_postgres_connections",
        {"name": "forgotten", "sessions": 3, "doing": "transaction", "rows": 5},
        f"{PSQL} \"SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
        "AND backend_xid IS NOT NULL\" | grep -qx 3",
        host=ROWS,
    ),
    "a slot of PostgreSQL that nobody uses": Case(
        "fault_postgres_slot",
        {"name": "gone", "size": "20M"},
        f"{PSQL} \"SELECT active, pg_current_wal_lsn() - restart_lsn >= 20971520 FROM pg_replication_slots\" "
        "| grep -qxF 'f|t'",
        host=ROWS,
    ),
}
