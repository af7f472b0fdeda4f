"""What is kept on the control machine, mostly for an undo, and how much of it."""

from remedy.agent import frames
from remedy.agent.kinds import Irreversible

OBJECT_LIMIT = 1 << 20
HOST_LIMIT = 64 << 20


def keep(module, have, left, undoing=None):
    """Return (what undo needs, None) or (what is saved all the same or None, why the change cannot be undone).

    `left` is how many bytes the host may still keep in this run; `undoing` is what an undo is about to bring back.
    """
    kept = module.keep(have) if undoing is None else module.keep_undone(have, undoing)
    if isinstance(kept, Irreversible):
        return (kept.saved if weight(kept.saved) <= OBJECT_LIMIT else None), kept.reason
    size = weight(kept)
    if size > OBJECT_LIMIT:
        return None, "content larger than 1 MiB"
    if left is not None and size > left:
        return None, "more than 64 MiB of this host would be kept for undo in this run"
    return kept, None


def weight(kept):
    """Return the bytes that something kept takes in a message."""
    return 0 if kept is None else len(frames.encode({"kept": kept}))
