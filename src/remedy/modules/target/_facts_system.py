"""Facts about the system as such: distribution, kernel, user, time, Python, what manages it."""

import glob
import json
import os
import pwd
import re
import socket
import stat
import struct
import sys
import time

from remedy.agent.kinds import Failed

NAMES = {
    "almalinux": "AlmaLinux",
    "alpine": "Alpine",
    "amzn": "Amazon",
    "arch": "Archlinux",
    "centos": "CentOS",
    "debian": "Debian",
    "fedora": "Fedora",
    "gentoo": "Gentoo",
    "kali": "Kali",
    "linuxmint": "Linux Mint",
    "ol": "OracleLinux",
    "opensuse-leap": "openSUSE Leap",
    "opensuse-tumbleweed": "openSUSE Tumbleweed",
    "pop": "Pop!_OS",
    "raspbian": "Debian",
    "rhel": "RedHat",
    "rocky": "Rocky",
    "sled": "SLED",
    "sles": "SLES",
    "ubuntu": "Ubuntu",
}
_FAMILIES = {
    "RedHat": "almalinux amzn centos fedora ol rhel rocky scientific",
    "Debian": "debian kali linuxmint pop raspbian ubuntu",
    "Suse": "opensuse opensuse-leap opensuse-tumbleweed sled sles",
    "Archlinux": "arch manjaro",
    "Alpine": "alpine",
    "Gentoo": "gentoo",
}
_MANAGERS = (
    ("dnf5", "/usr/bin/dnf5"),
    ("dnf", "/usr/bin/dnf"),
    ("yum", "/usr/bin/yum"),
    ("apt", "/usr/bin/apt-get"),
    ("zypper", "/usr/bin/zypper"),
    ("apk", "/sbin/apk"),
    ("pacman", "/usr/bin/pacman"),
    ("portage", "/usr/bin/emerge"),
)


def facts(host, fact_path):
    """Return the facts of the group min, without the ansible_ before their names."""
    found = {}
    for part in (_distribution, _user, _date_time, _python, _security, _managers, _host_keys):
        found.update(part())
    found.update(_platform(host))
    found["env"] = dict(os.environ, **host.environment)
    found["cmdline"], found["proc_cmdline"] = _cmdline()
    found["dns"] = _dns()
    found["local"] = _local(host, fact_path)
    load = read("/proc/loadavg").split()
    found["loadavg"] = {"1m": float(load[0]), "5m": float(load[1]), "15m": float(load[2])}
    found["apparmor"] = {
        "status": "enabled" if os.path.exists("/sys/kernel/security/apparmor") else "disabled"
    }
    found["fips"] = read("/proc/sys/crypto/fips_enabled").strip() == "1"
    return found


