"""ebs_volume against a real moto server; where moto knows no states (a change is completed at once), recorded ones."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.modules import moto_ec2
from tests.modules.moto_ec2 import KEY, REGION, SECRET, Site, attached, known, recorded, run
from tests.modules.running import Talk

from remedy.agent.kinds import Failed
from remedy.modules.controller import _aws, _ebs, ebs_volume

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_ec2.moto() as address:
        yield address


@pytest.fixture
def ec2(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A session of the test's own; the module's comes from boto3's chain, as an operator's would."""
    for name in ("PROFILE", "DEFAULT_REGION", "REGION", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name, value in {
        "ACCESS_KEY_ID": KEY,
        "SECRET_ACCESS_KEY": SECRET,
        "EC2_METADATA_DISABLED": "true",
        "ENDPOINT_URL": endpoint,
        "CONFIG_FILE": str(tmp_path / "config"),
        "SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(_ebs, "LOOK", 0.01)
    return moto_ec2.session(endpoint)


def size(ec2: Any, volume: str) -> int:
    return int(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"])


@pytest.fixture
def aws(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Let an operation of the module's own session answer as recorded: aws("ModifyVolume", {...})."""
    real, prepared, asked = _ebs.client, {}, {}

    def client(*words: Any) -> Any:
        made = real(*words)
        for operation, answers in prepared.items():
            asked[operation].append(recorded(made, operation, *answers))
        return made

    monkeypatch.setattr(_ebs, "client", client)

    def record(operation: str, *answers: Any) -> list[dict[str, Any]]:
        prepared[operation] = answers
        return asked.setdefault(operation, [])

    return record


def modification(
    state: str, progress: int, target: int, began: datetime = NOW, **more: Any
) -> dict[str, Any]:
    """Return one answer of DescribeVolumesModifications, as its documentation shows it."""
    return {
        "VolumesModifications": [
            {
                "VolumeId": "vol-0a1b2c3d4e5f60718",
                "ModificationState": state,
                "TargetSize": target,
                "OriginalSize": 8,
                "Progress": progress,
                "StartTime": began,
                **more,
            }
        ]
    }


def error(code: str, text: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}}


NEVER = {"VolumesModifications": []}


# What moto models


def test_grows_the_volume_behind_a_disk_and_then_has_nothing_to_do(ec2: Any):
    instance, volume = attached(ec2)
    host = known(instance=instance, disk=("nvme1n1", volume), nvme1n1=volume)
    seen: list[int] = []
    talk = Talk()
    talk.before_word = lambda: seen.append(size(ec2, volume))

    first = run(Site(host), talk, device="/dev/nvme1n1", size="20G")

    assert (first["status"], size(ec2, volume)) == ("changed", 20)
    told = first["result"]
    assert (told["volume_id"], told["before"], told["size"]) == (volume, 8, 20)
    assert (told["region"], told["instance_id"], told["disk"]) == (REGION, instance, "nvme1n1")
    # The journal had the word while the volume was as before, and that it cannot be taken back.
    assert (seen, len(talk.intents)) == ([8], 1)
    assert "a volume cannot shrink" in json.dumps(talk.intents[0])

    again = run(Site(host), device="/dev/nvme1n1", size="20G")
    assert (again["status"], again["reason"]) == ("ok", f"{volume} has 20 GiB already")


def test_check_mode_changes_nothing_and_says_what_would_be(ec2: Any):
    instance, volume = attached(ec2)
    talk = Talk()
    found = run(
        Site(known(instance=instance), check=True), talk, volume_id=volume, size="+50%", snapshot=True
    )
    assert (found["status"], talk.intents, size(ec2, volume)) == ("changed", [], 8)
    assert found["change"]["diff"]["after"] == f"{volume} 12 GiB\n"
    assert ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [volume]}])["Snapshots"] == []


@pytest.mark.parametrize(
    ("asked", "wanted"), [("+50%", 12), ("+2G", 10), ("0.5T", 512), ("9.2G", 10), ("12", 12)]
)
def test_sizes(ec2: Any, asked: str, wanted: int):
    instance, volume = attached(ec2)
    assert run(Site(known(instance=instance)), volume_id=volume, size=asked)["result"]["size"] == wanted
    assert size(ec2, volume) == wanted


def test_refuses_to_shrink(ec2: Any):
    instance, volume = attached(ec2)
    found = run(Site(known(instance=instance)), volume_id=volume, size="7G")
    assert found["status"] == "failed"
    assert (
        found["reason"] == f"{volume} of web1 in {REGION} has 8 GiB, and 7G is less: a volume never shrinks"
    )
    assert size(ec2, volume) == 8


