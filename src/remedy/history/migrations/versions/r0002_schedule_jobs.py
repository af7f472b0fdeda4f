"""The next times of a project's schedules, as the daemon at work has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "schedule_jobs",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("project", "job", "plan")),
        sa.Column("next", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("project", "job", name="uq_schedule_jobs_project_job"),
    )
