"""disk-grow on LVM, cut off while a link below the file system grows: the step ends, and playing again finishes."""

from __future__ import annotations

import pytest

from tests.acceptance.operator import Operator
from tests.services_lab.cutting import WHO, cut
from tests.services_lab.growing import Machine, objects, words
from tests.soak.lvm import chain, twin

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

_GROWN = {
    "pvresize": "vgs --noheadings --nosuffix --units b -o vg_size data",
    "lvextend": "blockdev --getsize64 /dev/data/lv",
    "resize2fs": "df -B1 --output=size /data | tail -1",
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("program", _GROWN)
def test_a_step_that_is_cut_off_in_the_middle_ends_and_is_gone_on_from(
    operator: Operator, machine: Machine, program: str, who: str
) -> None:
    chain(machine)
    machine.shell("head -c 200M /dev/urandom > /data/kept; sync; sha256sum /data/kept > /run/sum")
    before = twin(machine)
    machine.slow(program, 5)
    try:
        cut(machine, operator, who, machine.begun, *words())
    finally:
        machine.shell("rm -f /usr/local/sbin/* /run/slow")
    # The step that was under way went to its end, without anybody.
    assert int(machine.shell(_GROWN[program])) > 500 << 20
    assert machine.shell("findmnt -no TARGET /data; sha256sum -c /run/sum") == "/data\n/data/kept: OK"
    done = operator.remedy("play", *words(), timeout=600)
    left = ["lvm_lv", "filesystem"][list(_GROWN).index(program) :]
    assert (done.code, objects(done)) == (0, left), done.stderr
    assert machine.chain()["links"][0]["size_bytes"] > 500 << 20
    assert operator.remedy("play", *words(), timeout=600).report["changes"] == []
    assert machine.shell("sha256sum -c /run/sum") == "/data/kept: OK"
    assert twin(machine) == before
