"""What fills a disk, made for real on a lab host: scripts that run there as root."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from remedy.lab import Lab, tools

DAY = 86400

BALLAST = """
# What is nobody's leavings: all but so many bytes of the file system that holds a folder.
ballast() {
    free=$(df --output=avail -B1 "$1" | tail -1)
    if [ "$free" -gt "$2" ]; then fallocate -l $((free - $2)) "$1/ballast"; fi
}
"""

OLD_LOGS = """
mkdir -p /var/log/shop
for week in 2 3; do
    for name in app worker; do
        head -c 5M /dev/zero > /var/log/shop/$name.log.$week
        touch -d "$((week * 7)) days ago" /var/log/shop/$name.log.$week
    done
done
echo young > /var/log/shop/app.log.1
echo precious > /var/log/shop/book
touch -d '90 days ago' /var/log/shop/book
"""
OLD = {f"/var/log/shop/{name}.log.{week}" for name in ("app", "worker") for week in (2, 3)}

MANY_OLD_LOGS = """
mkdir -p /var/log/jobs
cd /var/log/jobs
seq --format=job-%05.0f.log.1 2500 | xargs touch -d '30 days ago' 2> /dev/null || true
"""

_WRITER = r"""
import os, signal, sys
def opened():
    return os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
def reopen(*_):
    new = opened()
    os.dup2(new, log)
    os.close(new)
log = opened()
os.write(log, b"an ordinary line\n" * (int(sys.argv[2]) // 17))
os.write(log, b"last words\n")
signal.signal(signal.SIGHUP, reopen)
signal.signal(signal.SIGUSR1, lambda *_: os.write(log, b"a line afterwards\n"))
open("/run/%s.started" % sys.argv[3], "w").close()
while True:
    signal.pause()
"""

PACKAGES = """
mkdir -p /run/build/DEBIAN /var/cache/apt/archives/partial
for name in one two; do
    printf 'Package: %s\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody\\nDescription: ballast\\n' $name \
        > /run/build/DEBIAN/control
    head -c 6M /dev/urandom > /run/build/content
    dpkg-deb --build -Znone /run/build /var/cache/apt/archives/${name}_1_all.deb > /dev/null
done
rm -r /run/build
"""
DEBS = {f"/var/cache/apt/archives/{name}_1_all.deb" for name in ("one", "two")}

_JOURNALD = """
mkdir -p /etc/systemd/journald.conf.d
cat > /etc/systemd/journald.conf.d/lab.conf << 'END'
[Journal]
Storage=%s
SystemMaxUse=50M
SystemMaxFileSize=8M
SystemKeepFree=1
RateLimitBurst=0
ForwardToSyslog=no
END
systemctl restart systemd-journald
"""
QUIET = _JOURNALD % "volatile"
"""journald leaves the disk to others: each of its files takes 8 MiB at once, whenever it likes."""
JOURNALS = """
sed -i s/volatile/persistent/ /etc/systemd/journald.conf.d/lab.conf
systemctl restart systemd-journald
journalctl --flush
for part in $(seq 8); do
    head -c 3M /dev/urandom | base64 -w 4000 | systemd-cat -t noise
    journalctl --sync
    journalctl --rotate
done
"""

_CONTAINERS = """
systemctl start busybox-image
docker volume create data > /dev/null
docker run -d --name web -v data:/data busybox:1 sleep 1000 > /dev/null
docker run --name done busybox:1 dd if=/dev/zero of=/big bs=1M count=20 2> /dev/null
image() { printf "FROM busybox:1\\nLABEL $1\\nRUN dd if=/dev/zero of=/made bs=1M count=$2\\n" | docker build -q - ; }
image stage=ci 20 > /dev/null
image remedy.keep=yes 1 > /dev/null
printf 'FROM busybox:1\\nRUN dd if=/dev/zero of=/cached bs=1M count=20\\n' \
    | DOCKER_BUILDKIT=1 docker build -q -t kit:1 - > /dev/null 2>&1
docker rmi kit:1 > /dev/null
"""
DOCKER = BALLAST + _CONTAINERS + "ballast /var/lib/docker 8000000\n"


def sh(lab: Lab, name: str, script: str, timeout: float = 60) -> str:
    """Run a script as root in a host and return what it prints."""
    return lab.run(name, ["sh", "-ec", script], timeout=timeout).stdout


def write_log(lab: Lab, name: str, unit: str, path: str, size: int) -> None:
    """Start a service that writes so many bytes to a log, and keeps it open."""
    lab.put(name, "/run/writer.py", _WRITER.encode())
    start = f"mkdir -p $(dirname {path}); systemd-run -q --unit={unit} python3 /run/writer.py {path} {size} {unit}"
    sh(lab, name, f"{start}; until test -e /run/{unit}.started; do sleep 0.02; done", 20)


def line_afterwards(lab: Lab, name: str, unit: str) -> str:
    """Have such a service write a line; return what its log, where it is open, holds then."""
    script = f"""
    pid=$(systemctl show -P MainPID {unit})
    kill -USR1 $pid
    until grep -q 'a line afterwards' /proc/$pid/fd/3; do sleep 0.02; done
    cat /proc/$pid/fd/3
    """
    return sh(lab, name, script, 20)


def aged_disk(
    lab: Lab,
    name: str,
    folder: Path,
    files: Mapping[str, int],
    *,
    size: int = 24 << 20,
    inodes: int | None = None,
    young: Collection[str] = (),
) -> None:
    """Mount a disk on a host's /tmp whose files (name: size) were last used a month ago, by each of their times.

    So were its folders, and what else lies in `folder`/tree already.
    """
    folder.mkdir(exist_ok=True)
    tree, image = folder / "tree", folder / "image"
    then = int(time.time()) - 30 * DAY
    for path, length in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(os.urandom(length))
        if path not in young:
            os.utime(tree / path, (then, then))
    tree.chmod(0o1777)
    with image.open("wb") as file:
        file.truncate(size)
    number = [] if inodes is None else ["-N", str(inodes)]
    tools.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", *number, "-d", str(tree), str(image)])
    # No system call sets a file's ctime.
    tools.run(
        ["debugfs", "-w", "-f", "-", str(image)],
        stdin="".join(
            f"set_inode_field /{path.relative_to(tree)} {field} @{then}\n"
            for path in tree.rglob("*")
            if str(path.relative_to(tree)) not in young
            for field in ("ctime", "mtime", "atime")
        ),
    )
    loop = tools.run(["losetup", "--find", "--show", str(image)]).strip()
    try:
        minor = os.minor(Path(loop).stat().st_rdev)
        sh(lab, name, f"mknod -m 600 /dev/aged b 7 {minor}; mount -o noatime /dev/aged /tmp; rm /dev/aged")
    finally:
        tools.run(["losetup", "--detach", loop])  # it stays until the file system is unmounted