def test_the_snapshot_comes_first_and_a_second_try_takes_it_up(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    aws("ModifyVolume", None, error("RequestLimitExceeded", "Request limit exceeded."))
    params: dict[str, Any] = {"volume_id": volume, "size": "20G", "snapshot": True}
    failed = run(Site(known(instance=instance)), **params)
    assert failed["status"] == "failed"
    assert "RequestLimitExceeded" in failed["reason"]
    shots = ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [volume]}])["Snapshots"]
    assert [(shot["VolumeSize"], shot["Description"]) for shot in shots] == [
        (8, f"{volume} before it grows from 8 to 20 GiB")
    ]
    assert size(ec2, volume) == 8

    aws("ModifyVolume", None)
    site = Site(known(instance=instance))
    done = run(site, **params)
    assert (done["status"], size(ec2, volume)) == ("changed", 20)
    assert done["result"]["snapshot_id"] == shots[0]["SnapshotId"]
    assert len(ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [volume]}])["Snapshots"]) == 1
    assert any("no second one" in text for text in site.warned)


def test_the_volume_is_described_once_before_the_change_and_once_after(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    asked = aws("DescribeVolumes", None)  # of each run
    site, before = Site(known(instance=instance)), []
    assert run(site, volume_id=volume)["result"]["size"] == 8
    talk = Talk()
    talk.before_word = lambda: before.append(len(asked[-1]))
    grown = run(site, talk, volume_id=volume, size="20G")
    assert (grown["status"], grown["result"]["size"], grown["result"]["before"]) == ("changed", 20, 8)
    assert run(site, volume_id=volume, size="20G")["status"] == "ok"
    assert (before, [len(each) for each in asked]) == ([1], [1, 2, 1])


def test_the_only_volume_of_the_instance_is_found_by_its_metadata(ec2: Any):
    instance, volume = attached(ec2)
    root = next(
        each["VolumeId"]
        for each in ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])[
            "Volumes"
        ]
        if each["VolumeId"] != volume
    )
    found = run(Site(known(instance=instance)))
    assert found["status"] == "failed"
    assert f"{instance} has 2 volumes" in found["reason"]
    assert root in found["reason"]
    ec2.detach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    assert run(Site(known(instance=instance)))["result"]["volume_id"] == root


def test_a_disk_of_xen_is_told_by_its_letter_and_an_nvme_disk_never_is(ec2: Any):
    instance, volume = attached(ec2, device="/dev/sdf")
    found = run(Site(known(instance=instance, disk=("xvdf", None))), device="/dev/xvdf")
    assert found["result"]["volume_id"] == volume
    refused = run(Site(known(instance=instance, disk=("nvme1n1", None))), device="/dev/nvme1n1", size="20G")
    assert "which volume nvme1n1 of web1 is cannot be told" in refused["reason"]
    both = run(
        Site(known(instance=instance, disk=("xvda", None))), device="/dev/xvda", volume_id=volume, size="20G"
    )
    assert f"{volume} is attached as /dev/sdf, and xvda of web1 is another: nothing was changed" in both["reason"]
    assert size(ec2, volume) == 8


def test_another_hosts_volume_is_refused(ec2: Any):
    instance, _ = attached(ec2)
    other, foreign = attached(ec2)
    found = run(Site(known(instance=instance)), volume_id=foreign, size="20G")
    assert found["reason"] == f"{foreign} is attached to {other}, and web1 is {instance}: nothing was changed"
    shows = run(Site(known(nvme1n1="vol-0aaaaaaaaaaaaaaaa")), volume_id=foreign, size="20G", region=REGION)
    assert "web1 shows the volumes vol-0aaaaaaaaaaaaaaaa, and not" in shows["reason"]
    both = run(
        Site(known(disk=("nvme1n1", "vol-0aaaaaaaaaaaaaaaa"))),
        volume_id=foreign,
        device="/dev/x",
        region=REGION,
    )
    assert f"/dev/x of web1 is vol-0aaaaaaaaaaaaaaaa, and not {foreign}" in both["reason"]
    assert size(ec2, foreign) == 8


def test_a_volume_that_nobody_can_check_is_named_and_taken(ec2: Any):
    _, volume = attached(ec2)
    site = Site(known())
    assert run(site, volume_id=volume, size="9G", region=REGION)["status"] == "changed"
    assert site.warned[0].startswith(f"whether {volume} is a volume of web1 cannot be checked")


def test_metadata_are_data_and_no_part_of_an_address(ec2: Any):
    host = known(instance="i-0123456789abcdef0")
    host["instance"]["region"] = "x.example/?"
    assert "that is no instance" in run(Site(host))["reason"]


# What is wrong on the control machine


