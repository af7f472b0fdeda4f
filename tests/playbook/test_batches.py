"""The batches that `serial` makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import InputError, Position
from remedy.playbook import batches

HERE = Position("play.yml", 3, 5)


@pytest.mark.parametrize(
    ("count", "serial", "sizes"),
    [
        (5, [], [5]),
        (5, [2], [2, 2, 1]),
        (6, [1, 2], [1, 2, 2, 1]),
        (10, ["30%"], [3, 3, 3, 1]),
        (3, ["10%"], [1, 1, 1]),
        (10, [1, "50%", "100%"], [1, 5, 4]),
        (4, ["3"], [3, 1]),
        (0, [3], []),
    ],
)
def test_sizes(count, serial, sizes):
    assert [len(one) for one in batches(range(count), serial, HERE)] == sizes


@given(
    st.lists(st.integers(), max_size=40),
    st.lists(st.integers(1, 50) | st.integers(1, 100).map("{}%".format), max_size=4),
)
def test_every_host_is_in_one_batch_in_order(hosts, serial):
    found = batches(hosts, serial, HERE)
    assert [host for one in found for host in one] == hosts
    assert all(found)


@pytest.mark.parametrize("size", [0, "0%", "many", True, None, "1.5"])
def test_bad_sizes(size):
    with pytest.raises(
        InputError, match=r"^play.yml:3:5: 'serial' is .*\n  expected a number of hosts \(5\)"
    ):
        batches([1], [size], HERE)
