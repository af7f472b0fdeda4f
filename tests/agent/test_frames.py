"""Frames arrive whole, whatever they hold and however the bytes are cut."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.agent import frames
from remedy.agent.channel import Line

PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# A key that marks raw bytes inside a frame belongs to frames.py alone.
MESSAGES = st.dictionaries(st.text().filter(lambda key: "\0" not in key), VALUES, max_size=5).filter(
    lambda message: "\0raw" not in repr(message).encode().decode("unicode_escape", "replace")
)


def reader(data: bytes, sizes: list[int]) -> Any:
    at = 0
    cuts = iter(sizes)

    def receive(count: int) -> bytes:
        nonlocal at
        taken = data[at : at + min(count, next(cuts, count))]
        at += len(taken)
        return taken

    return receive


@given(st.lists(MESSAGES, max_size=3), st.lists(st.integers(1, 9), max_size=40))
def test_messages_arrive_as_they_were_sent(messages: list[dict[str, Any]], sizes: list[int]) -> None:
    receive = reader(b"".join(frames.encode(message) for message in messages), sizes)
    assert [frames.read(receive) for _ in messages] == messages
    assert frames.read(receive) is None


@given(MESSAGES, st.data())
def test_a_line_that_ends_inside_a_frame_is_broken(message: dict[str, Any], data: st.DataObject) -> None:
    whole = frames.encode(message)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(frames.Broken, match="before the end of a frame"):
        frames.read(reader(whole[:cut], []))


def test_noise_is_no_frame() -> None:
    with pytest.raises(frames.Broken, match="a frame of"):
        frames.read(reader(b"Last login: Mon Jan  1 00:00:00", []))


@given(st.lists(MESSAGES, min_size=1, max_size=3), st.binary(max_size=60), st.integers(1, 50))
def test_a_line_gives_whole_messages_and_keeps_the_noise(
    messages: list[dict[str, Any]], noise: bytes, piece: int
) -> None:
    inn, theirs = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)
    line = Line(inn, null, b"the-nonce")
    try:
        sent = noise + b"the-nonce\n" + b"".join(frames.encode(message) for message in messages)
        came = []
        for at in range(0, len(sent), piece):
            os.write(theirs, sent[at : at + piece])
            came += line.pull()
        assert came == messages
        assert line.noise == noise
        assert line.pull() == []
        os.close(theirs)
        theirs = -1
        assert line.pull() == []
        assert line.ended
    finally:
        line.close()
        if theirs >= 0:
            os.close(theirs)


def test_a_line_keeps_back_what_the_other_side_does_not_read() -> None:
    inn, out = os.pipe()
    line = Line(os.open(os.devnull, os.O_RDONLY), out)
    message = {"t": "content", "data": os.urandom(300_000)}
    line.push(message)
    assert line.waiting > 0

    def receive(count: int) -> bytes:
        line.flush()
        return os.read(inn, count)

    assert frames.read(receive) == message
    assert line.waiting == 0
    os.close(inn)
    line.push({"t": "late"})
    assert line.ended
    line.close()
