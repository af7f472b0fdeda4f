"""A server that answers as EC2 does (moto, on loopback), answers recorded where it does not, and the host of a step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
from moto.server import ThreadedMotoServer
from tests.modules.running import Talk

from remedy.agent import runner
from remedy.modules import check, find
from remedy.modules.controller import _ebs

REGION = "eu-central-1"
KEY, SECRET = "AKIAEXAMPLE000000000", "a-secret-that-nobody-may-read"


@contextmanager
def moto() -> Iterator[str]:
    """Run moto's server on a free port of loopback and give its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def session(endpoint: str) -> Any:
    return boto3.client(
        "ec2",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )


def attached(ec2: Any, size: int = 8, device: str = "/dev/sdf") -> tuple[str, str]:
    """Start an instance with a volume; return their ids."""
    image = ec2.describe_images()["Images"][0]["ImageId"]
    started = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, Placement={"AvailabilityZone": f"{REGION}a"}
    )
    instance = str(started["Instances"][0]["InstanceId"])
    volume = str(ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=size, VolumeType="gp3")["VolumeId"])
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
    return instance, volume


def size(ec2: Any, volume: str) -> int:
    """Return the GiB of a volume."""
    return int(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"])


@contextmanager
def followed(ec2: Any, volume: str, enlarge: Callable[[int], None]) -> Iterator[None]:
    """Do to a disk what Amazon would, a moment after its volume was asked for: moto's are no disks."""
    over, had = threading.Event(), size(ec2, volume)

    def watch() -> None:
        while not over.wait(0.2):
            now = size(ec2, volume)
            if now != had:
                over.wait(1)
                enlarge(now)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass
class Site:
    """The host of a step, as far as ebs_volume asks for it; `known` is what the host says of its disks."""

    known: dict[str, Any]
    name: str = "web1"
    check: bool = False
    seconds: float | None = None
    stop: Callable[[], bool] = field(default=lambda: False)
    warned: list[str] = field(default_factory=list)
    hidden: list[object] = field(default_factory=list)

    def ask(self, module: str, **params: Any) -> dict[str, Any]:
        assert module == _ebs.HOST
        return self.known

    def hide(self, secret: object) -> None:
        self.hidden.append(secret)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def limit(self, seconds: float | None) -> None:
        """Take note of nothing: the test's own limit counts."""

    def left(self) -> float | None:
        return self.seconds

    def stopping(self) -> bool:
        return self.stop()


def run(site: Site, talk: Talk | None = None, **params: Any) -> dict[str, Any]:
    """Run one step of ebs_volume by the runner that the engine has; return its result."""
    complete = dict(check(find("ebs_volume"), params, None, templates_allowed=False))
    step = {"id": "1", "op": "run", "module": "remedy.modules.controller.ebs_volume", "params": complete}
    step |= {"check": site.check}
    result: dict[str, Any] = runner.run(step, site, talk or Talk())
    return result


def known(
    *, instance: str | None = None, disk: tuple[str, str | None] | None = None, **disks: str
) -> dict[str, Any]:
    """Return what a host says: its instance's id, the disk asked for, {disk: volume} of those with a serial."""
    return {
        "disks": {volume: name for name, volume in disks.items()},
        "disk": {"name": disk[0], "volume": disk[1]} if disk else None,
        "instance": {"id": instance, "region": REGION, "zone": f"{REGION}a"} if instance else None,
        "no_instance": None if instance else "ConnectionRefusedError: [Errno 111] Connection refused",
    }


def recorded(ec2: Any, operation: str, *answers: Any) -> list[dict[str, Any]]:
    """Let a client's operation answer as AWS was recorded to: each once, the last from then on; None: as moto does.

    An answer is what botocore would have parsed; {"Error": ...} is an error. Return the list of what was asked.
    """
    left, asked = list(answers), []

    def answer(params: Any, **_: Any) -> Any:
        asked.append(dict(params["body"]))
        now = left.pop(0) if len(left) > 1 else left[0]
        if now is None:
            return None
        return SimpleNamespace(status_code=400 if "Error" in now else 200), now

    ec2.meta.events.register(f"before-call.ec2.{operation}", answer)
    return asked
