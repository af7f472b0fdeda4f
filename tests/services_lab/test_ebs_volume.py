"""ebs_volume as operators use it: a host with instance metadata, a moto server for EC2, remedy's own command line.

No host of the lab is an instance: the metadata come from a small server on the address that Amazon's has, which like
it wants a token first. The volumes are moto's; it has no states in between (tests/modules/test_ebs_volume.py records
them), and its volumes are no disks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory
from tests.modules import moto_ec2
from tests.modules.moto_ec2 import KEY, REGION, SECRET, attached

pytestmark = pytest.mark.lab

METADATA = """
import http.server, json, socketserver, sys
socketserver.TCPServer.allow_reuse_address = True
class Metadata(http.server.BaseHTTPRequestHandler):
    def answer(self, code, text):
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def do_PUT(self):
        wanted = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(*((200, "token-1") if wanted and self.path == "/latest/api/token" else (400, "")))
    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "token-1":
            self.answer(401, "")
        elif self.path == "/latest/dynamic/instance-identity/document":
            told = {"instanceId": sys.argv[1], "region": sys.argv[2], "availabilityZone": sys.argv[2] + "a"}
            self.answer(200, json.dumps(told))
        else:
            self.answer(404, "")
# An HTTPServer would ask for the name of its address first, and wait where nobody answers.
socketserver.TCPServer(("169.254.169.254", 80), Metadata).serve_forever()
"""
SERVE = """
systemctl stop metadata 2> /dev/null || true
ip address show dev lo | grep -q 169.254.169.254 || ip address add 169.254.169.254/32 dev lo
systemd-run --quiet --collect --unit metadata python3 /root/metadata.py "$@"
asks='import socket; socket.create_connection(("169.254.169.254", 80), 1)'
for try in $(seq 100); do
    python3 -c "$asks" 2> /dev/null && exit
    sleep 0.1
done
exit 1
"""
ASIDE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
KEYS = {**ASIDE, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_ec2.moto() as address:
        yield address


@pytest.fixture
def operator(tmp_path: Path, lab: Lab, host_factory: HostFactory, endpoint: str) -> Operator:
    return Operator(tmp_path, lab, host_factory("e1"), aws_endpoint_url=endpoint, ansible_become=True)


def instance_is(lab: Lab, name: str) -> None:
    """Let the host be an instance."""
    lab.put("e1", "/root/metadata.py", METADATA.encode())
    lab.run("e1", ["sh", "-ec", SERVE, "sh", name, REGION])


def volumes(ec2: Any, instance: str) -> dict[str, int]:
    filters = [{"Name": "attachment.instance-id", "Values": [instance]}]
    return {one["VolumeId"]: one["Size"] for one in ec2.describe_volumes(Filters=filters)["Volumes"]}


def test_a_volume_grows_once_with_a_snapshot_and_its_change_is_on_the_books(
    operator: Operator, lab: Lab, endpoint: str
):
    ec2 = moto_ec2.session(endpoint)
    instance, volume = attached(ec2)
    instance_is(lab, instance)
    arguments = f"volume_id={volume} size=20G snapshot=true"

    foreseen = operator.run("e1", "ebs_volume", arguments, "--check", environment=KEYS)
    assert foreseen.code == 0, foreseen.stderr
    assert [change["object"] for change in foreseen.report["changes"]] == [f"ebs:{volume}"]
    assert volumes(ec2, instance)[volume] == 8

    done = operator.run("e1", "ebs_volume", arguments, environment=KEYS)
    assert done.code == 0, done.stderr
    (change,) = done.report["changes"]
    assert (change["object"], change["before"]["size"], change["after"]["size"]) == (f"ebs:{volume}", 8, 20)
    assert change["reversible"] is False
    assert "a volume cannot shrink" in change["reason"]
    assert volumes(ec2, instance)[volume] == 20
    shots = ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [volume]}])["Snapshots"]
    (task,) = done.report["tasks"]
    assert [shot["SnapshotId"] for shot in shots] == [task["result"]["snapshot_id"]]
    assert (task["result"]["region"], task["result"]["instance_id"]) == (REGION, instance)

    again = operator.run("e1", "ebs_volume", arguments, environment=KEYS)
    assert (again.code, again.report["changes"]) == (0, [])

    back = operator.rollback(done.report["run"]["id"], "--yes", environment=KEYS)
    assert "a volume cannot shrink" in back.stdout + back.stderr
    assert volumes(ec2, instance)[volume] == 20


def test_the_metadata_decide_whose_volume_it_is(operator: Operator, lab: Lab, endpoint: str):
    ec2 = moto_ec2.session(endpoint)
    instance, _ = attached(ec2)
    other, foreign = attached(ec2)
    instance_is(lab, instance)
    refused = operator.run("e1", "ebs_volume", f"volume_id={foreign} size=20G", environment=KEYS)
    assert refused.code == 2
    reason = refused.report["tasks"][0]["reason"]
    assert f"{foreign} is attached to {other}, and e1 is {instance}: nothing was changed" in reason
    assert volumes(ec2, other)[foreign] == 8


def test_a_device_without_a_serial_is_not_guessed(operator: Operator, lab: Lab, endpoint: str):
    instance, _ = attached(moto_ec2.session(endpoint))
    instance_is(lab, instance)
    gone = operator.run("e1", "ebs_volume", "device=/dev/nvme9n1 size=20G", environment=KEYS)
    assert "there is no device /dev/nvme9n1" in gone.report["tasks"][0]["reason"]
    no_disk = operator.run("e1", "ebs_volume", "device=/dev/null size=20G", environment=KEYS)
    assert "/dev/null is no block device" in no_disk.report["tasks"][0]["reason"]


def test_missing_credentials_end_in_words(operator: Operator, lab: Lab, endpoint: str):
    instance, volume = attached(moto_ec2.session(endpoint))
    instance_is(lab, instance)
    done = operator.run("e1", "ebs_volume", f"volume_id={volume} size=20G", environment=ASIDE)
    assert done.code == 2
    assert "no AWS credentials: set AWS_PROFILE" in done.report["tasks"][0]["reason"]
    assert "Traceback" not in done.stdout + done.stderr


def test_keys_of_the_inventory_are_in_no_output_and_no_file(
    operator: Operator, lab: Lab, endpoint: str, host_factory: HostFactory
):
    ec2 = moto_ec2.session(endpoint)
    instance, volume = attached(ec2)
    instance_is(lab, instance)
    operator.add("e1", host_factory("e1"), aws_access_key=KEY, aws_secret_key=SECRET)
    done = operator.run(
        "e1", "ebs_volume", f"volume_id={volume} size=12G", "-vvv", "--diff", environment=ASIDE
    )
    assert done.code == 0, done.stderr
    assert volumes(ec2, instance)[volume] == 12
    said = done.stdout + done.stderr + json.dumps(done.report)
    kept = b"".join(path.read_bytes() for path in operator.state.rglob("*") if path.is_file())
    assert SECRET not in said
    assert SECRET.encode() not in kept
    assert kept
