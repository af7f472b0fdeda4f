"""Running a Sweep: one approved list, drained item by item, then looked at again."""

from remedy.agent import faults
from remedy.agent.keeping import HOST_LIMIT, weight
from remedy.agent.kinds import Failed, listed


def run(module, step, talk, outcome):
    """Find, tell the whole list, drain it, and find again: no approved item may be left without a reason."""
    outcome.object = module.key()
    found = module.find()
    taking = [item for item in found if item.take]
    outcome.kept = _left(item for item in found if not item.take)
    if not taking:
        outcome.ok("nothing to take", module.returns([], [item for item in found if not item.take]))
        return
    size = sum(item.size or 0 for item in taking)
    change = outcome.plan({"items": len(taking), "bytes": size}, {"items": 0, "bytes": 0}, None)
    change["items"] = listed(taking, module.noun)
    change["happened"] = module.happened
    change["irreversible"] = "what is swept away is not kept"
    if step.get("check"):
        change["bytes_freed"] = size
        returned = module.returns(taking, [item for item in found if not item.take])
        outcome.changed(returned, after=change["want"], predicted=True)
        return
    kept = module.keep(taking) or None
    if weight(kept) > step.get("keep_left", HOST_LIMIT):
        raise Failed("what is to be kept on the control machine is more than the 64 MiB of a host and run")
    talk.ask(outcome.intent(kept=kept, needs=[], items=change["items"]))
    taken, left, errors = _drain(module, taking, talk, outcome, change)
    change["items"] = listed(taken, module.noun)
    try:
        again = [item for item in module.find() if item.take]
    except (Failed, OSError) as error:
        if not errors:
            raise
        why = error if isinstance(error, Failed) else faults.explain(error)
        # What went wrong first says more: a server that is gone, and may have done it all the same.
        change["after_unknown"] = True
        outcome.wrote(change["after"])
        raise _failed(taking, errors, "; nobody could look again: %s" % why.message)
    _judge(taking, left, errors, again)
    still = [item for item in found if not item.take] + [item for item in taking if item.id in left]
    returned = dict(module.returns(taken, still))
    known = {item.id for item in taking}
    returned["newcomers"] = listed([item for item in again if item.id not in known], module.noun)
    returned["bytes_freed"] = change["bytes_freed"]
    if taken:
        outcome.changed(returned, after=change["after"])
    else:
        outcome.ok("every item had changed or was gone", returned)


def _drain(module, taking, talk, outcome, change):
    """Take the items one by one; return those taken, {id: why left}, {id: what went wrong}."""
    taken, left, errors = [], {}, {}
    change["bytes_freed"] = 0
    for item in taking:
        if talk.stopping():
            raise talk.Gone()
        try:
            freed = module.drain(item)
        except Failed as error:
            errors[item.id] = error
        except OSError as error:
            errors[item.id] = faults.explain(error)
        else:
            if isinstance(freed, str):
                left[item.id] = freed
                outcome.kept.append({"item": item.id, "reason": freed})
            else:
                taken.append(item)
                change["bytes_freed"] += freed or 0
                rest = change["before"]["items"] - len(taken)
                outcome.wrote({"items": rest, "bytes": change["before"]["bytes"] - change["bytes_freed"]})
    return taken, left, errors


def _judge(taking, left, errors, again):
    if errors:
        raise _failed(taking, errors)
    there = {item.id for item in again}
    stayed = [item.id for item in taking if item.id in there and item.id not in left]
    if stayed:
        raise Failed("did not converge: still there: %s" % ", ".join(stayed[:20]), stayed=stayed)


def _failed(taking, errors, more=""):
    first = next(item.id for item in taking if item.id in errors)
    return Failed(
        "%d of %d items could not be taken; %s: %s%s"
        % (len(errors), len(taking), first, errors[first].message, more),
        errors[first].cause,
        errors={name: error.message for name, error in errors.items()},
    )


def _left(items):
    return [{"item": item.id, "reason": item.reason} for item in items]
