"""Tell which certificates expire soon: those in files, and those that TLS ports show.

Files are those of `paths` (files, folders, shell patterns); without it those in the usual places: Let's
Encrypt, nginx, Apache, HAProxy, mail and database servers, Kubernetes, /etc/ssl and /etc/pki, without the
distribution's own authorities. Ports are those of `ports`; without it each usual TLS port on which something
here listens. One that speaks TLS only after a greeting (STARTTLS, databases) is not asked. Nothing is checked,
so that what has expired already is told, too.

Keys are never read: files and folders that are named as keys are not opened, and in a file that holds both only
the certificate is looked at. Returns `certificates` (subject, issuer, names, not_after, days: left, expired,
sha256, places: files and HOST:PORT, served: a port shows it, renewed: a file with a later one for the same
names, None: there is none), `expiring`: those that hold for less than `within`, the soonest first, and
`unknown` (place, why).
"""

import fnmatch
import glob
import os
import re
import socket
import stat
import time

from remedy.agent.kinds import Failed, Param, Probe
from remedy.agent.paths import native
from remedy.modules.target import _listening, _x509

PARAMS = (
    Param("within", "duration", default=30 * 86400, help="What holds for less is in expiring."),
    Param(
        "paths",
        "list",
        elements="path",
        help="Files, folders or shell patterns; without it the usual places.",
    ),
    Param("excludes", "list", elements="str", help="Shell patterns for full paths to leave alone."),
    Param(
        "ports",
        "list",
        elements="str",
        help="PORT or HOST:PORT, as seen from the host; without it the usual ones that listen here; []: none.",
    ),
    Param("timeout", "duration", default=5, help="How long a port, or a place of files, may take to answer."),
)

EXAMPLES = """
- certificate_expiry: {within: 30d}
  register: certificates
- certificate_expiry: {paths: ["/srv/*/tls"], ports: [8443, "shop.example.com:443"], within: 14d}
"""

_PLACES = (
    *("/etc/letsencrypt/live", "/etc/ssl", "/etc/pki/tls", "/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/haproxy"),
    *("/etc/postfix", "/etc/dovecot", "/etc/mysql", "/etc/postgresql", "/etc/redis", "/etc/rabbitmq", "/etc/ldap"),
    *("/etc/docker", "/etc/kubernetes/pki", "/var/lib/kubelet/pki", "/var/lib/mysql/*.pem"),
    *("/var/lib/postgresql/*/*/*.crt", "/var/lib/pgsql/*/data/*.crt", "/var/lib/pgsql/data/*.crt"),
)  # fmt: skip
# What comes with the distribution, and is renewed with it.
_AUTHORITIES = ("/usr/share/ca-certificates/", "/etc/pki/ca-trust/", "/etc/ssl/certs/java/")
_ENDINGS = (".pem", ".crt", ".cer", ".cert")
_KEY = re.compile(r".*(priv|secret|(^|[._-])key([._-]|$)|dhparam)", re.IGNORECASE)
_DEEP = 4
_LARGE = 1 << 20
_BUNDLE = 25  # so many certificates in one file are somebody's list of authorities
_TOGETHER = 4  # all places together may take so many times as long as one
_MANY = 30
_TLS = (
    443,
    465,
    563,
    636,
    853,
    989,
    990,
    993,
    995,
    2376,
    5061,
    5671,
    5986,
    6443,
    6697,
    8443,
    8883,
    9443,
    10250,
    15671,
)


def check_params(params):
    if any(not path.startswith("/") for path in params["paths"] or ()):
        return "paths must be absolute"
    for each in params["ports"] or ():
        port = str(each).rpartition(":")[2]
        if "{{" not in str(each) and not (port.isdigit() and 0 < int(port) < 65536):
            return "ports: '%s' is neither PORT nor HOST:PORT" % each
    return None


def kind(params):
    return Expiry


