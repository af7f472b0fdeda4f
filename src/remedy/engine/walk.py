"""The walk of one host through one play: a generator that renders ahead and asks for flights.

It touches neither network nor clock: it yields requests (flight.Request) and whoever drives it carries them out.
A task that needs a result still on its way raises Pending; then the flight leaves, lands, and the task is tried again.
A failure takes the walk back to the failing task's cursor and from there to the nearest rescue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from remedy.engine.barriers import Barriers
from remedy.engine.build import Builder, NeedsHello, loop_layers, never_fails
from remedy.engine.context import PlayContext
from remedy.engine.cursor import Cursor, Failure
from remedy.engine.flight import (
    FAILED,
    SKIPPED,
    UNKNOWN,
    Barrier,
    Entry,
    Flight,
    Gate,
    Hello,
    Item,
    Request,
)
from remedy.engine.guards import together
from remedy.engine.keywords import Keywords, list_of
from remedy.engine.ledger import Ledger
from remedy.engine.one_by_one import one_by_one
from remedy.engine.options import CHECK, DIAGNOSE
from remedy.engine.program import Stage, program
from remedy.engine.results import text_of_command
from remedy.engine.state import HostState
from remedy.engine.together import Going, Together
from remedy.engine.unknown import names_in
from remedy.engine.variables import INCLUDE, NeedsBarrier, Variables
from remedy.errors import InputError, RemedyError
from remedy.events import FindingResolved, SectionStarted
from remedy.playbook import Block, Include, Task, selected
from remedy.template import Layer, Pending, UnknownValue

_MOST_IN_FLIGHT = 500  # a batch of thousands would hold its first results back from the report


class _Pass(Struct, frozen=True):
    """One pass of an include: the nodes it brings and the variables they see."""

    include: Include
    nodes: tuple[object, ...]
    layers: tuple[Layer, ...]


class Walk:
    """One host in one play; `requests()` is driven by a worker."""

    def __init__(
        self,
        play: PlayContext,
        state: HostState,
        *,
        check: bool,
        only: tuple[str, ...] = (),
        barriers: Barriers | None = None,
    ) -> None:
        self._play = play
        self._run = play.run
        self._state = state
        self._check = check
        self._variables = Variables(play, state, check=check)
        self._builder = Builder(play, state, self._variables, check=check)
        self.ledger = Ledger(play, state, self._variables)
        self._together = Together(self, play, state, self._variables, barriers or play.barriers)
        mode = CHECK if check else play.run.options.mode
        self._program = program(play.play, mode=mode, gate=play.asks, only=only)
        self._flight = Flight()
        self._failure: tuple[Entry, Failure] | None = None
        self.fell: Failure | None = None
        self._stage = ""
        self._ended = False
        self._doomed = False
        self._flushes: Counter[tuple[int, ...]] = Counter()

    @property
    def variables(self) -> Variables:
        return self._variables

    def requests(self) -> Iterator[Request]:
        """Walk the play; the host's state says how it ended."""
        cursor: Cursor | None = Cursor.root(self._program)
        while cursor is not None:
            here, failure = cursor.settled()
            if here is None:
                cursor = yield from self._land(None)
                if cursor is None and failure is not None:
                    cursor = self._fail(failure)  # an always section has passed it on
                continue
            cursor = here
            if len(self._flight.entries) >= _MOST_IN_FLIGHT:
                cursor = yield from self._land(cursor)
                continue
            try:
                cursor = yield from self._go(cursor)
            except Pending as pending:
                if not self._flight.entries:
                    raise RemedyError(f"'{pending.name}' is awaited, but nothing is on its way") from None
                cursor = yield from self._land(cursor)
            except NeedsBarrier:
                cursor = yield from self._land(here)
                if cursor is here:
                    yield Barrier(here.position)
                    self._variables.barrier_passed = True
                    if (failed := self._together.news(here.position)) is not None:
                        cursor = self._together.share(here, failed)
            except NeedsHello as needs:
                cursor = yield from self._land(here)
                if cursor is here:
                    yield Hello(needs.host)
            except UnknownValue as unknown:
                self._flight.entries.append(self._builder.stumble(here, self._stage, unknown))
                cursor = here.advance()
            except InputError as error:
                if not self._run.bus.begun:
                    if not self._may_turn():
                        raise
                elif not self._flight.entries:
                    self._flight.entries.append(self._builder.stumble(here, self._stage, error))
                cursor = yield from self._land(here)
            if self._ended or not self._state.alive:
                return
        if self._doomed:
            self._state.failed = True
        else:
            self._conclude()

    def _may_turn(self) -> bool:
        """Say whether a failure of what is in flight would lead elsewhere: what comes next may never be reached."""
        return any(entry.travels and entry.cursor.rescues() for entry in self._flight.entries)

    # -- one node

    def _go(self, cursor: Cursor) -> Going:
        node = cursor.node
        if node is None:  # the place of a handler that was not notified
            return cursor.advance()
        if isinstance(node, Stage):
            return (yield from self._enter_stage(node, cursor))
        if isinstance(node, _Pass):
            return cursor.enter(node.nodes, within=node.include.apply, layers=node.layers)
        if isinstance(node, Block):
            return cursor.enter_block(node)
        words = Keywords.of(node, cursor.ancestors)
        if not self._selected(words):
            return cursor.advance()
        together = self._together.concerns(node, words)
        if (self._play.lockstep or together) and not self._variables.barrier_passed:
            landed = yield from self._land(cursor)
            if landed is not cursor:
                return landed
            if together:
                self._together.come(node, cursor)
            yield Barrier(cursor.position)
            if not self._state.alive or self._play.aborted:
                self._ended = True
                return cursor
            self._variables.barrier_passed = True
            if (failed := self._together.news(cursor.position)) is not None:
                return self._together.share(cursor, failed)
        if together:
            after = yield from self._together.take(node, cursor, words)
        else:
            after = yield from self.do(node, cursor, words)
        self._variables.barrier_passed = False
        return after

    def do(self, node: Task | Include, cursor: Cursor, words: Keywords) -> Going:
        """Do a task or an include; return the next cursor."""
        if isinstance(node, Include):
            return self._include(node, cursor, words)
        return (yield from self._task(node, cursor, words))

    def fall(self, cursor: Cursor, failure: Failure) -> Cursor | None:
        """Return where a failure at a cursor leads: to a rescue, or to what a failed host may still do."""
        self._variables.barrier_passed = False
        after, _ = cursor.failed(failure)
        return self._fail(failure) if after is None else after

    def _selected(self, words: Keywords) -> bool:
        if self._stage not in ("pre_tasks", "tasks", "post_tasks"):
            return True
        return selected(words.tags, self._run.options.tags, self._run.options.skip_tags)

    def _task(self, task: Task, cursor: Cursor, words: Keywords) -> Going:
        if task.module == "meta":
            return (yield from self._meta(task, cursor, words))
        entry = self._builder.entry(task, cursor, words, self._stage)
        if self._stage == "handlers" and not self._state.surely_notified(task):
            about = " ".join(
                name for item in entry.items for name in names_in((item.message or {}).get("params", {}))
            )
            reason = "notified by a task that check mode cannot tell"
            guard = together(item.guard for item in entry.items)
            entry.items = [Item(0, status=UNKNOWN, reason=reason, about=about, guard=guard)]
        if task.until is not None or task.loop_control.pause or task.loop_control.break_when:
            landed = yield from self._land(cursor)
            if landed is not cursor:
                return landed
            yield from one_by_one(entry, self._state, self.ledger, self._run.templar)
            if not self._state.alive:
                return cursor
            self._flight.entries.append(entry)
            return (yield from self._land(cursor.advance()))
        if len({item.host for item in entry.items if item.message is not None}) > 1:
            for _, items in groupby(entry.items, key=lambda item: item.message is not None and item.host):
                yield Flight([replace(entry, items=list(items), partial=True)])
            self._flight.entries.append(entry)
            return (yield from self._land(cursor.advance()))
        alone = task.spec.place in ("raw", "controller") or self._together.concerns(task, words)
        if alone and self._flight.entries:
            landed = yield from self._land(cursor)
            if landed is not cursor:
                return landed
        self._append(entry)
        if alone or self._ends_batch(entry):
            return (yield from self._land(cursor.advance()))
        return cursor.advance()

    def _append(self, entry: Entry) -> None:
        self._flight.entries.append(entry)
        variables, name = self._variables, entry.task.register
        if entry.check:
            left_out = (
                text_of_command(item) for item in entry.items if item.kind == "command" and item.message
            )
            about = (item.about for item in entry.items)
            variables.under_way += [("under way", text) for text in (*left_out, *about) if text]
        if entry.travels:
            if name:
                variables.in_flight.add(name)
            if entry.task.module == "setup":
                variables.in_flight.update(("ansible_facts", "ansible_*"))
        else:
            variables.provisional = {**variables.provisional, **self.ledger.settled(entry)}

    def _ends_batch(self, entry: Entry) -> bool:
        task = entry.task
        if any(item.status == FAILED for item in entry.items) and not entry.ignore:
            return True
        return entry.travels and task.failed_when is not None and not never_fails(task)

    # -- landing

    def _land(self, cursor: Cursor | None) -> Going:
        """Let the flight happen; return `cursor`, or where a failure leads."""
        flight, self._flight = self._flight, Flight()
        if not flight.entries:
            return cursor
        yield flight
        self.settle(flight)
        self._variables.landed()
        failed, self._failure = self._failure, None
        if failed is None:
            for entry in flight.entries:
                if not entry.committed and not entry.partial:
                    raise RemedyError(f"'{entry.task.title}' was sent, and nothing came back of it")
            return cursor
        entry, failure = failed
        self.fell = failure
        judged = any(item.judged for item in entry.items)
        for other in flight.entries:
            if other.committed or not other.travels:
                continue
            if other.done and judged:
                self.ledger.commit(other)  # the host ran it: what failed is what we made of the result
            elif not entry.cursor.rescues():
                self.ledger.dropped(other, "an earlier task failed")
        return self.fall(entry.cursor, failure)

    def _fail(self, failure: Failure) -> Cursor | None:
        """The host has failed, nothing has rescued it; return what it may still do."""
        if not self._state.quiet:
            self._play.failed(self._state.name, failure.words)
        last = self._play.play.force_handlers and self._state.notified and not self._doomed
        self._doomed = True
        return Cursor.root((Stage("handlers"),)) if last else None

    def lost(self, flight: Flight, reason: str) -> None:
        """Tell of what was under way when the host was lost."""
        for entry in flight.entries:
            if not entry.committed and not entry.partial and entry.travels:
                self.ledger.dropped(entry, reason)

    def settle(self, flight: Flight) -> None:
        """Commit, in order, every entry whose outcome is known."""
        while flight.landed < len(flight.entries) and self._failure is None:
            entry = flight.entries[flight.landed]
            if not entry.done:
                return
            flight.landed += 1
            if not entry.committed and not entry.partial:
                failure = self.ledger.commit(entry)
                if failure is not None:
                    self._failure = (entry, failure)

    # -- includes, stages, meta

    def _include(self, node: Include, cursor: Cursor, words: Keywords) -> Cursor:
        templar = self._run.templar
        scope = self._variables.scope(cursor=cursor)
        if node.vars:
            scope = scope.with_layers((Layer(INCLUDE, node.vars),))
        passes = []
        loops: list[tuple[tuple[Layer, ...], object]] = [((), None)]
        if node.loop is not None:
            loops = list(loop_layers(node, list_of(node.loop, templar, scope, node.position)))
        for layers, _ in loops:
            inner = scope.with_layers(layers) if layers else scope
            if not all(templar.condition(part, inner, where=node.position) for part in words.when):
                continue
            name = str(templar.render(node.file, inner, where=node.position))
            nodes = self._play.tasks_file(name, node, self._stage)
            given = tuple(Layer(INCLUDE, layer.values, data=True) for layer in layers)
            passes.append(_Pass(node, nodes, (Layer(INCLUDE, node.vars), *given) if node.vars else given))
        after = cursor.advance()
        return cursor.enter(tuple(passes)) if passes else after

    def _enter_stage(self, stage: Stage, cursor: Cursor) -> Going:
        if stage.lands or (
            stage.name == "handlers" and any(entry.notifies for entry in self._flight.entries)
        ):
            landed = yield from self._land(cursor)
            if landed is not cursor:
                return landed
        if stage.name == "gate":
            yield Gate()
            return cursor.advance()
        if stage.when_found and self._play.play.diagnose and not self._state.findings:
            return cursor.advance()
        self._stage = stage.name
        if stage.name == "handlers":
            return self._flush(cursor)
        if not self._state.quiet and stage.name != "facts":
            self._run.bus.emit(
                SectionStarted(host=self._state.name, play=self._play.play.title, section=stage.name)
            )
        return cursor.enter(stage.nodes, within=self._play.play)

    def _flush(self, cursor: Cursor) -> Cursor:
        """Enter the notified handlers, in the order they are defined, and come back for those they notify."""
        handlers = self._notified(cursor)
        if handlers is None:
            return cursor.advance()
        return replace(handlers, parent=replace(cursor, index=cursor.index - 1))

    def _notified(self, cursor: Cursor) -> Cursor | None:
        """Return the cursor at the notified handlers, None where there are none; each flush is further on."""
        nodes = self._state.take_notified(self._play.play.handlers)
        if not nodes:
            return None
        self._flushes[cursor.position] += 1
        return cursor.enter(nodes, within=self._play.play, branch=self._flushes[cursor.position])

    def _meta(self, task: Task, cursor: Cursor, words: Keywords) -> Going:
        landed = yield from self._land(cursor)
        if landed is not cursor:
            return landed
        entry = self._builder.entry(task, cursor, words, self._stage)
        self._flight.entries.append(entry)
        after = yield from self._land(cursor.advance())
        if any(item.status in (FAILED, SKIPPED) for item in entry.items):
            return after
        action = str(task.args.get("action") or task.args.get("free_form") or "")
        if action in ("end_host", "end_play"):
            self._ended = True
            if action == "end_play":
                self._play.end()
        elif action == "clear_facts":
            self._state.facts.clear()
        elif action == "flush_handlers":
            return self._notified(cursor) or after
        return after

    def _conclude(self) -> None:
        """Say which findings the last diagnose did not raise again."""
        if (
            self._check
            or self._run.options.mode == DIAGNOSE
            or not any(s.name == "diagnose again" for s in self._program)
        ):
            return
        for id in self._state.findings:
            if id not in self._state.again and not self._state.quiet:
                self._run.bus.emit(FindingResolved(host=self._state.name, play=self._play.play.title, id=id))
