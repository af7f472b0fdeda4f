"""A play of twenty changes to the tree of tree.py, and the question whether every change was journaled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remedy.events import Changed, Intent
from remedy.journal import RunRecord, list_runs, read_run

PLAY = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - lineinfile: {path: "{{ tree }}/lines.conf", regexp: "^two", line: "two = 22"}
    - lineinfile: {path: "{{ tree }}/lines.conf", line: "four = 4"}
    - lineinfile: {path: "{{ tree }}/odd.conf", line: "a further line"}
    - copy: {dest: "{{ tree }}/copied.bin", content: "short\\n"}
    - copy: {dest: "{{ tree }}/new.txt", content: "{{ 'new ' * 500 }}", mode: "0640", owner: "2001"}
    - copy: {dest: "{{ tree }}/greeting", src: greeting, mode: "0600"}
    - template: {dest: "{{ tree }}/greeting", src: greeting.j2}
    - template: {dest: "{{ tree }}/rendered", src: greeting.j2}
    - file: {path: "{{ tree }}/private", mode: "0600"}
    - file: {path: "{{ tree }}/owned", owner: "2005", group: "2001"}
    - file: {path: "{{ tree }}/stale.lock", state: absent}
    - file: {path: "{{ tree }}/old", state: absent}
    - file: {path: "{{ tree }}/current", src: releases/2, state: link}
    - file: {path: "{{ tree }}/replaced", src: greeting, state: link, force: true}
    - file: {path: "{{ tree }}/same", src: "{{ tree }}/owned", state: hard}
    - file: {path: "{{ tree }}/a/b/c", state: directory, mode: "0711"}
    - file: {path: "{{ tree }}/touched", state: touch}
    - file: {path: "{{ tree }}/spool", state: directory, recurse: true, owner: "2005", mode: "u=rwX,go=rX"}
    - file: {path: "{{ tree }}/made/{{ item }}.old", state: absent}
      loop: [0, 1]
"""
CHANGES = 20

FILES = {
    "playbooks/twenty.yml": PLAY,
    "playbooks/files/greeting": "a file of the project\n",
    "playbooks/templates/greeting.j2": "hello from {{ inventory_hostname }}\n",
}

Tree = Mapping[str, Any]


def only_run(state: Path) -> RunRecord | None:
    """Return the one run of a state folder; None where it was cut off before its first line."""
    runs = list_runs(state)
    if len(runs) > 1:
        raise AssertionError(f"{len(runs)} runs in {state}")
    return read_run(runs[0].folder) if runs else None


def differing(before: Tree, after: Tree) -> set[str]:
    """Return the paths that are not as they were."""
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def objects(record: RunRecord | None, root: str) -> dict[str, str | None]:
    """Return the objects that have an intent with what undo needs on disk: {path below the root: change}."""
    found = {}
    for line in record.lines if record is not None else ():
        if isinstance(line.event, Intent) and record is not None:
            intent = record.intent(line)  # reads and checks the blob
            if intent.kept is None:
                raise AssertionError(f"nothing was kept of {intent.object}: {intent.irreversible}")
            found[intent.object.partition(":")[2].removeprefix(f"{root}/")] = intent.change
    return found


def changed(record: RunRecord | None) -> int:
    """Return how many changes the journal knows to be done."""
    return sum(isinstance(event, Changed) for event in record.events) if record is not None else 0


def uncovered(before: Tree, after: Tree, journaled: Mapping[str, Any]) -> set[str]:
    """Return what differs and neither has an intent nor lies in, above or beside something that has one.

    A folder differs when what is in it came or went only in its links, which `look` leaves out; the two names of a
    hard link share their number of links.
    """
    covered = {*journaled, *({"owned"} if "same" in journaled else ())}
    return {
        path
        for path in differing(before, after)
        if not any(
            path == name or path.startswith(f"{name}/") or name.startswith(f"{path}/") for name in covered
        )
    }
