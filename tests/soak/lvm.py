"""A mount on LVM that is short at every link, and a look-alike beside it."""

from __future__ import annotations

from tests.services_lab.growing import Machine

SERIAL = "vol0a1b2c3d4e5f60718"  # as Amazon numbers its volumes
DISK, TWIN = f"/dev/disk/by-id/virtio-{SERIAL}", "/dev/disk/by-id/virtio-twin"
CLEAN = """
umount /data /twin 2> /dev/null || true
for name in $(dmsetup ls 2> /dev/null | awk '/^odd/ {print $1}'); do dmsetup remove "$name"; done
for vg in $(vgs --noheadings -o vg_name); do vgremove -q -f "$vg"; done
for disk in "$1" "$2"; do
    for part in "$disk"-part*; do [ ! -e "$part" ] || wipefs -q -a "$part"; done
    wipefs -q -a "$disk"; blockdev --rereadpt "$(readlink -f "$disk")" || true
done
udevadm settle
"""
# The disk's partition is short; another group has a volume of the same name, with a file system of the same label and
# size.
CHAIN = """
mkdir -p /data /twin
for pair in "$1 data" "$2 twin"; do
    set -- $pair
    printf 'label: gpt\\n, 320M, V\\n' | sfdisk -q "$1"; udevadm settle
    pvcreate -q -y "$1-part1"; vgcreate -q "$2" "$1-part1"; lvcreate -q -y -l 100%FREE -n lv "$2"
    mkfs.$FS -q -L data "/dev/$2/lv"; mount "/dev/$2/lv" "/$2"
done
"""


def chain(machine: Machine, fs: str = "ext4") -> None:
    machine.shell(f"FS={fs}\n" + CHAIN, DISK, TWIN)


def twin(machine: Machine) -> str:
    """All that must not change of the look-alike."""
    return machine.shell(
        'sfdisk -d "$1"; lvs --noheadings -o lv_size,lv_uuid twin; vgs --noheadings -o seqno twin; df /twin',
        TWIN,
    )
