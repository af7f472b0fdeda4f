"""capacity-report on a real host: it measures, and tells the trend from what runs before it measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from remedy.lab import Disk, Lab
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory
from tests.journal import telling

pytestmark = pytest.mark.lab

MIB = 1 << 20


def test_a_disk_that_grew_for_a_week_is_found_before_it_is_full(
    lab: Lab, host_factory: HostFactory, tmp_path: Path
) -> None:
    host = host_factory("grown", disks={"/data": Disk("64M")})
    operator = Operator(tmp_path, lab, host, ansible_become=True)

    def report() -> tuple[int, list[dict[str, object]]]:
        done = operator.diagnose("capacity-report")
        return done.code, done.report["findings"]

    assert report() == (0, [])  # nothing is known yet
    lab.run(host.name, ["sh", "-c", "head -c 40M /dev/urandom > /data/grown; sync"])
    for day in range(7, 0, -1):
        moment = (datetime.now(UTC) - timedelta(days=day)).timestamp()
        each = {"mount": "/data", "size": 60 * MIB, "used": (40 - 4 * day) * MIB, "image": False}
        result = {"filesystems": [{**each, "available": 60 * MIB - each["used"]}]}
        looked = replace(telling.done(module="disk_usage", result=result), host=host.name, time=moment)
        telling.write(operator.state, f"2020010{day}-day", [looked], time=moment, hosts=[host.name])
    code, [finding] = report()
    assert code == 10
    assert (finding["id"], finding["severity"]) == ("capacity-short", "P3")
    [short] = finding["evidence"]  # type: ignore[misc]
    assert (short["resource"], short["object"]) == ("disk", "/data")
    assert 2.0 < short["days_left"] < 7.0
    assert short["limit"] < 64 * MIB  # what the host has, not what was told of it earlier
    assert f"{short['days_left']:.1f} days" in finding["title"]  # type: ignore[operator]
    # What is soon has a unit, too.
    for soon, severity in (("1w", "P2"), ("168h", "P2"), ("7d", "P2"), ("24h", "P3"), ("1d", "P3")):
        [finding] = operator.diagnose("capacity-report", "-e", f"capacity_soon={soon}").report["findings"]
        assert finding["severity"] == severity, soon
