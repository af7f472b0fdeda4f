"""The hosts of the Vagrantfile: the lab's own roles, as images for Docker and as shell scripts for machines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from remedy.lab.roles import BASE, ROLES, Layer, Role

HOST_ROLES = ("app", "db", "queue")
"""The roles that the Vagrantfile gives its hosts."""

CONTAINER = Layer(
    "vagrant",
    packages=(),
    files={
        "/usr/local/sbin/container-init!": """#!/bin/sh
# Docker mounts the cgroups read-only; systemd keeps its units there.
for folder in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    ! mountpoint -q "$folder" || mount -o remount,bind,rw "$folder"
done
printf '%s\\n' "$AUTHORIZED_KEY" > /home/vagrant/.ssh/authorized_keys
exec /lib/systemd/systemd
""",
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
    return "\n".join(
        [*lines, "", "systemctl daemon-reload", "systemctl start multi-user.target", ': > "$done"', ""]
    )


def _lines(words: list[str]) -> list[str]:
    """Break words into lines of a shell command."""
    rows = [words[start : start + 8] for start in range(0, len(words), 8)]
    return [f"    {shlex.join(row)}{' ' + chr(92) if row is not rows[-1] else ''}" for row in rows]
