"""The importer of the agent: what is compiled when, and what a module that breaks says."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from remedy.agent.importer import Memory

SOURCES = {
    "shipped_for_a_test.used": "from shipped_for_a_test import other\nvalue = 1\ndef late(): return other.value\n",
    "shipped_for_a_test.other": "value = 2\n",
    "shipped_for_a_test.broken": "value = 1 / 0\n",
}


@pytest.fixture
def memory() -> Iterator[Memory]:
    found = Memory(SOURCES)
    sys.meta_path.insert(0, found)
    yield found
    sys.meta_path.remove(found)
    for name in [name for name in sys.modules if name.startswith("shipped_for_a_test")]:
        del sys.modules[name]


def test_a_module_runs_when_it_is_asked_for_a_name(memory: Memory) -> None:
    __import__("shipped_for_a_test.used")
    used = sys.modules["shipped_for_a_test.used"]
    assert "value" not in vars(used)
    assert used.value == 1
    assert "value" not in vars(sys.modules["shipped_for_a_test.other"])
    assert used.late() == 2
    assert type(used) is type(sys)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = used.nothing


def test_a_module_that_breaks_breaks_for_everyone_who_asks(memory: Memory) -> None:
    __import__("shipped_for_a_test.broken")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ = sys.modules["shipped_for_a_test.broken"].value


def test_what_comes_later_is_found_too(memory: Memory) -> None:
    with pytest.raises(ImportError):
        __import__("shipped_for_a_test.further.new")
    memory.add({"shipped_for_a_test.further.new": "value = 3"})
    __import__("shipped_for_a_test.further.new")
    assert sys.modules["shipped_for_a_test.further.new"].value == 3


def test_what_is_not_shipped_is_left_to_others(memory: Memory) -> None:
    assert memory.find_spec("json") is None
