"""The hosts of the Vagrantfile: the lab's own roles, as images for Docker and as shell scripts for machines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from remedy.lab.roles import BASE, ROLES, Layer, Role

HOST_ROLES = ("app", "db", "queue")
"""The roles that the Vagrantfile gives its hosts."""

_INIT = """#!/bin/sh
# The first process of a container: gives it a root of its own size, then becomes systemd.
set -eu
printf '%s\\n' "$AUTHORIZED_KEY" > /home/vagrant/.ssh/authorized_keys

# Docker mounts the cgroups read-only; systemd keeps its units there.
for folder in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    ! mountpoint -q "$folder" || mount -o remount,bind,rw "$folder"
done

[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229
# What fills this root must not fill the machine's disk.
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
truncate -s "$ROOT_SIZE" /root.img
mkfs.ext4 -q -b 4096 -m 0 /root.img
tries=50
until
    loop=$(losetup -f)
    [ -e "$loop" ] || mknod "$loop" b 7 "${loop#/dev/loop}"
    mount -o "loop=$loop" /root.img /mnt
do  # another container was faster
    tries=$((tries - 1))
    [ "$tries" -gt 0 ]
    sleep 0.1
done
rm /root.img
mkdir /mnt/changes /mnt/work
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/changes,workdir=/mnt/work,xino=off /media
for file in hosts hostname resolv.conf; do
    cat "/etc/$file" > "/media/etc/$file"
done
for folder in proc sys dev run tmp; do
    mount -n --move "/$folder" "/media/$folder"
done
cd /media
pivot_root . srv
exec chroot . sh -c 'umount -l /srv && exec /lib/systemd/systemd'
"""

CONTAINER = Layer(
    "vagrant",
    packages=(),
    files={
        "/usr/local/sbin/container-init!": _INIT,
        "/etc/sudoers.d/vagrant": "vagrant ALL=(ALL:ALL) NOPASSWD: ALL\n",
        "/etc/systemd/system/ssh-keys.service": """[Unit]
Description=Make host keys of this container's own
Before=ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=ssh.service
""",
    },
    script="""
chmod 440 /etc/sudoers.d/vagrant
useradd --create-home --uid 2100 --shell /bin/bash vagrant
install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 600 -o vagrant -g vagrant /dev/null /home/vagrant/.ssh/authorized_keys
systemctl enable -q ssh-keys
""",
)
"""What makes a tree a host of Vagrant's: systemd in a container, and the account that Vagrant logs in to."""


def images() -> Mapping[str, Role]:
    """Return what the Vagrantfile's Docker hosts run: name of the image → its trees."""
    return {
        f"remedy/{name}:vagrant": replace(ROLES[name], layers=(*ROLES[name].layers, CONTAINER))
        for name in HOST_ROLES
    }


def script(name: str) -> str:
    """Return the shell script that makes a Debian machine what the lab's hosts of a role are."""
    own = ROLES[name].layers[1:]
    packages = [package for layer in (BASE, *own) for package in layer.packages]
    lines = [
        "#!/bin/sh",
        f"# Makes a Debian machine what the lab calls {name}. Written by scripts/vagrant/roles.py: change",
        "# src/remedy/lab/roles.py, and run that again.",
        "set -eu",
        f"done=/var/lib/remedy-role-{name}",
        '[ ! -e "$done" ] || exit 0',
        "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8",
        "",
        "# No service starts before it is configured.",
        "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d",
        "chmod 755 /usr/sbin/policy-rc.d",
        "trap 'rm -f /usr/sbin/policy-rc.d' EXIT",
        "apt-get -q update",
        "apt-get -q -y install --no-install-recommends \\",
        *_lines(packages),
        "rm -f /usr/sbin/policy-rc.d",
    ]
    for layer in own:
        for path, content in layer.files.items():
            mode = "755" if path.endswith("!") else "644"
            lines += ["", f"install -D -m {mode} /dev/stdin {path.rstrip('!')} <<'END'"]
            lines += [content.rstrip("\n"), "END"]
        if layer.script:
            lines += ["", layer.script.strip()]
    lines += [
        "",
        "# As a boot does it: folders in /run, and the services.",
        "systemctl daemon-reload",
        "systemd-tmpfiles --create || :",
        "systemctl start multi-user.target",
        ': > "$done"',
    ]
    return "\n".join([*lines, ""])


def _lines(words: list[str]) -> list[str]:
    """Break words into lines of a shell command."""
    rows = [words[start : start + 8] for start in range(0, len(words), 8)]
    return [f"    {shlex.join(row)}{' ' + chr(92) if row is not rows[-1] else ''}" for row in rows]
