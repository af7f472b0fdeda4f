"""disk-grow cut off at any moment: the step under way ends, the data stay, and playing it again finishes the job."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.services_lab.cutting import WHO, cut
from tests.services_lab.growing import Bench, Machine, objects, said, words

pytestmark = pytest.mark.lab

MIB = 1 << 20
_READS = 'case "$*" in *--no-reread*) ;; *) exec /usr/sbin/sfdisk "$@";; esac'


def _whole(machine: Machine, bench: Bench, links: int) -> None:
    """What was cut off is finished by playing it again; nothing is lost, and all agrees."""
    assert machine.shell("findmnt -no TARGET /data") == "/data"
    assert machine.shell("sha256sum -c /run/sum") == "/data/kept: OK"
    done = bench.play(grow_offline=True)
    assert done.code == 0, said(done)
    assert len(objects(done)) <= links
    chain = machine.chain()
    sizes = [link["size_bytes"] for link in chain["links"]]
    assert sizes[0] > 500 * MIB
    assert sizes[1] - sizes[0] < 8 * MIB
    assert bench.play(grow_offline=True).report["changes"] == []
    assert machine.shell("sha256sum -c /run/sum") == "/data/kept: OK"
    assert "No errors detected" in machine.shell("d=$(findmnt -no SOURCE /data); sfdisk --verify ${d%p1}")


def _filled(machine: Machine, fs: str, table: str) -> None:
    machine.short(fs=fs, table=table, short="disk")
    machine.shell("head -c 200M /dev/urandom > /data/kept; sync -f /data; sha256sum /data/kept > /run/sum")


def _steps() -> list[Any]:
    """Every program with every cut: three programs with one cut each for `make drills`, all others for `make soak`."""
    programs = [("sfdisk", "xfs"), ("partx", "ext4"), ("e2fsck", "ext4"), ("resize2fs", "ext4")]
    programs += [("xfs_growfs", "xfs"), ("btrfs", "btrfs")]
    return [
        pytest.param(program, fs, who, marks=() if number == 2 * turn else pytest.mark.soak)
        for number, (program, fs) in enumerate(programs)
        for turn, who in enumerate(WHO)
    ]


@pytest.mark.parametrize(("program", "fs", "who"), _steps())
def test_a_step_that_is_cut_off_in_the_middle_ends_and_is_gone_on_from(
    machine: Machine, bench: Bench, program: str, fs: str, who: str
) -> None:
    _filled(machine, fs, "gpt" if who == "link" else "mbr")
    # The program that writes is slow: what reads the table alone is not.
    machine.slow(program)
    if program == "sfdisk":
        machine.shell(f"sed -i '2i {_READS}' /usr/local/sbin/sfdisk")
    cut(machine, bench.operator, who, machine.begun, *words(grow_offline=True))
    machine.shell("rm /usr/local/sbin/*")
    # The step that was under way went to its end, without anybody.
    chain = machine.chain()
    if program in ("sfdisk", "partx"):
        assert chain["links"][1]["size_bytes"] > 500 * MIB
    else:
        assert chain["links"][0]["size_bytes"] > 500 * MIB
    _whole(machine, bench, 3)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.soak if seed > 0 else ()) for seed in range(6)]
)
def test_a_cut_at_any_moment_leaves_the_data_and_a_job_that_can_be_finished(
    machine: Machine, bench: Bench, seed: int
) -> None:
    chance = random.Random(seed)
    _filled(machine, *(("xfs", "gpt"), ("ext4", "mbr"), ("btrfs", "gpt"))[seed % 3])
    for name in ("partx", "resize2fs", "umount"):
        machine.slow(name, 0)
        machine.shell(f"sed -i 's/sleep 0/sleep .{chance.randrange(1, 9)}/' /usr/local/sbin/{name}")
    who = chance.choice(WHO)
    pause = chance.uniform(0.3, 3)
    cut(machine, bench.operator, who, lambda: time.sleep(pause), *words(grow_offline=True), middle=False)
    machine.shell("rm -f /usr/local/sbin/*")
    _whole(machine, bench, 3)