def read(path):
    """Return a small file's text, "" where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _platform(host):
    about = os.uname()
    name = socket.gethostname()
    try:  # a resolver that does not answer must not hold up the rest
        fqdn = host.in_child(lambda: socket.getaddrinfo(name, 0, 0, 0, 0, socket.AI_CANONNAME)[0][3], 2)
    except (Failed, OSError):
        fqdn = name
    fqdn = fqdn if "." in fqdn else name
    machine_id = read("/etc/machine-id").strip() or read("/var/lib/dbus/machine-id").strip()
    bits = str(struct.calcsize("P") * 8)
    return {
        "system": about.sysname,
        "kernel": about.release,
        "kernel_version": about.version,
        "machine": about.machine,
        "architecture": {"i586": "i386", "i686": "i386"}.get(about.machine, about.machine),
        "userspace_bits": bits,
        "userspace_architecture": about.machine if bits == "64" else "i386",
        "nodename": about.nodename,
        "hostname": about.nodename.split(".")[0],
        "fqdn": fqdn,
        "domain": fqdn.partition(".")[2],
        "machine_id": machine_id,
        "is_chroot": _is_chroot(),
    }


def _is_chroot():
    try:
        root, init = os.stat("/"), os.stat("/proc/1/root/.")
    except OSError:
        return False
    return (root.st_dev, root.st_ino) != (init.st_dev, init.st_ino)


def _distribution():
    about = {}
    for line in (read("/etc/os-release") or read("/usr/lib/os-release")).splitlines():
        name, equals, value = line.partition("=")
        if equals:
            about[name.strip()] = value.strip().strip("\"'")
    id_ = about.get("ID", "linux")
    version = about.get("VERSION_ID", "")
    if id_ in ("debian", "raspbian"):
        version = _match(r"(\d[\d.]*)", read("/etc/debian_version")) or version
    elif id_ == "centos":
        version = _match(r"release (\d+(?:\.\d+)?)", read("/etc/centos-release")) or version
    release = (
        about.get("VERSION_CODENAME") or _match(r"\(([^)]*)\)", about.get("VERSION", "")).lower() or "NA"
    )
    likes = [id_] + about.get("ID_LIKE", "").split()
    families = [family for like in likes for family, ids in _FAMILIES.items() if like in ids.split()]
    name = NAMES.get(id_, about.get("NAME", id_))
    major, _, minor = version.partition(".")
    found = {
        "distribution": name,
        "distribution_version": version or "NA",
        "distribution_major_version": major or "NA",
        "distribution_release": release,
        "distribution_file_path": "/etc/os-release",
        "distribution_file_variety": name,
        "distribution_file_parsed": bool(about),
        "os_family": families[0] if families else name,
    }
    if minor:
        found["distribution_minor_version"] = minor
    # lsb_release is rarely installed and says the same.
    lsb = {
        "id": NAMES.get(id_, id_),
        "release": about.get("VERSION_ID", ""),
        "codename": release,
        "description": about.get("PRETTY_NAME", ""),
        "major_release": major,
    }
    return dict(found, lsb=lsb if about else {})


def _user():
    try:
        entry = pwd.getpwuid(os.getuid())
        name, gecos, home, shell, gid = (
            entry.pw_name,
            entry.pw_gecos,
            entry.pw_dir,
            entry.pw_shell,
            entry.pw_gid,
        )
    except KeyError:  # a user that only the kernel knows
        name, gecos, home, shell, gid = str(os.getuid()), "", os.environ.get("HOME", "/"), "", os.getgid()
    return {
        "user_id": name,
        "user_uid": os.getuid(),
        "user_gid": gid,
        "user_gecos": gecos,
        "user_dir": home,
        "user_shell": shell,
        "real_user_id": os.getuid(),
        "effective_user_id": os.geteuid(),
        "real_group_id": os.getgid(),
        "effective_group_id": os.getegid(),
    }


def _date_time():
    now = time.time()
    here, there = time.localtime(now), time.gmtime(now)
    formats = {
        "year": "%Y",
        "month": "%m",
        "weekday": "%A",
        "weekday_number": "%w",
        "weeknumber": "%W",
        "day": "%d",
        "hour": "%H",
        "minute": "%M",
        "second": "%S",
        "date": "%Y-%m-%d",
        "time": "%H:%M:%S",
        "iso8601_basic_short": "%Y%m%dT%H%M%S",
        "tz": "%Z",
        "tz_offset": "%z",
    }
    found = {name: time.strftime(form, here) for name, form in formats.items()}
    micro = int(now % 1 * 1000000)
    found["epoch"] = found["epoch_int"] = str(int(now))
    found["iso8601"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", there)
    found["iso8601_micro"] = time.strftime("%Y-%m-%dT%H:%M:%S", there) + ".%06dZ" % micro
    found["iso8601_basic"] = found["iso8601_basic_short"] + "%06d" % micro
    found["tz_dst"] = time.tzname[1]
    return {"date_time": found}


def _python():
    version = sys.version_info
    return {
        "python_version": "%d.%d.%d" % version[:3],
        "python": {
            "version": {
                "major": version[0],
                "minor": version[1],
                "micro": version[2],
                "releaselevel": version[3],
                "serial": version[4],
            },
            "version_info": list(version),
            "executable": sys.executable,
            "has_sslcontext": True,
            "type": sys.implementation.name,
        },
    }


def _security():
    config = read("/etc/selinux/config")
    if not os.path.exists("/sys/fs/selinux/enforce"):
        # Ansible tells the two apart by the bindings, which do not matter here.
        return {"selinux": {"status": "disabled"}, "selinux_python_present": True}
    enforcing = read("/sys/fs/selinux/enforce").strip() == "1"
    found = {
        "status": "enabled",
        "mode": "enforcing" if enforcing else "permissive",
        "config_mode": _match(r"(?m)^SELINUX=(\w+)", config) or "unknown",
        "type": _match(r"(?m)^SELINUXTYPE=(\w+)", config) or "unknown",
        "policyvers": int(read("/sys/fs/selinux/policyvers").strip() or 0),
    }
    return {"selinux": found, "selinux_python_present": True}


def _host_keys():
    found = {}
    for path in glob.glob("/etc/ssh/ssh_host_*_key.pub"):
        words = read(path).split()
        name = os.path.basename(path)[len("ssh_host_") : -len("_key.pub")]
        if len(words) > 1:
            found["ssh_host_key_%s_public" % name] = words[1]
            found["ssh_host_key_%s_public_keytype" % name] = words[0]
    return found


def _managers():
    init = read("/proc/1/comm").strip()
    if os.path.isdir("/run/systemd/system"):
        service = "systemd"
    elif os.path.exists("/sbin/openrc") or init.startswith("openrc"):
        service = "openrc"
    elif os.path.exists("/sbin/initctl"):
        service = "upstart"
    elif init in ("runit", "runit-init", "s6-svscan", "launchd"):
        service = init
    else:
        service = "sysvinit" if os.path.isdir("/etc/init.d") else "service"
    package = [name for name, path in _MANAGERS if os.path.exists(path)]
    return {"service_mgr": service, "pkg_mgr": package[0] if package else "unknown"}


def _cmdline():
    plain, several = {}, {}
    for word in read("/proc/cmdline").split():
        name, equals, value = word.partition("=")
        plain[name] = value.strip('"') if equals else True
        known = several.get(name)
        if known is None:
            several[name] = plain[name]
        else:
            several[name] = (known if isinstance(known, list) else [known]) + [plain[name]]
    return plain, several


def _dns():
    found = {}
    for line in read("/etc/resolv.conf").splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) > 1 and words[0] == "nameserver":
            found.setdefault("nameservers", []).append(words[1])
        elif len(words) > 1 and words[0] == "search":
            found["search"] = words[1:]
        elif len(words) > 1 and words[0] == "domain":
            found["domain"] = words[1]
        elif len(words) > 1 and words[0] == "options":
            pairs = [word.partition(":") for word in words[1:]]
            found["options"] = {name: value if colon else True for name, colon, value in pairs}
    return found


def _local(host, folder):
    """Read the *.fact files: programs that print JSON, or files of JSON or INI."""
    found = {}
    for path in sorted(glob.glob(os.path.join(os.path.expanduser(folder), "*.fact"))):
        name = os.path.basename(path)[: -len(".fact")]
        try:
            if os.stat(path).st_mode & stat.S_IXUSR:
                done = host.run([path], ok=None, timeout=10)
                text = done.stdout.decode("utf-8", "replace")
                if done.rc:
                    found[name] = "error running fact script (%s): rc %d" % (path, done.rc)
                    continue
            else:
                text = read(path)
            found[name] = _parsed(text)
        except Exception as error:  # what somebody else put there must not cost the other facts
            found[name] = "error loading fact %s: %s" % (path, error)
    return found


def _parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        from configparser import ConfigParser

        parser = ConfigParser(interpolation=None)
        parser.read_string(text)
        return {section: dict(parser.items(section)) for section in parser.sections()}


def virtualization():
    """Return the facts of the group virtual, from what the kernel and the container say."""
    guests = []
    container = read("/run/systemd/container").strip() or _match(r"container=(\S+)", _init_environment())
    names = {"systemd-nspawn": "systemd-nspawn", "lxc-libvirt": "lxc", "oci": "container"}
    if os.path.exists("/.dockerenv"):
        guests.append("docker")
    elif container:
        guests.append(names.get(container, container))
    elif os.path.exists("/run/.containerenv"):
        guests.append("podman")
    product = read("/sys/class/dmi/id/product_name").strip()
    vendor = read("/sys/class/dmi/id/sys_vendor").strip()
    for word, kind in _HYPERVISORS:
        if word in product or word in vendor:
            guests.append(kind)
            break
    else:
        if re.search(r"(?m)^flags\s*:.*\bhypervisor\b", read("/proc/cpuinfo")):
            guests.append("kvm" if "KVM" in product + vendor or os.path.exists("/dev/kvm") else "NA")
    hosts = ["kvm"] if os.path.exists("/dev/kvm") and not guests else []
    chosen = [guest for guest in guests if guest != "NA"]
    return {
        "virtualization_type": chosen[0] if chosen else (hosts or ["NA"])[0],
        "virtualization_role": "guest" if guests else ("host" if hosts else "NA"),
        "virtualization_tech_guest": sorted(set(chosen)),
        "virtualization_tech_host": hosts,
    }


_HYPERVISORS = (
    ("VMware", "VMware"),
    ("VirtualBox", "virtualbox"),
    ("Virtual Machine", "VirtualPC"),
    ("HVM domU", "xen"),
    ("KVM", "kvm"),
    ("QEMU", "kvm"),
    ("OpenStack", "openstack"),
    ("Amazon EC2", "kvm"),
    ("Google", "kvm"),
    ("DigitalOcean", "kvm"),
    ("Hetzner", "kvm"),
    ("BHYVE", "bhyve"),
    ("Parallels", "parallels"),
)


def _init_environment():
    return read("/proc/1/environ").replace("\0", "\n")


def _match(pattern, text):
    match = re.search(pattern, text)
    return match.group(1) if match else ""
