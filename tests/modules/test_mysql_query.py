"""mysql_query without a server: how long a statement may take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from remedy.modules.controller.mysql_query import _patience


@pytest.mark.parametrize(("own", "left", "seconds"), [(30, None, 30), (30, 2.0, 2), (2, 30.0, 2), (30, 0.0, 1)])
def test_a_statement_may_take_what_it_says_and_what_its_task_has_left(
    own: float, left: float | None, seconds: float
) -> None:
    server = SimpleNamespace(site=SimpleNamespace(left=lambda: left))
    assert _patience(server, {"timeout": own}) == seconds  # type: ignore[arg-type]
