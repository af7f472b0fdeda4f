"""Look at the replication slots of a PostgreSQL server, or drop one that nobody uses.

Without `name` it looks: `slots` (name, type, database, active, held_bytes: WAL that it holds back, status,
inactive_since), the one that holds most first. With `name` the slot is dropped, which takes --yes: what it stands for,
a standby or a reader of changes, cannot go on from where it was. Never one that is in use, nor one that has been used
since it was found. It cannot be taken back. Returns `dropped` and `held_bytes`.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Item, Param, Probe, Sweep
from remedy.modules.controller._pg_settings import size
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, opened
from remedy.modules.controller.postgresql_replication import slots

PARAMS = (
    Param("name", "list", elements="str", help="Slots to drop."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_slots:
  register: slots
- postgresql_slots: {name: [old_standby]}
"""


def kind(params: dict[str, Any]) -> type[Probe | Sweep]:
    return Look if params.get("name") is None else Drop


class Look(Probe):
    """Reads them."""

    def read(self) -> dict[str, Any]:
        """Return them."""
        found = slots(opened(self.host, self.params))
        return {"slots": sorted(found, key=lambda each: -(each["held_bytes"] or 0))}


class Drop(Sweep):
    """Drops those that are named and unused."""

    happened = "dropped"
    noun = "slot"
    attended = True

    def key(self) -> str:
        """Return what is swept."""
        return "replication slots of PostgreSQL"

    def find(self) -> list[Item]:
        """Return the slots that are named; those in use stay."""
        items = []
        for each in slots(opened(self.host, self.params)):
            if each["name"] not in self.params["name"]:
                continue
            held = each["held_bytes"] or 0
            why = f"it is in use (pid {each['active_pid']})" if each["active"] else ""
            # A schedule's permission is told of it, and says no: kept without a word the slot would fill the disk.
            if not why and not (self.host.yes or self.host.unattended):
                why = "with --yes it is dropped, and nobody can bring it back"
            reason = why or f"{each['type']}, nobody uses it, it holds {size(held)} of WAL back"
            # The position moves only when somebody uses it.
            identity = [each["name"], each["type"], each["restart_lsn"]]
            items.append(Item(each["name"], not why, reason, held, identity))
        return items

    def drain(self, item: Item) -> int | str:
        """Drop one."""
        server = opened(self.host, self.params)
        now = [each for each in slots(server) if each["name"] == item.id]
        if not now:
            return "it is gone"
        if now[0]["active"] or [now[0]["name"], now[0]["type"], now[0]["restart_lsn"]] != list(item.identity):
            return "it has been used since it was found"
        try:
            server.rows("SELECT pg_drop_replication_slot(%s)", [item.id])
        except Failed as failed:
            if failed.result.get("sqlstate") == "55006":  # object_in_use: the server looks once more
                return "it is in use"
            raise
        return 0

    def returns(self, taken: list[Item], kept: list[Item]) -> dict[str, Any]:
        """Return what was dropped, and how much WAL may go at the next checkpoint."""
        return {"dropped": [item.id for item in taken], "held_bytes": sum(item.size for item in taken)}
