"""The root trees of lab hosts, declared as layers; a role is a stack of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

SUITE = "bookworm"


@dataclass(frozen=True, slots=True)
class Layer:
    """Packages and files on top of the layers below; the same definition is built once and kept."""

    name: str
    packages: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → content; a path ending in `!` is made executable."""
    script: str = ""
    """Run by `sh -eu` as root in the tree, after packages and files."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a host is for."""

    layers: tuple[Layer, ...]
    """The lowest first."""
    nspawn: tuple[str, ...] = ()
    """More arguments for systemd-nspawn."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment of systemd-nspawn."""
    disks: Mapping[str, str] = field(default_factory=dict)
    """Mount point → size of an ext4 disk that every such host has, unless its spec says otherwise."""

    def folders(self) -> tuple[str, ...]:
        """Return the folder name of every layer: a layer depends on its definition and on those below it."""
        names: list[str] = []
        below = SUITE
        for layer in self.layers:
            definition = json.dumps([below, asdict(layer)], sort_keys=True)
            below = f"{layer.name}-{hashlib.sha256(definition.encode()).hexdigest()[:16]}"
            names.append(below)
        return tuple(names)


@dataclass(frozen=True, slots=True)
class User:
    """An account that every lab host has."""

    name: str
    uid: int
    home: str
    shell: str = "/bin/bash"
    what: str = ""


USERS = (
    User("root", 0, "/root", what="password for su, key for login"),
    User("admin", 2001, "/home/admin", what="sudo and doas without a password"),
    User("operator", 2002, "/home/operator", what="sudo and doas with a password"),
    User("plain", 2003, "/home/plain", what="may become nobody"),
    User("hung", 2004, "/home/hung", "/usr/local/bin/hung-shell", "a login shell that never answers"),
    User("app", 2005, "/home/app", what="an ordinary account to become"),
)

# Debian has a group `operator` already.
_ACCOUNTS = "\n".join(
    f"getent group {user.name} > /dev/null || groupadd --gid {user.uid} {user.name}\n"
    f"useradd --create-home --uid {user.uid} --gid {user.name} --shell {user.shell} {user.name}"
    for user in USERS
    if user.uid
)

# Timers would change hosts in the middle of a test; gettys only cost memory where there is no console.
_UNWANTED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service "
    "fstrim.timer systemd-pstore.service getty@tty1.service console-getty.service"
)

BASE = Layer(
    "base",
    packages=(
        *("systemd", "systemd-sysv", "dbus", "cron", "logrotate"),
        *("openssh-server", "sudo", "opendoas", "ca-certificates"),
        *("iproute2", "iputils-ping", "netbase"),
        *("procps", "psmisc", "lsof", "less", "acl", "attr", "e2fsprogs"),
        "python3",
    ),
    files={
        "/usr/local/bin/hung-shell!": "#!/bin/sh\n# A login that never answers.\nexec sleep infinity\n",
        "/etc/ssh/sshd_config.d/50-lab.conf": "UseDNS no\nPermitRootLogin yes\nPasswordAuthentication yes\n"
        "HostKey /etc/ssh/ssh_host_ed25519_key\n",
        "/etc/sudoers.d/admin": "admin ALL=(ALL:ALL) NOPASSWD: ALL\n",
        "/etc/sudoers.d/operator": "operator ALL=(ALL:ALL) ALL\n",
        "/etc/doas.conf": "permit nopass root\npermit nopass admin\npermit operator\n",
    },
    script=f"""
{_ACCOUNTS}
chmod 440 /etc/sudoers.d/admin /etc/sudoers.d/operator
chmod 400 /etc/doas.conf
rm -f /etc/ssh/ssh_host_*
systemctl disable -q {_UNWANTED}
systemctl mask -q console-getty.service
: > /etc/resolv.conf
: > /etc/hostname
: > /etc/machine-id
""",
)

APP = Layer("app", packages=("rsyslog", "nginx-light"))

