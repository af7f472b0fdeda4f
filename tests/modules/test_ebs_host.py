"""What a host shows of its volumes: serials as NVMe and virtio disks have them, and metadata over a real socket."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import in_python, step

from remedy.agent.kinds import Failed
from remedy.modules.target import _blocks, _ebs_host

VOLUME = "vol-0a1b2c3d4e5f60718"


@pytest.fixture
def sys(tmp_path: Path) -> str:
    """A /sys with an NVMe volume that has a partition, a virtio disk, a disk of another maker, and LVM on it."""
    for name, file, serial in (
        ("nvme1n1", "device/serial", "vol0a1b2c3d4e5f60718  "),
        ("vdb", "serial", "vol12345678"),
        ("sda", "device/serial", "S3Z8NB0K"),
    ):
        path = tmp_path / "devices" / name / file
        path.parent.mkdir(parents=True)
        path.write_text(f"{serial}\n")
    part = tmp_path / "devices/nvme1n1/nvme1n1p1"
    part.mkdir()
    (part / "partition").write_text("1\n")
    (tmp_path / "devices/dm-0/slaves/nvme1n1p1").mkdir(parents=True)
    for folder, names in (
        ("block", ["nvme1n1", "vdb", "sda", "dm-0"]),
        ("class/block", ["nvme1n1", "nvme1n1/nvme1n1p1", "vdb", "sda", "dm-0"]),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / Path(name).name).symlink_to(tmp_path / "devices" / name)
    return str(tmp_path)


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("nvme1n1", "nvme1n1p1", "sda", "dm-0", "file"):
        (folder / name).touch()
    (folder / "data").symlink_to(folder / "nvme1n1p1")
    return folder


def test_serials_are_volumes_where_they_look_like_one(sys: str):
    assert _blocks.volumes(sys) == {VOLUME: "nvme1n1", "vol-12345678": "vdb"}


@pytest.mark.parametrize("text", ["S3Z8NB0K", "vol", "vol-xyz", "vol0a1b2c3d4e5f607189", ""])
def test_other_serials_are_none(text: str):
    assert _blocks.volume_of(text) is None


def test_a_partition_and_a_link_lead_to_the_disk(sys: str, dev: Path):
    assert _ebs_host.disk_of(str(dev / "data"), sys) == {"name": "nvme1n1", "volume": VOLUME}
    assert _ebs_host.disk_of(str(dev / "nvme1n1"), sys) == {"name": "nvme1n1", "volume": VOLUME}
    assert _ebs_host.disk_of(str(dev / "sda"), sys) == {"name": "sda", "volume": None}


def test_what_is_no_disk_is_refused(sys: str, dev: Path):
    with pytest.raises(Failed, match="lies on nvme1n1p1: name the disk below it"):
        _ebs_host.disk_of(str(dev / "dm-0"), sys)
    with pytest.raises(Failed, match="is no block device"):
        _ebs_host.disk_of(str(dev / "file"), sys)
    with pytest.raises(Failed, match="there is no device"):
        _ebs_host.disk_of(str(dev / "sdz"), sys)


class Service(http.server.BaseHTTPRequestHandler):
    """Metadata as version 2 of Amazon's service gives them: with a token alone."""

    document = json.dumps(
        {"instanceId": "i-0123456789abcdef0", "region": "eu-west-1", "availabilityZone": "eu-west-1b"}
    )

    def do_PUT(self) -> None:
        self._answer(
            200 if self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") == "60" else 400, "secret-token"
        )

    def do_GET(self) -> None:
        known = self.headers.get("X-aws-ec2-metadata-token") == "secret-token"
        self._answer(200 if known else 401, self.document)

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[tuple[int, type[Service]]]:
    kind = type("Own", (Service,), {})
    with http.server.HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, kind
        server.shutdown()
        thread.join()


def test_metadata_are_asked_with_a_token_and_past_every_proxy(
    service: tuple[int, type[Service]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    told, why = _ebs_host.instance("127.0.0.1", service[0])
    assert told == {"id": "i-0123456789abcdef0", "region": "eu-west-1", "zone": "eu-west-1b"}
    assert why is None


@pytest.mark.parametrize("document", ["no json", "{}", "[]"])
def test_metadata_that_are_none_are_told(service: tuple[int, type[Service]], document: str):
    service[1].document = document
    told, why = _ebs_host.instance("127.0.0.1", service[0])
    assert told is None
    assert why


def test_where_nobody_answers_that_is_told():
    told, why = _ebs_host.instance("127.0.0.1", 9)
    assert (told, why) == (None, "ConnectionRefusedError: [Errno 111] Connection refused")


@pytest.mark.parametrize("interpreter", interpreters())
def test_it_runs_on_every_python(interpreter: str):
    module = {**step("ping"), "module": "remedy.modules.target._ebs_host", "params": {"device": "/dev/null"}}
    look = {**module, "params": {}}
    told, refused = in_python(interpreter, look, module)
    assert told["status"] == "ok", told
    assert set(told["result"]) >= {"disks", "instance", "no_instance"}
    assert (refused["status"], refused["reason"]) == ("failed", "/dev/null is no block device")
