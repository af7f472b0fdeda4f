"""The root trees of lab hosts, declared as layers; a role is a stack of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

SUITE = "bookworm"
NEWER = "trixie"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Packages of another Debian suite, unpacked into a folder of their own: nothing of the host's own files changes.

    They are not configured: what their maintainer scripts would do is for the layer's script.
    """

    suite: str
    packages: tuple[str, ...]
    folder: str


@dataclass(frozen=True, slots=True)
class Layer:
    """Packages and files on top of the layers below; the same definition is built once and kept."""

    name: str
    packages: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → content; a path ending in `!` is made executable."""
    script: str = ""
    """Run by `sh -eu` as root in the tree, after packages and files."""
    foreign: Foreign | None = None
    suite: str | None = None
    """Of the lowest layer: the Debian suite it is made of, where it is not SUITE."""


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
            # What a layer does not use is not part of its name: a new field leaves the trees that are built.
            fields = {name: value for name, value in asdict(layer).items() if value is not None}
            definition = json.dumps([below, fields], sort_keys=True)
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

DISKS = Layer("disks", packages=("fdisk", "xfsprogs", "btrfs-progs", "rsyslog"))

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

# MySQL comes from Debian's unstable suite alone, and its libraries are too new for the host. So server and clients see
# another /usr, and are in everything else (users, folders, sockets, root) programs of the host.
MYSQL = Layer(
    "mysql",
    packages=(),
    foreign=Foreign("sid", ("mysql-server-core", "mysql-client-core", "libc-bin"), "/opt/mysql"),
    files={
        "/etc/mysql/my.cnf": """[mysqld]
datadir = /var/lib/mysql
socket = /run/mysqld/mysqld.sock
pid_file = /run/mysqld/mysqld.pid
log_error = /var/log/mysql/error.log
plugin_load_add = auth_socket.so
bind_address = 0.0.0.0
admin_address = 127.0.0.1
skip_name_resolve = ON
mysqlx = OFF
secure_file_priv = NULL
gtid_mode = ON
enforce_gtid_consistency = ON
log_bin = binlog
max_binlog_size = 1M
innodb_redo_log_capacity = 16M
innodb_buffer_pool_size = 32M
innodb_flush_log_at_trx_commit = 2
table_open_cache = 400
[client]
socket = /run/mysqld/mysqld.sock
!includedir /etc/mysql/conf.d/
""",
        # As in the role `db`: the last number of its address, and its name.
        "/etc/systemd/system/mysql-number.service": """[Unit]
Description=Number and name of the MySQL server
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'id=$(hostname -I | cut -d. -f4 | tr -dc 0-9); \\
  printf "[mysqld]\\nserver_id = %%s\\nreport_host = %%s\\n" "$id" "$(hostname)" > /etc/mysql/conf.d/lab.cnf'
""",
        "/etc/systemd/system/mysql.service": """[Unit]
Description=MySQL
Requires=mysql-number.service
After=network.target mysql-number.service
[Service]
Type=notify
User=mysql
Group=mysql
RuntimeDirectory=mysqld
RuntimeDirectoryMode=755
BindReadOnlyPaths=/opt/mysql/usr:/usr
ExecStart=/usr/sbin/mysqld
TimeoutSec=120
Restart=on-failure
LimitNOFILE=10000
[Install]
WantedBy=multi-user.target
""",
        "/usr/local/bin/mysql!": """#!/bin/sh
# The other suite's program with its own libraries.
usr=/opt/mysql/usr
exec $usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $usr/lib/x86_64-linux-gnu $usr/bin/${0##*/} "$@"
""",
    },
    script="""
for name in mysqladmin mysqlbinlog mysqldump; do ln -s mysql /usr/local/bin/$name; done
useradd --system --user-group --home-dir /nonexistent --shell /bin/false mysql
install -d -m 755 /etc/mysql/conf.d
install -d -o mysql -g mysql -m 750 /var/lib/mysql /var/log/mysql
# Plugins are not there yet, so the account is written as a row.
echo "UPDATE mysql.user SET plugin = 'auth_socket' WHERE user = 'root';" > /tmp/root.sql
unshare --mount sh -eu -c 'mount --bind /opt/mysql/usr /usr; exec /usr/sbin/mysqld --user=mysql --skip-log-bin \\
  --initialize-insecure --init-file=/tmp/root.sql' || { cat /var/log/mysql/error.log >&2; exit 1; }
rm -f /tmp/root.sql /var/log/mysql/error.log /var/lib/mysql/auto.cnf /var/lib/mysql/binlog.*
systemctl enable -q mysql
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

CACHE = Layer(
    "cache",
    packages=("redis-server",),
    script="""
# Another host may be its replica; the rest is Debian's, with its save points.
sed -i -e 's/^bind .*/bind 0.0.0.0/' -e 's/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf
systemctl enable -q redis-server
""",
)

_ROLES: Mapping[str, Role] = {
    "base": Role((BASE,)),
    "app": Role((BASE, APP)),
    # A root that may end connections, as on any machine: the network is the host's own.
    "db": Role((BASE, DB), nspawn=("--capability=CAP_NET_ADMIN",), disks={"/var/lib/mysql": "400M"}),
    "mysql": Role((BASE, MYSQL), nspawn=("--capability=CAP_NET_ADMIN",), disks={"/var/lib/mysql": "600M"}),
    "postgres": Role((BASE, POSTGRES), disks={"/var/lib/postgresql": "300M"}),
    "queue": Role((BASE, QUEUE)),
    # A root that may end connections, as on any machine: the network is the host's own.
    "cache": Role((BASE, CACHE), nspawn=("--capability=CAP_NET_ADMIN",)),
    # A host whose disks grow: tables, file systems and their tools, on loop devices of its own.
    "disks": Role((BASE, DISKS)),
    "docker": Role(
        (BASE, DOCKER),
        # runc asks for a session keyring; iptables and the bridge need the host's own network, writable.
        nspawn=("--capability=CAP_NET_ADMIN", "--system-call-filter=add_key keyctl"),
        environment={"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
        disks={"/var/lib/docker": "300M"},  # overlays do not stack on the overlay that the root is
    ),
}

_NEWER_BASE = replace(BASE, name="newer", suite=NEWER)

NEWER_ROLES: Mapping[str, Role] = {
    f"{name}-newer": replace(_ROLES[name], layers=(_NEWER_BASE, *_ROLES[name].layers[1:]))
    for name in ("base", "db", "postgres", "cache")
}
"""The same hosts on the next Debian, with its MariaDB, PostgreSQL, Redis, Python and systemd."""

ROLES: Mapping[str, Role] = {**_ROLES, **NEWER_ROLES}
"""A new role is one line, such as `"proxy": Role((BASE, Layer("proxy", ("haproxy",))))`."""
