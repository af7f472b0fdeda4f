"""Make a replication slot of PostgreSQL that nobody uses, and write so much that it holds WAL back.

The slot is remedy_drill_NAME, physical, with its position reserved. The write-ahead log of `size` is made of messages
(pg_logical_emit_message), which no table has. `absent` drops the slot: the server removes the log at its next
checkpoints. The program psql on the host makes it. Refused on a standby, and where the disk has no room for it. Returns
`slot` and `held` (bytes).
"""

from remedy.agent.kinds import Failed, Param
from remedy.modules.target.faults import _filling, _postgres_root
from remedy.modules.target.faults._fault import STATE, Fault, name_param

PARAMS = (
    Param("size", "size", default=64 << 20, help="So much WAL it holds back."),
    Param("port", "int", default=5432, help="The server's port."),
    name_param("slot"),
    STATE,
)

EXAMPLES = """
- fault_postgres_slot: {size: 200M}
- fault_postgres_slot: {state: absent}
"""

_ROUND = 4 << 20  # bytes that are written at a time
_SPARE = 32 << 20


def check_params(params):
    return _postgres_root.wrong_name(params)


def kind(params):
    return Slot


class Slot(Fault):
    @property
    def slot(self):
        return "remedy_drill_" + self.params["name"]

    def key(self):
        return "fault:postgres-slot:" + self.params["name"]

    def found(self):
        held = self._held()
        return None if held is None else held >= self.params["size"]

    def inject(self):
        if self._ask("SELECT pg_is_in_recovery()") == [["t"]]:
            raise Failed("the server is a standby: break the primary")
        place = self._ask("SHOW data_directory")[0][0]
        missing = self.params["size"] - (self._held() or 0)
        free = _filling.room(place)[1]
        if free < missing + _SPARE:
            text = "%s has no room for %d bytes of write-ahead log: %d are free, and %d must stay so"
            raise Failed(text % (place, missing, free, _SPARE))
        if self._held() is None:
            self._ask("SELECT pg_create_physical_replication_slot('%s', true)" % self.slot)
        row = "pg_logical_emit_message(false, 'remedy_drill', repeat('x', %d))" % (1 << 20)
        while self._held() < self.params["size"]:
            self._ask("SELECT %s FROM generate_series(1, %d)" % ("length(%s::text)" % row, _ROUND >> 20))

    def lift(self):
        if self._held() is not None:
            self._ask("SELECT pg_drop_replication_slot('%s'); CHECKPOINT" % self.slot)

    def returns(self, have, now):
        return {"slot": self.slot, "held": self._held() or 0}

    def _held(self):
        """Return the bytes that the slot holds back, None where there is none."""
        rows = self._ask(
            "SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE "
            "pg_current_wal_lsn() END, restart_lsn)::bigint FROM pg_replication_slots "
            "WHERE slot_name = '%s'" % self.slot
        )
        return int(rows[0][0] or 0) if rows else None

    def _ask(self, sql):
        return _postgres_root.ask(self.host, sql, self.params["port"])
