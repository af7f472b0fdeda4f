"""The harmless half of a sweep: what it would take and keep, as a Probe that may stand in diagnose."""

from remedy.agent.kinds import Param, Probe, Sweep

READS = Param(
    "reads",
    "bool",
    default=False,
    help="Only look: list what would be taken and kept. May stand in diagnose.",
)


class Listing(Probe):
    """Returns `takes` and `kept` (item, reason, size), `bytes` that they would free, and the sweep's own."""

    sweep = Sweep
    deadline = 120

    def read(self):
        sweep = self.sweep(self.params, self.host)
        found = sweep.find()
        taking = [item for item in found if item.take]
        kept = [item for item in found if not item.take]
        known = dict(sweep.returns(taking, kept))
        known.update(
            takes=[_shown(item) for item in taking],
            kept=[_shown(item) for item in kept],
            bytes=sum(item.size or 0 for item in taking),
        )
        return known


def _shown(item):
    return {"item": item.id, "reason": item.reason, "size": item.size}
