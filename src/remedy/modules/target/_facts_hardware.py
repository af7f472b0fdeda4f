"""Facts about processors, memory, disks and mounts, from /proc and /sys."""

import os
import re

from remedy.modules.target import _mounts
from remedy.modules.target._facts_system import read

_DISKS = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)\d*")


_DMI = (
    "product_name product_version product_serial product_uuid board_vendor board_name board_version"
    " board_serial board_asset_tag chassis_vendor chassis_version chassis_serial chassis_asset_tag bios_vendor"
    " bios_version bios_date"
).split()


def facts(host, timeout):
    """Return the facts of the group hardware, without the ansible_ before their names."""
    found = {}
    found.update(_processors())
    found.update(_memory())
    found["mounts"] = _mounted(host, timeout)
    found["devices"] = _devices()
    found["uptime_seconds"] = int(float(read("/proc/uptime").split()[0]))
    found["system_vendor"] = _dmi("sys_vendor")
    found["form_factor"] = _dmi("chassis_type")
    for name in _DMI:
        found[name] = _dmi(name)
    return found


def _dmi(name):
    return read("/sys/class/dmi/id/" + name).strip() or "NA"


def _processors():
    shown, sockets, cores, threads = [], set(), set(), 0
    block = {}
    for line in read("/proc/cpuinfo").splitlines() + [""]:
        name, colon, value = line.partition(":")
        if colon:
            block[name.strip()] = value.strip()
        elif "processor" in block:
            threads += 1
            model = block.get("model name") or block.get("cpu model") or block.get("Processor") or ""
            shown += [block["processor"]] + [text for text in (block.get("vendor_id"), model) if text]
            socket = block.get("physical id", block["processor"])
            sockets.add(socket)
            cores.add((socket, block.get("core id", block["processor"])))
            block = {}
    count = len(sockets) or 1
    per_socket = max(1, len(cores) // count)
    per_core = max(1, threads // (count * per_socket))
    return {
        "processor": shown,
        "processor_count": count,
        "processor_cores": per_socket,
        "processor_threads_per_core": per_core,
        "processor_vcpus": count * per_socket * per_core,
        "processor_nproc": len(os.sched_getaffinity(0)),
    }


def _memory():
    kilobytes = {}
    for line in read("/proc/meminfo").splitlines():
        words = line.replace(":", " ").split()
        kilobytes[words[0]] = int(words[1])
    size = {name: value // 1024 for name, value in kilobytes.items()}
    total, free = size.get("MemTotal", 0), size.get("MemFree", 0)
    cached, swap, swap_free = size.get("Cached", 0), size.get("SwapTotal", 0), size.get("SwapFree", 0)
    idle = (kilobytes.get("MemFree", 0) + kilobytes.get("Cached", 0) + kilobytes.get("Buffers", 0)) // 1024
    return {
        "memtotal_mb": total,
        "memfree_mb": free,
        "swaptotal_mb": swap,
        "swapfree_mb": swap_free,
        "memory_mb": {
            "real": {"total": total, "used": total - free, "free": free},
            "nocache": {"free": idle, "used": total - idle},
            "swap": {
                "total": swap,
                "free": swap_free,
                "used": swap - swap_free,
                "cached": size.get("SwapCached", 0),
            },
        },
        "memavailable_mb": size.get("MemAvailable", free + cached),
    }


def _mounted(host, timeout):
    every = _mounts.mounts()
    wanted = [entry for entry in every if entry["source"].startswith("/") or ":/" in entry["source"]]
    uuids = _by_uuid()
    found = []
    for entry, sizes in _mounts.usage(host, wanted, timeout):
        about = {
            "mount": entry["mount"],
            "device": entry["source"],
            "fstype": entry["type"],
            "options": ",".join(dict.fromkeys((entry["options"] + "," + entry["super_options"]).split(","))),
            "uuid": uuids.get(entry["source"], "N/A"),
        }
        if sizes is None:
            about["note"] = "could not be asked in time: the mount hangs"
        elif "error" in sizes:
            about["note"] = sizes["error"]
        else:
            unit = sizes["f_frsize"]
            about.update(
                size_total=unit * sizes["f_blocks"],
                size_available=unit * sizes["f_bavail"],
                block_size=sizes["f_bsize"],
                block_total=sizes["f_blocks"],
                block_available=sizes["f_bavail"],
                block_used=sizes["f_blocks"] - sizes["f_bavail"],
                inode_total=sizes["f_files"],
                inode_available=sizes["f_ffree"],
                inode_used=sizes["f_files"] - sizes["f_ffree"],
            )
        found.append(about)
    return found


def _by_uuid():
    folder = "/dev/disk/by-uuid"
    found = {}
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    for name in names:
        device = os.path.join("/dev", os.path.basename(os.readlink(os.path.join(folder, name))))
        found[device] = name
    return found


def _devices():
    try:
        names = [name for name in os.listdir("/sys/block") if not _DISKS.match(name)]
    except OSError:
        names = []
    found = {}
    for name in sorted(names):
        folder = "/sys/block/" + name
        sectors = int(read(folder + "/size").strip() or 0)
        inner = [
            part for part in os.listdir(folder) if os.path.exists(os.path.join(folder, part, "partition"))
        ]
        partitions = {}
        for part in sorted(inner):
            size = int(read("%s/%s/size" % (folder, part)).strip() or 0)
            partitions[part] = {"sectors": size, "size": _shown(size * 512), "sectorsize": 512}
        found[name] = {
            "sectors": sectors,
            "sectorsize": read(folder + "/queue/logical_block_size").strip() or "512",
            "size": _shown(sectors * 512),
            "removable": read(folder + "/removable").strip(),
            "rotational": read(folder + "/queue/rotational").strip(),
            "model": read(folder + "/device/model").strip() or None,
            "vendor": read(folder + "/device/vendor").strip() or None,
            "partitions": partitions,
            "holders": os.listdir(folder + "/holders") if os.path.isdir(folder + "/holders") else [],
        }
    return found


def _shown(size):
    for unit, power in (("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)):
        if size >= 1 << power:
            return "%.2f %s" % (size / float(1 << power), unit)
    return "%.2f Bytes" % size
