"""Running one step: the order of questions that each kind of module answers.

The module answers, this file decides: check mode, write-ahead, "changed", convergence and the result follow from
the kind alone. `talk.ask(intent)` blocks until the control machine's journal holds the intent.
"""

import sys
import time

from remedy.agent.keeping import keep
from remedy.agent.kinds import Failed, Skipped, Unknown, listed
from remedy.agent.outcome import Outcome, differing, plain

PREFIX = "remedy.modules.target."


def run(step, host, talk):
    """Run a step and return its `result` frame without the envelope (see docs/protocol.md); raises nothing.

    A lost link raises `talk.Gone`, which is no Exception: nothing is written after it.
    """
    started = time.monotonic()
    outcome = Outcome(step)
    try:
        module = _load(step, host, talk)
        outcome.kind = module.kind
        handler = _undo if step.get("op") == "undo" else _KINDS[module.kind]
        handler(module, step, talk, outcome)
    except Skipped as error:
        outcome.skip(str(error))
    except Unknown as error:
        outcome.unknown(str(error))
    except Failed as error:
        outcome.fail(error.message, error.cause, error.result)
    except Exception as error:
        from remedy.agent import faults  # compiled only where something went wrong

        outcome.fail(*faults.judge(error))
    return outcome.frame(time.monotonic() - started)


def _load(step, host, talk):
    name = step["module"]
    if not name.startswith("remedy."):
        name = PREFIX + name
    __import__(name)
    loaded = sys.modules[name]
    params = step.get("params") or {}
    kind = loaded.kind(params)
    timeout = step.get("timeout")
    seconds = kind.deadline if timeout is None else timeout
    host.limit(seconds or None)
    talk.running(seconds or None, bool(kind.interruptible), kind.kind)
    return kind(params, host)


def _probe(module, step, talk, outcome):
    outcome.ok("", module.read())


def _resource(module, step, talk, outcome):
    have = module.read()
    outcome.object = module.key()
    want = module.wanted(have)
    if want == have:
        outcome.ok(module.why(have), module.returns(have, have))
        return
    change = outcome.plan(have, want, module.diff(have, want), module.means(have, want))
    if step.get("check"):
        module.predict(have, want)
        outcome.changed(module.returns(have, want), after=want, predicted=True)
        return
    kept, irreversible = keep(module, have, step.get("keep_left"))
    change["irreversible"] = irreversible
    talk.ask(outcome.intent(kept=kept, needs=list(module.needs(have, want))))
    if step.get("lent"):
        if irreversible is not None:
            raise Failed("not lent, for it could not be put back: %s" % irreversible)
        talk.lend(module, have, want, kept)
    with outcome.looking_again(module):
        module.write(have, want)
    now = module.read()
    again = module.wanted(now)
    outcome.wrote(now)
    if again != now:
        raise Failed("did not converge: still different: %s" % differing(now, again))
    outcome.changed(module.returns(have, now), after=now)


def _undo(module, step, talk, outcome):
    if module.kind != "resource":
        raise Failed("a %s cannot be undone; only resources can" % module.kind)
    kept = step.get("kept")
    if kept is None:
        raise Failed("nothing was kept to undo this change with")
    outcome.object = module.key()
    # An object that was changed twice is undone twice: in check mode the first undo is only foreseen.
    foreseen = module.host.foreseen
    have = foreseen[outcome.object] if step.get("check") and outcome.object in foreseen else module.read()
    stays = module.stays(have)
    if stays is not None:
        outcome.kept.append({"item": outcome.object, "reason": stays})
        outcome.ok(stays, {})
        return
    known = "state" in kept
    want = kept.get("state")
    if known and plain(have) == plain(want):
        outcome.ok("already as before the change", {})
        return
    # Several where the run was cut off: it may have left the object on either side of the change.
    expected = [plain(state) for state in step["expect"]]
    expected += [plain(module.left(state)) for state in expected if state is not None]
    if plain(have) not in expected and plain(have) in [plain(state) for state in step.get("undone") or []]:
        outcome.ok("taken back already", {})
        return
    if plain(have) not in expected:
        raise Skipped("%s has changed since: %s" % (outcome.object, differing(expected[0], plain(have))))
    module.before_undo(kept)
    change = outcome.plan(have, want, module.diff(have, want) if known else None)
    if step.get("check"):
        if known:
            foreseen[outcome.object] = want
        outcome.changed({}, after=want, predicted=True)
        return
    again, change["irreversible"] = keep(module, have, step.get("keep_left"), undoing=kept)
    talk.ask(outcome.intent(kept=again, needs=[]))
    with outcome.looking_again(module):
        module.undo(kept)
    now = module.read()
    outcome.wrote(now)
    if known and plain(now) != plain(want):
        raise Failed("the undo did not converge: still different: %s" % differing(plain(now), plain(want)))
    outcome.changed({}, after=now)


def _action(module, step, talk, outcome):
    outcome.object = module.key()
    nothing = module.ready()
    if nothing is not None:
        outcome.ok(nothing, {})
        return
    before = module.state()
    change = outcome.plan(before, None, None)
    change["irreversible"] = "an action cannot be undone"
    change["happened"] = module.happened
    change["items"] = listed(module.takes(before), module.noun)
    if step.get("check"):
        outcome.changed({}, after=None, predicted=True)
        return
    talk.ask(outcome.intent(kept=None, needs=[], items=change["items"] or None))
    outcome.wrote(None)  # from here on it may have happened, whatever comes
    returned = module.do() or {}
    change["bytes_freed"] = returned.get("bytes_freed")
    outcome.changed(returned, after=module.proof(before))


def _command(module, step, talk, outcome):
    if step.get("check"):
        module.check()
        outcome.skip("check mode")
        return
    returned = dict(module.run() or {})
    outcome.command(returned)


def _sweep(module, step, talk, outcome):
    from remedy.agent import sweeps

    sweeps.run(module, step, talk, outcome)


_KINDS = {
    "probe": _probe,
    "resource": _resource,
    "sweep": _sweep,
    "action": _action,
    "command": _command,
}