DOCKER = Layer(
    "docker",
    packages=("docker.io", "iptables", "busybox-static"),
    files={
        "/etc/docker/daemon.json": '{"storage-driver": "overlay2", "log-driver": "json-file"}\n',
        # systemd-nspawn gives a host the cgroups of version 1 read-only, and only a bind remount makes them writable.
        "/etc/systemd/system/cgroup-rw.service": """[Unit]
Description=Make the cgroup hierarchies of version 1 writable
DefaultDependencies=no
Before=containerd.service docker.service sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'for name in memory pids cpu cpuacct cpuset blkio devices freezer; do \\
  [ ! -d /sys/fs/cgroup/$name ] || mount -o remount,bind,rw /sys/fs/cgroup/$name; done'
[Install]
WantedBy=sysinit.target
""",
        # Docker's folder is a fresh disk at each start, and no registry is asked for anything.
        "/etc/systemd/system/busybox-image.service": """[Unit]
Description=Import the image busybox:1
Requires=docker.service
After=docker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'docker image inspect busybox:1 > /dev/null 2>&1 \\
  || docker import -c "CMD /bin/sh" /usr/share/busybox.tar busybox:1'
[Install]
WantedBy=multi-user.target
""",
    },
    script="""
mkdir -p /tmp/image/bin
cp /bin/busybox /tmp/image/bin/
chroot /tmp/image /bin/busybox --install -s /bin
tar -C /tmp/image -cf /usr/share/busybox.tar .
rm -r /tmp/image
systemctl enable -q cgroup-rw busybox-image containerd docker
""",
)

DB = Layer(
    "db",
    packages=("mariadb-server",),
    files={
        "/etc/mysql/mariadb.conf.d/60-lab.cnf": """[mysqld]
bind-address = 0.0.0.0
skip_name_resolve = ON
log_bin = binlog
max_binlog_size = 1M
log_slave_updates = ON
gtid_strict_mode = ON
innodb_log_file_size = 8M
innodb_buffer_pool_size = 32M
innodb_flush_log_at_trx_commit = 2
key_buffer_size = 1M
""",
        # A server of its own in each host, without a file for each: the last number of its address.
        "/etc/systemd/system/mariadb.service.d/server-id.conf": """[Service]
ExecStartPre=/bin/sh -ec 'id=$(hostname -I | cut -d. -f4 | tr -dc 0-9); \
  printf "[mysqld]\\nserver_id = %%s\\nreport_host = %%s\\n" "$id" "$(hostname)" > /run/mysqld/lab.cnf'
""",
    },
    script="""
printf '!include /run/mysqld/lab.cnf\n' >> /etc/mysql/mariadb.conf.d/60-lab.cnf
rm -rf /var/lib/mysql/*
install -d -o mysql /run/mysqld
: > /run/mysqld/lab.cnf
mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket > /dev/null
rm -f /var/lib/mysql/binlog.*
rm -r /run/mysqld
systemctl enable -q mariadb
""",
)

POSTGRES = Layer(
    "postgres",
    packages=("postgresql",),
    files={
        "/var/tmp/lab.conf": """listen_addresses = '*'
max_connections = 20
shared_buffers = 16MB
max_wal_senders = 4
max_replication_slots = 4
min_wal_size = 32MB
max_wal_size = 64MB
wal_keep_size = 32MB
hot_standby_feedback = on
shared_preload_libraries = 'pg_stat_statements'
lc_messages = 'C'
""",
        # Accounts of other hosts need a password; so does a standby.
        "/var/tmp/hba.conf": "host all all 10.99.0.0/16 scram-sha-256\n"
        "host replication all 10.99.0.0/16 scram-sha-256\n",
    },
    script="""
version=$(ls /etc/postgresql)
configuration=/etc/postgresql/$version/main
mv /var/tmp/lab.conf $configuration/conf.d/lab.conf
cat /var/tmp/hba.conf >> $configuration/pg_hba.conf
rm /var/tmp/hba.conf
chown postgres:postgres $configuration/conf.d/lab.conf
systemctl enable -q postgresql
""",
)

QUEUE = Layer("queue", packages=("redis-server", "rabbitmq-server"))

ROLES: Mapping[str, Role] = {
    "base": Role((BASE,)),
    "app": Role((BASE, APP)),
    "db": Role((BASE, DB), disks={"/var/lib/mysql": "400M"}),
    "postgres": Role((BASE, POSTGRES), disks={"/var/lib/postgresql": "300M"}),
    "queue": Role((BASE, QUEUE)),
    "docker": Role(
        (BASE, DOCKER),
        # runc asks for a session keyring; iptables and the bridge need the host's own network, writable.
        nspawn=("--capability=CAP_NET_ADMIN", "--system-call-filter=add_key keyctl"),
        environment={"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
        disks={"/var/lib/docker": "300M"},  # overlays do not stack on the overlay that the root is
    ),
}
"""A new role is one line, such as `"cache": Role((BASE, Layer("cache", ("redis-server",))))`."""
