"""What the commands of schedules say."""

from __future__ import annotations

import pytest

from remedy.cli.scheduling import say


def test_what_others_wrote_into_a_shared_history_does_not_paint_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("nightly: is handled already (done, by \x1b]0;owned\x07\x1b[2J\u202eeve)\n  a second line: J\u00f6rg")
    assert capsys.readouterr().err == (
        "nightly: is handled already (done, by \\x1b]0;owned\\x07\\x1b[2J\\u202eeve)\n  a second line: J\u00f6rg\n"
    )
