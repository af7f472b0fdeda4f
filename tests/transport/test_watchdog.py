"""Deadlines: they fire once, can be moved and lifted, and heed a cancel."""

from __future__ import annotations

import threading

import pytest

from remedy.transport.watchdog import CANCELLED, TIMEOUT, Watchdog


@pytest.fixture
def dog():
    dog = Watchdog()
    yield dog
    dog.close()


def test_a_deadline_fires_once_and_says_so(dog):
    ended = threading.Event()
    with dog.guard(0.02, ended.set) as guard:
        assert ended.wait(5)
        assert guard.fired == TIMEOUT
        assert guard.remaining == 0


def test_a_cancel_fires_before_the_deadline(dog):
    ended, cancel = threading.Event(), threading.Event()
    with dog.guard(60, ended.set, cancel) as guard:
        cancel.set()
        assert ended.wait(5)
        assert guard.fired == CANCELLED


def test_the_nearest_of_several_comes_first(dog):
    order: list[str] = []
    done = threading.Event()
    late, early = dog.add(60, lambda: order.append("late")), dog.add(0.02, lambda: order.append("early"))
    with dog.guard(0.1, done.set):
        assert done.wait(5)
    assert (late.fired, early.fired) == (None, TIMEOUT)
    assert order == ["early"]


def test_a_guard_that_is_lifted_or_renewed_does_not_fire(dog):
    fired = threading.Event()
    with dog.guard(0.05, fired.set):
        pass
    renewed = dog.add(0.05, fired.set)
    renewed.renew(60)
    other = threading.Event()
    with dog.guard(0.2, other.set):
        assert other.wait(5)
    assert not fired.is_set()
    assert renewed.fired is None
