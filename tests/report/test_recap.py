"""The recap's numbers mean what they mean in Ansible."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.events import HostLeftOut, RunStarted
from remedy.report import Counts, Recap
from tests.report import night


def recap(*events: Any) -> Recap:
    made = Recap()
    made(
        RunStarted(
            run="r", playbook="p", inventory="i", mode="apply", user="u", hosts=["a", "b"], arguments=[]
        )
    )
    for event in events:
        made(event)
    return made


@pytest.mark.parametrize(
    ("status", "given", "counts"),
    [
        ("ok", {}, Counts(ok=1)),
        ("changed", {}, Counts(ok=1, changed=1)),
        ("skipped", {}, Counts(skipped=1)),
        ("failed", {}, Counts(failed=1)),
        ("failed", {"ignored": True}, Counts(ok=1, ignored=1)),
        ("failed", {"rescued": True}, Counts(rescued=1)),
        ("unknown", {}, Counts()),
        ("not_run", {}, Counts()),
        ("ok", {"item": "one of a loop"}, Counts()),
        ("ok", {"module": "meta"}, Counts()),
    ],
)
def test_each_status_counts_as_in_ansible(status: str, given: dict[str, Any], counts: Counts) -> None:
    assert recap(night.done("a", "t", status, 1, **given)).hosts == {"a": counts, "b": Counts()}


def test_a_host_left_out_is_unreachable_unless_it_was_refused() -> None:
    made = recap(
        HostLeftOut(host="a", reason="timeout", message=""),
        HostLeftOut(host="b", reason="locked", message="", refused=True),
    )
    assert [counts.unreachable for counts in made.hosts.values()] == [1, 0]


def test_the_line_is_ansibles() -> None:
    assert str(Counts(ok=12, changed=3)) == (
        "ok=12   changed=3    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0"
    )
    assert [Counts().style, Counts(changed=1).style, Counts(failed=1).style] == ["green", "yellow", "red"]
