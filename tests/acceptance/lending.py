"""Runs of disk-full that stand still while ext4's reserve is lent, and what ends them there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen

from tests.acceptance.cutting import CuttingProxy
from tests.acceptance.operator import Operator
from tests.modules.mariadb import FOLDER, Database

RESERVE = f"tune2fs -l $(findmnt -no SOURCE {FOLDER}) | sed -n 's/Reserved block count: *//p'"
SOON = 15  # seconds: an agent is gone after 5
# It stands still with the reserve lent, and sees when the host is lost.
_STANDS_STILL = """
import runpy, sys, time
from remedy.modules.controller import mysql_binlog_purge
def stand_still(purge, *_):
    while True:
        purge._reserve()
        time.sleep(.1)
mysql_binlog_purge.Purge._until_gone = stand_still
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_AGENTS = "pgrep -x python3 | sort -n"  # the agent, its worker, the keeper of the promise
_LENT = f'until [ "$({RESERVE})" = 0 ]; do sleep .05; done'
_BACK = f'until [ "$({RESERVE})" = "$1" ]; do sleep .05; done'

# What disk-full comes to on a database host, without its looking around.
PURGE = """
- hosts: all
  become: true
  gather_facts: false
  tasks:
    - mysql_binlog_purge: {keep: 3d, keep_files: 3, end_writers: true, lend_reserve: true}
"""

Ending = Callable[[Database, Popen[str], CuttingProxy], object]


def remedy_killed(db: Database, remedy: Popen[str], proxy: CuttingProxy) -> None:
    remedy.kill()


def link_cut(db: Database, remedy: Popen[str], proxy: CuttingProxy) -> None:
    proxy.cut(proxy.pieces + 2)


def agent_killed(db: Database, remedy: Popen[str], proxy: CuttingProxy) -> None:
    """With its worker, as where memory runs out."""
    # The worker may be gone by itself as soon as the agent is.
    db.shell(f"set -- $({_AGENTS} | head -2); kill -9 $1; kill -9 $2 2> /dev/null || :")


def nothing_left_alive(db: Database, remedy: Popen[str], proxy: CuttingProxy) -> None:
    """As a power cut does it; the keeper goes first."""
    db.shell(f"kill -9 $({_AGENTS} | tac)")
    remedy.kill()


@contextmanager
def lent(operator: Operator, db: Database, ending: Ending, play: str = "disk-full") -> Iterator[str]:
    """Play until the reserve is lent, and end it there; yields the run's id once nobody is at work on the host."""
    proxy = CuttingProxy((db.address, 22))
    try:
        before = runs(operator)
        operator.add(db.host, db.lab.host(db.host), proxy.port)
        under = (sys.executable, "-c", _STANDS_STILL)
        with operator.start("play", play, "--yes", under=under) as process:
            try:
                db.shell(_LENT, timeout=30)
                ending(db, process, proxy)
                process.communicate(timeout=30)
            finally:
                process.kill()
        db.lab.run(db.host, ["flock", "-w", str(SOON), "/run", "true"])
        (run,) = runs(operator) - before
        yield run
    finally:
        operator.add(db.host, db.lab.host(db.host))
        proxy.close()


def runs(operator: Operator) -> set[str]:
    """Return the ids of the runs there were."""
    folder = operator.state / "runs"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def is_back(db: Database, reserve: str) -> None:
    """Wait until the reserve is back."""
    db.shell(_BACK, reserve, timeout=SOON)


def nobody_left(db: Database) -> None:
    """Wait until nothing of remedy's is on the host."""
    db.shell("while pgrep -x python3; do sleep .05; done", timeout=SOON)
