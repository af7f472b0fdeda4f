"""Nothing on a host is changed before its previous state is on the operator's disk, wherever remedy is cut off."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remedy.events import Intent
from tests.acceptance import wrecker
from tests.acceptance.cutting import SILENT, CuttingProxy
from tests.acceptance.twenty import CHANGES, changed, differing, objects, only_run, uncovered
from tests.acceptance.twenty_hosts import Local, Remote

KILLS = CUTS = 50
START_SECONDS = 30.0  # for the agent to come to life
SILENCE_SECONDS = 60.0
LANES = 2  # as many as the machine that tests are sized for has cores
UNDONE_EACH = 10  # of the runs cut off, every tenth is rolled back as well


def in_lanes(work: Callable[[int, list[Any]], None], things: Iterable[Any]) -> None:
    """Share things among lanes that work at the same time; raises what the first of them raises."""
    things = list(things)
    with ThreadPoolExecutor(LANES) as lanes:
        for done in [lanes.submit(work, lane, things[lane::LANES]) for lane in range(LANES)]:
            done.result()


def check(place: Local | Remote, before: dict[str, Any], state: Path, *, undo: bool) -> int:
    """Compare a place with its journal; return how many changes were journaled."""
    after = place.look()
    record = only_run(state)
    journaled = objects(record, place.root)
    assert not uncovered(before, after, journaled)
    if not journaled:
        assert after == before
    elif undo:
        out = state.with_suffix(".rollback")
        assert wrecker.run(place.order(state, "rollback", "--yes", out=out)) == 0, out.read_text()
        after = place.look()
        assert {path: (before.get(path), after.get(path)) for path in differing(before, after)} == {}
    return len(journaled)


@pytest.fixture(scope="module")
def places(lab, host_factory, tmp_path_factory) -> list[Remote]:
    """A lab host for each lane."""
    hosts = [host_factory(f"h{number}") for number in range(LANES)]
    return [Remote(tmp_path_factory.mktemp(host.name), lab, host) for host in hosts]


@pytest.fixture(scope="module")
def lines(lab, host_factory, tmp_path_factory) -> Iterator[list[tuple[Remote, CuttingProxy]]]:
    """A lab host for each lane, behind a proxy that can cut the line."""
    hosts = [host_factory(f"h{number}") for number in range(LANES)]
    proxies = [CuttingProxy((host.address, 22)) for host in hosts]
    yield [
        (Remote(tmp_path_factory.mktemp(host.name), lab, host, port=proxy.port), proxy)
        for host, proxy in zip(hosts, proxies, strict=True)
    ]
    for proxy in proxies:
        proxy.close()


@dataclass
class Silence:
    """A run whose line fell silent: how it ended, after how many seconds, and what it left behind."""

    place: Remote
    before: dict[str, Any]
    state: Path
    code: int
    seconds: float
    agents: list[str]


@pytest.fixture(scope="module")
def silences(lab, host_factory, tmp_path_factory) -> Iterator[list[Future[Silence]]]:
    """Runs whose line falls silent while a module is on its way, and while changes are made; a minute each."""
    hosts = [host_factory(f"silent{number}") for number in range(2)]
    proxies = [CuttingProxy((host.address, 22)) for host in hosts]

    def fall_silent(number: int) -> Silence:
        proxy = proxies[number]
        place = Remote(tmp_path_factory.mktemp("silent"), lab, hosts[number], port=proxy.port)
        before = place.build()
        state, out = place.state(), place.operator.folder / "out"
        proxy.cut((15, 45)[number], 0.5, SILENT)
        process = wrecker.start(place.order(state, "play", "twenty", out=out))
        assert proxy.was_cut.wait(30)
        began = time.monotonic()
        code = wrecker.ended(process, 3 * SILENCE_SECONDS)
        seconds = time.monotonic() - began
        agents = place.agents(max(0.0, SILENCE_SECONDS + 3 * 5.0 - seconds))
        return Silence(place, before, state, code, seconds, agents)

    with ThreadPoolExecutor(len(hosts)) as threads:
        yield [threads.submit(fall_silent, number) for number in range(len(hosts))]
    for proxy in proxies:
        proxy.close()


def test_the_journal_is_on_disk_before_the_word(tmp_path):
    place = Local(tmp_path)
    place.build()
    says = tmp_path / "says"
    assert wrecker.run(place.order(place.state(), "play", "twenty", says=says)) == 0
    words = 0
    since: list[str] = []
    for line in says.read_text().splitlines():
        if line.startswith("taken Intent"):
            since = [line.split()[2]]
        elif line.startswith("fsynced"):
            since.append(Path(line.split(" ", 1)[1]).parent.name + "/" + Path(line).name)
        elif line.startswith("send word"):
            words += 1
            change, *synced = since
            assert line.split()[2] == change
            blob, journal = synced[-2:]
            assert blob.endswith("/undo.bin")
            assert journal.endswith("/journal.jsonl")
    assert words == CHANGES


def test_a_command_leaves_when_its_intent_is_on_disk(tmp_path):
    place = Local(tmp_path)
    (tmp_path / "playbooks/command.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: touch {{ tree }}/ran\n"
    )
    place.build()
    says = tmp_path / "says"
    assert wrecker.run(place.order(place.state(), "play", "command", says=says)) == 0
    assert "ran" in place.look()
    points = [line for line in says.read_text().splitlines() if line.split()[0] not in ("send", "taken")]
    intended = next(number for number, point in enumerate(points) if point.startswith("event Intent"))
    synced = next(number for number in range(intended, len(points)) if points[number].startswith("fsynced"))
    for number in range(synced + 1):
        before = place.build()
        state = place.state()
        code = wrecker.run(place.order(state, "play", "command", end_at=number))
        assert code == wrecker.WRECKED
        assert place.look() == before
    record = only_run(state)  # of the last one, which ended when the intent was on disk
    assert record is not None
    assert [event.kind for event in record.events if isinstance(event, Intent)] == ["command"]


def test_ended_at_every_point_of_the_journal(tmp_path, silences):
    first = Local(tmp_path / "first")
    before = first.build()
    state, says = first.state(), tmp_path / "says"
    assert wrecker.run(first.order(state, "play", "twenty", says=says)) == 0
    assert changed(only_run(state)) == CHANGES
    assert (
        len(differing(before, first.look())) >= CHANGES - 3
    )  # two files are changed twice, two folders emptied
    points = [line for line in says.read_text().splitlines() if line.split()[0] not in ("send", "taken")]
    assert len(points) > 10 * CHANGES  # three events a change, its commit, three fsyncs
    counts: dict[int, int] = {}

    def work(lane: int, numbers: list[int]) -> None:
        place = Local(tmp_path / f"lane-{lane}")
        for number in numbers:
            before = place.build()
            state = place.state()
            code = wrecker.run(place.order(state, "play", "twenty", end_at=number))
            assert code == wrecker.WRECKED
            # Here the change is done, and the journal does not know it.
            undo = points[number].startswith("event Changed")
            counts[number] = check(place, before, state, undo=undo)

    in_lanes(work, range(len(points)))
    assert counts[0] == 0
    assert counts[len(points) - 1] == max(counts.values())


def test_killed_at_random_moments(places, silences):
    for place in places:
        place.build()
        assert wrecker.run(place.order(place.state(), "play", "twenty")) == 0
    place.build()
    began = time.monotonic()
    assert wrecker.run(place.order(place.state(), "play", "twenty")) == 0
    whole = time.monotonic() - began
    seed = random.randrange(1 << 30)
    moments = random.Random(seed)
    counts = []

    def work(lane: int, numbers: list[int]) -> None:
        place = places[lane]
        seconds = whole
        for number in numbers:
            before = place.build()
            state = place.state()
            began = time.monotonic()
            process = wrecker.start(place.order(state, "play", "twenty"))
            if wrecker.ended(process, moments.uniform(0.1 * seconds, 1.2 * seconds)) is not None:
                seconds = time.monotonic() - began
            process.kill()
            assert wrecker.ended(process, 10) is not None
            count = check(place, before, state, undo=number % UNDONE_EACH == 0)
            counts.append(count)
            seconds *= 1.0 if count else 1.2  # the machine is busier, or idler, than it was
            assert not place.agents()

    print(f"seed {seed}")
    in_lanes(work, range(KILLS))
    assert len(counts) == KILLS
    assert any(0 < count < CHANGES - 2 for count in counts), counts


def test_the_link_is_cut_at_random_pieces(lines, silences):
    seed = random.randrange(1 << 30)
    moments = random.Random(seed)
    counts = []

    def work(lane: int, numbers: list[int]) -> None:
        place, proxy = lines[lane]
        proxy.cut(None)
        place.build()
        assert wrecker.run(place.order(place.state(), "play", "twenty")) == 0
        pieces = proxy.pieces
        for number in numbers:
            before = place.build()
            state, says = place.state(), place.operator.folder / f"says-{number}"
            proxy.cut(moments.randrange(pieces), moments.random())
            code = wrecker.run(place.order(state, "play", "twenty", says=says))
            assert not place.agents()
            after = place.look()
            record = only_run(state)
            words = {
                line.split()[2] for line in says.read_text().splitlines() if line.startswith("send word")
            }
            sent = {path: change for path, change in objects(record, place.root).items() if change in words}
            assert not uncovered(before, after, sent)
            # Of what had its word, all but the last is known to be done.
            assert changed(record) <= len(words) <= changed(record) + 1
            assert code == 4 or (code == 0 and changed(record) == CHANGES)
            counts.append(changed(record))
            if number % UNDONE_EACH == 0:
                assert wrecker.run(place.order(place.state(), "play", "twenty")) == 0

    print(f"seed {seed}")
    in_lanes(work, range(CUTS))
    assert len(counts) == CUTS
    assert any(0 < count < CHANGES - 2 for count in counts), counts


def test_a_line_that_falls_silent_is_given_up_by_both_sides(silences):
    for future in silences:
        silence = future.result(6 * SILENCE_SECONDS)
        assert silence.code == 4
        assert START_SECONDS - 1 < silence.seconds < 1.5 * SILENCE_SECONDS
        assert silence.agents == []
        place = silence.place
        check(place, silence.before, silence.state, undo=False)
        assert wrecker.run(place.order(place.state(), "play", "twenty")) == 0