@pytest.mark.parametrize(
    ("unset", "said"),
    [
        (("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), "no AWS credentials: set AWS_PROFILE"),
        (("SECRET_ACCESS_KEY",), "no AWS credentials that work"),
    ],
)
def test_missing_credentials_are_told_in_words(
    ec2: Any, monkeypatch: pytest.MonkeyPatch, unset: Any, said: str
):
    for name in unset:
        monkeypatch.delenv(f"AWS_{name}")
    found = run(Site(known()), volume_id="vol-0a1b2c3d4e5f60718", region=REGION)
    assert found["status"] == "failed"
    assert said in found["reason"]
    assert "Traceback" not in json.dumps(found)


def test_region_profile_and_server_that_are_not_there(ec2: Any):
    params = {"volume_id": "vol-0a1b2c3d4e5f60718"}
    assert "no region is known" in run(Site(known()), **params)["reason"]
    assert "(none-such)" in run(Site(known()), **params, profile="none-such", region=REGION)["reason"]
    closed = run(Site(known()), **params, region=REGION, endpoint_url="http://127.0.0.1:9")
    assert "Could not connect to the endpoint URL" in closed["reason"]
    gone = run(Site(known()), **params, region=REGION)
    assert "InvalidVolume.NotFound" in gone["reason"]
    assert "(is it in this region, and of this account?)" in gone["reason"]


class Page(http.server.BaseHTTPRequestHandler):
    """A proxy's page, as captive networks and wrong addresses have them."""

    def do_POST(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"<!doctype html><html lang=en><title>Not Found</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_is_not_aws_is_told(ec2: Any):
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            found = run(Site(known()), volume_id="vol-0a1b2c3d4e5f60718", region=REGION, endpoint_url=address)
        finally:
            server.shutdown()
            thread.join()
    assert found["status"] == "failed"
    assert "what answers is not AWS" in found["reason"]


def test_secrets_are_masked_before_they_are_used(ec2: Any):
    site = Site(known())
    run(site, volume_id="vol-0a1b2c3d4e5f60718", region=REGION)
    assert SECRET in site.hidden  # of boto3's chain, which the task never saw


def test_without_boto3_the_extra_is_named(ec2: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(Failed, match=r"install remedy with its extra, remedy\[aws\]"):
        _aws.client(Site(known()), {}, "ec2", REGION)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"volume_id": "vol-x"}, "volume_id 'vol-x': expected vol-"),
        ({"volume_id": "vol12345678"}, "volume_id 'vol12345678': expected vol-"),
        ({"size": "20%"}, "size '20%': expected 200G"),
        ({"size": "0G"}, "size '0G'"),
        ({"access_key": "a"}, "access_key and secret_key go together"),
        ({"region": "https://x"}, "region 'https://x': expected a name"),
        ({"profile": "p", "access_key": "a", "secret_key": "b"}, "name a profile, or keys, not both"),
    ],
)
def test_bad_parameters(params: dict[str, Any], said: str):
    assert said in str(ebs_volume.check_params({"volume_id": None, "size": None, **params}))


# What moto does not model: its changes are completed at once, it has no limits, and may everything


def test_waits_for_optimizing_and_tells_how_far_it_is(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    states = [
        modification("modifying", 0, 20),
        modification("modifying", 60, 20),
        modification("optimizing", 1, 20),
    ]
    aws("DescribeVolumesModifications", NEVER, *states)
    site = Site(known(instance=instance))
    done = run(site, volume_id=volume, size="20G")
    assert (done["status"], done["result"]["state"], done["result"]["progress"]) == (
        "changed",
        "optimizing",
        1,
    )
    assert site.warned == [f"{volume}: modifying 0% to 20 GiB", f"{volume}: modifying 60% to 20 GiB"]


def test_waits_for_completed_where_asked(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    aws(
        "DescribeVolumesModifications",
        NEVER,
        modification("optimizing", 40, 20),
        modification("completed", 100, 20),
    )
    site = Site(known(instance=instance))
    done = run(site, volume_id=volume, size="20G", wait="completed")
    assert (done["status"], done["result"]["state"]) == ("changed", "completed")
    assert site.warned == [f"{volume}: optimizing 40% to 20 GiB"]


def test_a_change_that_is_under_way_is_waited_for_and_not_asked_again(ec2: Any, aws: Any):
    """A run that was cut off after ModifyVolume: the volume still shows its old size."""
    instance, volume = attached(ec2)
    aws("DescribeVolumesModifications", modification("modifying", 10, 20), modification("optimizing", 0, 20))
    shown = {
        "VolumeId": volume,
        "State": "in-use",
        "Attachments": [{"InstanceId": instance, "Device": "/dev/sdf"}],
    }
    aws("DescribeVolumes", *[{"Volumes": [{**shown, "Size": gib}]} for gib in (8, 20)])
    modified = aws("ModifyVolume", error("Unexpected", "it must not be asked"))
    done = run(Site(known(instance=instance)), volume_id=volume, size="20G", snapshot=True)
    assert (done["status"], modified) == ("changed", [[]])
    assert ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [volume]}])["Snapshots"] == []


