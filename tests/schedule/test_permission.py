"""What a permission covers, and what it does not."""

from __future__ import annotations

from datetime import date

import pytest

from remedy.engine.approval import Planned
from remedy.errors import Refused
from remedy.schedule.permission import Permission, Standing


def _permission(kinds: str = "DR", most: float = 0.5, share: bool = True) -> Permission:
    return Permission(frozenset(kinds), most, share, date(2027, 6, 30), "anna@example.com")


def _step(kind: str, *, unknown: bool = False, attended: bool = False) -> Planned:
    return Planned(
        task="restart it", guarded=frozenset(kind.split()), object="service:nginx", unknown=unknown, attended=attended
    )


def test_what_is_covered_happens() -> None:
    Standing("nightly", _permission(), 4)({"web1": [_step("disruptive")], "web2": [_step("destructive")]})
    Standing("nightly", None, 4)({"web1": [_step("")]})


def test_without_permission_nothing_is_destroyed() -> None:
    with pytest.raises(Refused) as caught:
        Standing("nightly", None, 4)({"web1": [_step("destructive")]})
    assert caught.value.exit_code == 3
    assert "the schedule 'nightly' may not do this: it has no permission" in caught.value.message
    assert "web1: destroys service:nginx  [restart it] (D)" in caught.value.message


@pytest.mark.parametrize("unknown", [False, True])
def test_a_kind_that_is_not_covered_is_named(unknown: bool) -> None:
    with pytest.raises(Refused) as caught:
        Standing("nightly", _permission("R"), 4)(
            {"web1": [_step("disruptive"), _step("destructive", unknown=unknown)]}
        )
    assert "its permission is for R only" in caught.value.message
    assert f"web1: {'perhaps ' if unknown else ''}destroys service:nginx" in caught.value.message
    assert "interrupts" not in caught.value.message


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("kinds", ["D", "R"])
def test_what_does_both_needs_both(kinds: str, unknown: bool) -> None:
    both = _step("destructive disruptive", unknown=unknown)
    with pytest.raises(Refused) as caught:
        Standing("nightly", _permission(kinds), 4)({"db1": [both]})
    assert caught.value.exit_code == 3
    assert caught.value.message == (
        f"the schedule 'nightly' may not do this: its permission is for {kinds} only\n"
        f"    db1: {'perhaps ' if unknown else ''}destroys and interrupts service:nginx  [restart it] (D R)"
    )
    Standing("nightly", _permission("DR"), 4)({"db1": [both]})


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("permission", [None, _permission(most=1.0)])
def test_what_is_marked_is_never_covered(permission: Permission | None, unknown: bool) -> None:
    with pytest.raises(Refused) as caught:
        Standing("nightly", permission, 4)(
            {"web1": [_step("disruptive")], "web2": [_step("destructive", unknown=unknown, attended=True)]}
        )
    assert caught.value.exit_code == 3
    assert caught.value.message == (
        "the schedule 'nightly' may not do this: what is marked ! never runs unattended\n"
        f"    web2: {'perhaps ' if unknown else ''}destroys service:nginx  [restart it] (D!)"
    )
    assert "no permission covers it" in caught.value.hint


def test_more_hosts_than_the_share_are_refused_over_all_batches() -> None:
    standing = Standing("nightly", _permission(most=0.5), 4)
    standing({"web1": [_step("disruptive")]})
    standing({"web1": [_step("disruptive")], "web2": [_step("disruptive")]})
    with pytest.raises(Refused, match="at most 50% of 4 hosts, which is 2, and this concerns 3"):
        standing({"web3": [_step("disruptive")]})


@pytest.mark.parametrize(
    ("most", "share", "of", "hosts"),
    [
        (0.25, True, 4, 1),
        (0.25, True, 3, 0),
        (1.0, True, 7, 7),
        (2, False, 7, 2),
        (9, False, 7, 7),
        (0.29, True, 100, 29),
    ],
)
def test_a_share_is_rounded_down(most: float, share: bool, of: int, hosts: int) -> None:
    assert _permission(most=most, share=share).hosts(of) == hosts