class Expiry(Probe):
    deadline = 300

    def read(self):
        known, unknown = {}, []
        for place, ders, why in self._in_all():
            self._add(known, unknown, place, [bytes.fromhex(each) for each in ders], why, False)
        for host, port in self._ports():
            place = "%s:%d" % ("[%s]" % host if ":" in host else host, port)
            try:
                self._add(known, unknown, place, [_shown(host, port, self.params["timeout"])], None, True)
            except (OSError, ValueError, Failed) as error:  # SSLError is an OSError
                unknown.append({"place": place, "why": str(error) or type(error).__name__})
        found = sorted(known.values(), key=lambda each: each["days"])
        for each in found:
            each["renewed"] = _renewed(each, found)
        limit = self.params["within"] / 86400.0
        for each in found:
            each.pop("until")
        return {
            "certificates": found,
            "expiring": [each for each in found if each["days"] < limit],
            "unknown": unknown,
        }

    def _add(self, known, unknown, place, ders, why, served):
        if why:
            unknown.append({"place": place, "why": why})
        for der in ders:
            try:
                about = _x509.read(der)
            except ValueError as error:
                unknown.append({"place": place, "why": str(error)})
                continue
            left = about["not_after"] - time.time()
            each = known.setdefault(
                about["sha256"],
                {
                    "subject": about["subject"],
                    "issuer": about["issuer"],
                    "names": about["names"],
                    "not_after": _utc(about["not_after"]),
                    "until": about["not_after"],
                    "days": round(left / 86400.0, 1),
                    "expired": left <= 0,
                    "sha256": about["sha256"],
                    "places": [],
                    "served": False,
                },
            )
            each["places"] += [] if place in each["places"] else [place]
            each["served"] = each["served"] or served

    def _in_all(self):
        """Return what _in_files does of all places; a place on a dead mount holds up none of the others."""
        places = _PLACES if self.params["paths"] is None else self.params["paths"]
        try:
            return self.host.in_child(lambda: self._in_files(places), self.params["timeout"] * _TOGETHER)
        except Failed as failed:
            if failed.cause != "timeout":
                raise
        found = []
        for place in places:
            try:
                found += self.host.in_child(
                    lambda place=place: self._in_files([place]), self.params["timeout"]
                )
            except Failed as failed:
                found.append([place, [], failed.message])
        return found

    def _in_files(self, places):
        """Return [path, certificates in hexadecimal, why it could not be read]; runs in a process of its own."""
        named = self.params["paths"] is not None
        found, seen = [], set()
        for path in _files(places):
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in self.params["excludes"] or ()):
                continue
            real = os.path.realpath(native(path)).decode("utf-8", "surrogateescape")
            if real.startswith(_AUTHORITIES) or os.path.basename(real) in (
                "ca-certificates.crt",
                "ca-bundle.crt",
            ):
                continue
            if _KEY.match(os.path.basename(real)):
                continue
            try:
                about = os.stat(native(path))
                if (
                    not stat.S_ISREG(about.st_mode)
                    or about.st_size > _LARGE
                    or (about.st_dev, about.st_ino) in seen
                ):
                    continue
                seen.add((about.st_dev, about.st_ino))
                with open(native(path), "rb") as file:
                    ders = list(_x509.blocks(file))
            except OSError as error:
                found.append([path, [], error.strerror.lower()])
                continue
            if len(ders) <= _BUNDLE or named:
                found.append([path, [der.hex() for der in ders], None])
        return found

    def _ports(self):
        """Return [(host, port)] to ask."""
        if self.params["ports"] is not None:
            named = [str(each).rpartition(":") for each in self.params["ports"]]
            return [(host.strip("[]") or "127.0.0.1", int(port)) for host, _, port in named]
        own = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        found = {(own.get(host, host), port) for host, port in _listening.every() if port in _TLS}
        # One that listens for both kinds of addresses is one.
        return sorted(each for each in found if each[0] != "::1" or ("127.0.0.1", each[1]) not in found)[
            :_MANY
        ]


def _files(places):
    for place in places:
        for path in sorted(glob.glob(place)) if glob.has_magic(place) else [place]:
            if os.path.isdir(path):
                for each in _below(path, 0):
                    yield each
            elif os.path.lexists(path):
                yield path


def _below(folder, deep):
    """Yield the files of a folder that are named as certificates are, and not as keys."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if _KEY.match(name):
            continue
        if os.path.isdir(path):
            if deep < _DEEP and not os.path.islink(path):
                for each in _below(path, deep + 1):
                    yield each
        elif name.lower().endswith(_ENDINGS):
            yield path


def _shown(host, port, patience):
    """Return the certificate that a port shows, in DER."""
    try:
        import ssl
    except ImportError:
        raise Failed("this Python has no ssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")  # also of a server whose key is as old as its certificate
    except ssl.SSLError:
        pass
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        name = None
    except OSError:
        name = host
    with socket.create_connection((host, port), timeout=patience) as plain:
        with context.wrap_socket(plain, server_hostname=name) as line:
            der = line.getpeercert(True)
    if not der:
        raise ValueError("it shows no certificate")
    return der


def _renewed(one, every):
    """Return a file with a certificate for the same names that holds longer, None where there is none."""
    called = set(one["names"]) or {one["subject"]}
    for other in every:
        longer = other["until"] > one["until"] and set(other["names"] or [other["subject"]]) == called
        files = [place for place in other["places"] if place.startswith("/")]
        if longer and files:
            return files[0]
    return None


def _utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
