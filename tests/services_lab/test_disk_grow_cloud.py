"""disk-grow with grow_cloud: a lab host whose disk is a volume by its inventory, a moto server for EC2, and the cloud.

What Amazon does to the disk, once its volume has been changed, is done here by a thread that watches moto: its volumes
are no disks. tests/soak/test_disk_grow_lvm.py does the same to a machine that shows the volume's serial.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result
from tests.modules import moto_ec2
from tests.services_lab.growing import Machine, objects, said, words
from tests.services_lab.test_ebs_volume import ASIDE, KEYS, METADATA, SERVE

pytestmark = pytest.mark.lab

MIB, GIB = 1 << 20, 1 << 30
FILE = "/srv/disks/remedy-drill-data.img"
NO_BOTO3 = """
import sys
sys.modules["boto3"] = None
del sys.argv[1]
from remedy.cli import main
main()
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_ec2.moto() as address:
        yield address


class Cloud:
    """One volume of one instance, which is the disk that `grows` has at /data."""

    def __init__(self, machine: Machine, endpoint: str) -> None:
        self.machine = machine
        self.ec2 = moto_ec2.session(endpoint)
        self.instance, self.volume = moto_ec2.attached(self.ec2, size=1)
        machine.lab.put(machine.name, "/root/metadata.py", METADATA.encode())
        machine.lab.run(machine.name, ["sh", "-ec", SERVE, "sh", self.instance, moto_ec2.REGION])

    @property
    def size(self) -> int:
        return moto_ec2.size(self.ec2, self.volume)

    @property
    def snapshots(self) -> int:
        found = self.ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [self.volume]}])
        return len(found["Snapshots"])


@pytest.fixture
def cloud(machine: Machine, endpoint: str) -> Cloud:
    return Cloud(machine, endpoint)


@pytest.fixture
def operator(tmp_path: Path, lab: Lab, machine: Machine, cloud: Cloud, endpoint: str) -> Operator:
    return Operator(tmp_path, lab, lab.host(machine.name), ansible_become=True, aws_endpoint_url=endpoint,
                    ebs_volume_id=cloud.volume)  # fmt: skip


def play(operator: Operator, *flags: str, keys: dict[str, str] = KEYS, **values: Any) -> Result:
    return operator.remedy("play", *words(*flags, **values), environment=keys, timeout=200)


def test_a_volume_grows_when_and_only_when_it_was_asked_for(
    operator: Operator, machine: Machine, cloud: Cloud
) -> None:
    machine.short(fs="xfs", short="partition")  # 320M of 512M
    machine.shell("head -c 200M /dev/urandom > /data/kept; sync -f /data; sha256sum /data/kept > /run/sum")

    # Nobody asked for it: the same size is refused, and told what would help.
    refused = play(operator, size="1200M")
    assert (refused.code, refused.report["changes"], cloud.size) == (2, [], 1)
    assert f"the cloud's volume {cloud.volume} (" in said(refused)
    assert "make it larger (with a size, grow_cloud=true does)" in said(refused)
    # Asked for, without saying how much.
    unsaid = play(operator, grow_cloud=True)
    assert (unsaid.code, unsaid.report["changes"], cloud.size) == (2, [], 1)
    assert "with grow_cloud name a size (200G), or what to add (+50G)" in said(unsaid)
    # What waits below is enough: the cloud is left alone, and needs no login.
    enough = play(operator, size="400M", grow_cloud=True, keys=ASIDE)
    assert (enough.code, objects(enough), cloud.size) == (0, ["partition", "filesystem"], 1), said(enough)

    before = machine.about("/data")
    checked = play(operator, "--check", size="1200M", grow_cloud=True)
    assert (checked.code, objects(checked)) == (0, ["ebs", "disk", "partition", "filesystem"]), said(checked)
    assert f"cloud_volume {cloud.volume}: 512.0 MiB to 2.0 GiB; " in said(checked)
    [finding] = checked.report["findings"]
    assert finding["advice"] == "the volume costs more from then on, and never becomes smaller again"
    assert (cloud.size, machine.about("/data")) == (1, before)

    def enlarge(size: int) -> None:
        machine.shell("truncate -s $1G $2", str(size), FILE)

    with moto_ec2.followed(cloud.ec2, cloud.volume, enlarge):
        done = play(operator, size="1200M", grow_cloud=True, grow_snapshot=True)
    assert (done.code, objects(done)) == (0, ["ebs", "disk", "partition", "filesystem"]), said(done)
    assert [each["reversible"] for each in done.report["changes"]] == [False] * 4
    assert (cloud.size, cloud.snapshots) == (2, 1)
    chain = machine.chain()
    assert abs(chain["links"][0]["size_bytes"] - 1200 * MIB) <= MIB
    assert chain["links"][2]["size_bytes"] == 2 * GIB
    assert machine.shell("sha256sum -c /run/sum") == "/data/kept: OK"

    again = play(operator, size="1200M", grow_cloud=True, grow_snapshot=True)
    assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])
    assert (cloud.size, cloud.snapshots) == (2, 1)


