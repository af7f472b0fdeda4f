"""A change in one line."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.report.states import difference
from tests.report import night

FILE = night.STATE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"before": FILE, "after": {**FILE, "mode": "0600"}}, "mode 0644 -> 0600"),
        (
            {"before": FILE, "after": {**FILE, "uid": 5, "gid": 5, "owner": "app", "group": "app"}},
            "owner root -> app, group root -> app",
        ),
        ({"before": {**FILE, "sha1": "a"}, "after": {**FILE, "sha1": "b"}}, "content changed"),
        (
            {"before": {**FILE, "sha1": "a"}, "after": {**FILE, "sha1": "b", "size": 9000}},
            "content changed (1.2 KiB -> 8.8 KiB)",
        ),
        ({"before": None, "after": FILE}, "created (mode 0644, root:root, 1.2 KiB)"),
        (
            {"before": {**FILE, "type": "link", "target": "/x"}, "after": None},
            "removed (link, mode 0644, root:root, to /x)",
        ),
        ({"before": {"active": "failed"}, "after": {"active": "active"}}, "active failed -> active"),
        ({"before": {"v": ""}, "after": {"v": None}}, "v '' -> -"),
        ({"before": 100, "after": 200}, "100 -> 200"),
        (
            {
                "before": {"mode": "0755", "unlike": {f"blog/{n}": FILE for n in range(12)}},
                "after": {"mode": "0755", "unlike": {}},
            },
            "12 paths below it (blog/0, blog/1, blog/10 and 9 more)",
        ),
        ({"before": None, "after": {"version": "1.2"}}, "created (version=1.2)"),
        ({"before": None, "after": None}, "changed (hidden: its task has secrets)"),
        ({"kind": "action"}, "done"),
        ({"kind": "action", "predicted": True}, "would be done"),
        ({"kind": "action", "happened": "restarted"}, "restarted"),
        ({"kind": "action", "happened": "reloaded", "predicted": True}, "would be reloaded"),
        ({"kind": "command"}, "ran"),
        ({"kind": "command", "predicted": True}, "would run"),
        ({"kind": "sweep", "before": {"items": 3, "bytes": 9}, "after": {"items": 0}}, "3 items removed"),
        (
            {"kind": "sweep", "before": {"items": 3}, "after": {"items": 1}, "bytes_freed": 2048},
            "2 items of 3 removed, 2.0 KiB freed",
        ),
        (
            {
                "kind": "sweep",
                "before": {"items": 1},
                "after": {"items": 0},
                "bytes_freed": 7,
                "predicted": True,
            },
            "1 item would be removed, freeing 7 B",
        ),
        (
            {"kind": "sweep", "before": {"items": 1}, "after": {"items": 0}, "bytes_freed": 7, "happened": "emptied"},
            "1 item emptied, 7 B freed",
        ),
        ({"kind": "sweep", "bytes_freed": 7}, "7 B freed"),
        (
            {
                "kind": "sweep",
                "before": {"items": 183},
                "after": {"items": 0},
                "bytes_freed": 0,
                "items": [{"item": "/var/spool/x", "reason": "old", "size": 0}],
            },
            "183 files removed",
        ),
    ],
)
def test_what_happened(given: dict[str, Any], told: str) -> None:
    assert difference(night.change("h", "t", "o", **given)) == told