@pytest.mark.parametrize("asked", ["30G", "+20%"])
def test_another_size_than_that_under_way_is_refused(ec2: Any, aws: Any, asked: str):
    instance, volume = attached(ec2)
    aws("DescribeVolumesModifications", modification("modifying", 10, 20))
    found = run(Site(known(instance=instance)), volume_id=volume, size=asked)
    assert f"{volume} of web1 in {REGION} is being changed to 20 GiB (modifying 10%): " in found["reason"]


def test_a_volume_that_is_optimizing_takes_no_next_change_but_has_its_size(ec2: Any, aws: Any):
    instance, volume = attached(ec2, size=20)
    aws("DescribeVolumesModifications", modification("optimizing", 30, 20))
    assert run(Site(known(instance=instance)), volume_id=volume, size="20G")["status"] == "ok"
    refused = run(Site(known(instance=instance)), volume_id=volume, size="30G")
    assert "AWS takes the next change only after that is completed" in refused["reason"]


def test_the_limit_on_changes_is_told_with_when_it_ends(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    aws("DescribeVolumesModifications", modification("completed", 100, 8))
    said = (
        "You've reached the maximum modification rate per volume limit. Wait at least 6 hours between modifications "
        "per EBS volume."
    )
    denied = error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    asked = aws("ModifyVolume", denied, error("VolumeModificationRateExceeded", said))
    found = run(Site(known(instance=instance)), volume_id=volume, size="20G")
    assert found["status"] == "failed"
    assert found["reason"] == (
        f"{volume} of web1 in {REGION} was not changed: VolumeModificationRateExceeded: {said}; its last change, to "
        "8 GiB, is completed and began 2026-03-01 12:00 UTC: AWS takes a volume's changes six hours apart, or four in "
        "24 hours"
    )
    assert [body["DryRun"] for body in asked[0] if "DryRun" in body] == ["true"]
    assert (len(asked[0]), size(ec2, volume)) == (2, 8)


def test_a_right_that_is_missing_is_found_before_the_snapshot(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    secret = "Encoded authorization failure message: " + "x" * 2000
    said = f"You are not authorized to perform this operation. User: arn:aws:iam::1:user/ops is not. {secret}"
    aws("ModifyVolume", error("UnauthorizedOperation", said))
    found = run(Site(known(instance=instance), check=True), volume_id=volume, size="20G", snapshot=True)
    assert found["status"] == "failed"
    assert "cannot be changed: UnauthorizedOperation: You are not authorized" in found["reason"]
    assert "Encoded" not in found["reason"]


def test_a_change_that_fails_at_aws_is_a_failure(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    failed = modification("failed", 0, 20, StatusMessage="there is no capacity")
    aws("DescribeVolumesModifications", NEVER, failed)
    found = run(Site(known(instance=instance)), volume_id=volume, size="20G")
    assert found["reason"] == f"AWS could not change {volume} of web1 in {REGION}: there is no capacity"


def test_a_snapshot_that_fails_leaves_the_volume_alone(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    shot = {
        "SnapshotId": "snap-1",
        "State": "error",
        "StateMessage": "no luck",
        "StartTime": datetime.now(UTC),
    }
    aws("DescribeSnapshots", {"Snapshots": []}, {"Snapshots": [shot]})
    found = run(Site(known(instance=instance)), volume_id=volume, size="20G", snapshot=True)
    assert "is error: no luck" in found["reason"]
    assert size(ec2, volume) == 8


def test_a_wait_ends_at_its_time_and_says_what_goes_on(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    aws("DescribeVolumesModifications", NEVER, modification("modifying", 5, 20))
    found = run(Site(known(instance=instance)), volume_id=volume, size="20G", wait_timeout=0.05)
    assert found["status"] == "failed"
    assert "no end in time, last seen: modifying 5% to 20 GiB; the change of" in found["reason"]
    assert found["result"]["cause"] == "timeout"


def test_an_operator_who_stops_is_told_what_goes_on(ec2: Any, aws: Any):
    instance, volume = attached(ec2)
    pending = {"SnapshotId": "snap-1", "State": "pending", "Progress": "7%", "StartTime": datetime.now(UTC)}
    aws("DescribeSnapshots", {"Snapshots": []}, {"Snapshots": [pending]})
    stop = threading.Event()
    site = Site(known(instance=instance), stop=stop.is_set)
    threading.Timer(0.2, stop.set).start()
    found = run(site, volume_id=volume, size="20G", snapshot=True)
    assert "stopped, last seen: snapshot" in found["reason"]
    assert "the next run takes it up" in found["reason"]
    assert size(ec2, volume) == 8
    assert timedelta(0) < datetime.now(UTC) - pending["StartTime"] < timedelta(minutes=1)