def test_a_volume_that_did_not_reach_the_host_is_told_and_gone_on_with(
    operator: Operator, machine: Machine, cloud: Cloud
) -> None:
    machine.short(fs="xfs", short="partition")
    cloud.ec2.modify_volume(VolumeId=cloud.volume, Size=3)  # by somebody else, or by a run that was cut off
    machine.shell("truncate -s 1G $1", FILE)
    # The host sees 512M, its disk has 1G, Amazon says 3G: it is not made smaller, and not asked for again.
    grown = threading.Timer(6, lambda: machine.shell("truncate -s 3G $1", FILE))
    grown.start()
    done = play(operator, size="1500M", grow_cloud=True)
    grown.join()
    assert (done.code, objects(done)) == (0, ["disk", "partition", "filesystem"]), said(done)
    assert cloud.size == 3


def test_what_is_missing_is_said_before_anything_is_changed(
    operator: Operator, machine: Machine, cloud: Cloud, tmp_path: Path
) -> None:
    machine.short(fs="xfs", short="partition")
    before = machine.about("/data")
    no_login = play(operator, size="2G", grow_cloud=True, keys=ASIDE)
    assert (no_login.code, no_login.report["changes"]) == (2, [])
    assert "no AWS credentials: set AWS_PROFILE" in said(no_login)

    (tmp_path / "without.py").write_text(NO_BOTO3)
    under = (sys.executable, str(tmp_path / "without.py"))
    with operator.start("play", *words(size="2G", grow_cloud=True), environment=KEYS, under=under) as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 2, err
    assert (
        "boto3 is not installed on the control machine: install remedy with its extra, remedy[aws]"
        in out + err
    )
    assert (cloud.size, machine.about("/data")) == (1, before)

    # Another volume of the same instance, as its size shows.
    large = str(cloud.ec2.create_volume(AvailabilityZone=f"{moto_ec2.REGION}a", Size=2)["VolumeId"])
    cloud.ec2.attach_volume(VolumeId=large, InstanceId=cloud.instance, Device="/dev/sdg")
    other = play(operator, size="4G", grow_cloud=True, ebs_volume_id=large)
    assert (other.code, other.report["changes"]) == (2, [])
    assert f"{large} has 2 GiB, and /dev/loop" in said(other)
    assert cloud.ec2.describe_volumes(VolumeIds=[large])["Volumes"][0]["Size"] == 2
    # Another instance's volume, by a wrong inventory.
    _, foreign = moto_ec2.attached(cloud.ec2, size=1)
    other = play(operator, size="2G", grow_cloud=True, ebs_volume_id=foreign)
    assert (other.code, other.report["changes"]) == (2, [])
    assert f"and grows is {cloud.instance}: nothing was changed" in said(other)
    assert (cloud.size, machine.about("/data")) == (1, before)
