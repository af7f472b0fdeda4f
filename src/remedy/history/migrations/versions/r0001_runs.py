"""Runs with their hosts, findings, changes and measures; what schedules need."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _of_run(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE", name=f"fk_{table}_run_id_runs"),
    ]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False),
        *_texts("run", "origin", "playbook", "name", "inventory", "mode", "user", "arguments"),
        sa.Column("project", sa.Text),
        _time("started"),
        sa.Column("seconds", sa.Double),
        *_texts("outcome"),
        sa.Column("exit_code", sa.Integer),
        *_counts("hosts", "changes", "predicted", "intents", "findings", "unresolved", "journal_bytes"),
        sa.Column("trouble", sa.Text),
        _time("gone", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("run", name="uq_runs_run"),
    )
    op.create_index("ix_runs_started", "runs", ["started"])
    op.create_index("ix_runs_origin", "runs", ["origin"])
    op.create_table(
        "run_hosts",
        *_of_run("run_hosts"),
        *_texts("host", "status"),
        sa.Column("reason", sa.Text),
        sa.Column("message", sa.Text),
        *_counts("ok", "changed", "failed", "skipped", "rescued", "ignored"),
        *_counts("findings", "unresolved"),
        sa.UniqueConstraint("run_id", "host", name="uq_run_hosts_run_id_host"),
    )
    op.create_index("ix_run_hosts_host_run_id", "run_hosts", ["host", "run_id"])
    op.create_table(
        "findings",
        *_of_run("findings"),
        *_texts("host", "play", "finding", "severity", "title"),
        _time("raised"),
        sa.Column("resolved", sa.Boolean),
        sa.UniqueConstraint("run_id", "host", "play", "finding", name="uq_findings_run_id_host_play_finding"),
    )
    op.create_index("ix_findings_host_finding", "findings", ["host", "finding"])
    op.create_table(
        "changes",
        *_of_run("changes"),
        *_counts("number"),
        *_texts("host", "task", "module", "kind", "object", "happened"),
        _time("time"),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("bytes_freed", sa.Double),
        sa.Column("reversible", sa.Boolean, nullable=False),
        sa.Column("predicted", sa.Boolean, nullable=False),
        sa.UniqueConstraint("run_id", "number", name="uq_changes_run_id_number"),
    )
    op.create_index("ix_changes_host_run_id", "changes", ["host", "run_id"])
    op.create_table(
        "measures",
        *_of_run("measures"),
        *_texts("host", "name", "object"),
        sa.Column("value", sa.Double, nullable=False),
        _time("time"),
    )
    op.create_index("ix_measures_host_name_object_time", "measures", ["host", "name", "object", "time"])
    op.create_index("ix_measures_run_id", "measures", ["run_id"])
    op.create_table(
        "schedule_times",
        sa.Column("id", sa.Integer, nullable=False),
        *_texts("schedule"),
        _time("due"),
        *_texts("state"),
        sa.Column("reason", sa.Text),
        sa.Column("run", sa.Text),
        sa.Column("exit_code", sa.Integer),
        *_texts("holder"),
        _time("updated"),
        sa.PrimaryKeyConstraint("id", name="pk_schedule_times"),
        sa.UniqueConstraint("schedule", "due", name="uq_schedule_times_schedule_due"),
    )
    op.create_index("ix_schedule_times_due", "schedule_times", ["due"])
    op.create_table(
        "leases",
        *_texts("name", "holder"),
        _time("until"),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
