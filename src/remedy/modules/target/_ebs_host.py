"""What a host knows of the volumes behind its disks: their serials, and who it is to Amazon (instance metadata).

A volume's serial is its id without the hyphen (NVMe, virtio). Older instances (Xen) show none: there the instance's
own id leads to its volumes. The metadata are asked by version 2 of their service, with a token, and never by a proxy.
"""

import http.client
import json
import os

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import _blocks

_SYS = "/sys"
_SERVICE = "169.254.169.254"
_SECONDS = 2  # it is on the same machine as the host; elsewhere nobody answers
_MOST = 64 * 1024  # bytes of an answer that are read

PARAMS = (Param("device", "path", help="The device whose volume is asked for: a disk, or a partition of one."),)


def kind(params):
    return EbsHost


class EbsHost(Probe):
    def read(self):
        """Return `disks` that show a volume's serial, `device`'s own, and what the instance is."""
        device = self.params.get("device")
        identity, why = instance()
        return {
            "disks": _blocks.volumes(),
            "disk": disk_of(device) if device else None,
            "instance": identity,
            "no_instance": why,
        }


def disk_of(device, sys=_SYS):
    """Return {name, volume} of the disk that a device is, or is a partition of; raises Failed for any other."""
    real = os.path.realpath(device)
    name = os.path.basename(real)
    if not os.path.exists(real):
        raise Failed("there is no device %s" % device)
    folder = os.path.join(sys, "class/block", name)
    if not os.path.isdir(folder):
        raise Failed("%s is no block device" % device)
    if os.path.exists(os.path.join(folder, "partition")):
        name = os.path.basename(os.path.dirname(os.path.realpath(folder)))
    below = _listed(os.path.join(sys, "class/block", name, "slaves"))
    if below:
        raise Failed("%s lies on %s: name the disk below it" % (device, ", ".join(sorted(below))))
    return {"name": name, "volume": _blocks.volume_in(os.path.join(sys, "block", name))}


def instance(service=_SERVICE, port=80):
    """Return ({id, region, zone}, None), or (None, why there is no answer)."""
    try:
        token = _ask(service, port, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        head = {"X-aws-ec2-metadata-token": token.strip()}
        told = json.loads(_ask(service, port, "GET", "/latest/dynamic/instance-identity/document", head))
        return {"id": told["instanceId"], "region": told["region"], "zone": told["availabilityZone"]}, None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return None, "%s: %s" % (type(error).__name__, error)


def _ask(service, port, method, path, headers):
    link = http.client.HTTPConnection(service, port, timeout=_SECONDS)
    try:
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        body = answer.read(_MOST).decode("utf-8", "replace")
        if answer.status != 200:
            raise ValueError("%s %s was answered by %d" % (method, path, answer.status))
        return body
    finally:
        link.close()


def _listed(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []
