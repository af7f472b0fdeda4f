"""Diffs as they are told: unified, as a note, or only counted."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.engine.difference import counted, unified


class Nothing:
    """No source has content."""

    def text(self, source: str) -> str | None:
        return None


@pytest.mark.parametrize(
    ("diff", "told", "of_secrets"),
    [
        (None, "", ""),
        ({"note": "/a: removed (12 lines)"}, "/a: removed (12 lines)\n", "(has secrets)\n"),
        (
            {"before": "a\n", "after": "a\nb\n"},
            "--- x (before)\n+++ x (after)\n@@ -1 +1,2 @@\n a\n+b\n",
            "(has secrets: 1 line added, 0 removed)\n",
        ),
        (
            {"before": "a\n", "after": "b\nc\n"},
            "--- x (before)\n+++ x (after)\n@@ -1 +1,2 @@\n-a\n+b\n+c\n",
            "(has secrets: 2 lines added, 1 removed)\n",
        ),
        ({"before": b"\xff", "after": ""}, "(binary or large content)\n", "(has secrets)\n"),
    ],
)
def test_what_is_told_of_a_diff(diff: Any, told: str, of_secrets: str) -> None:
    assert unified(diff, "x", Nothing()) == told
    assert counted(told) == of_secrets
