"""Old runs are forgotten where no journal is left of them, and stay forgotten whatever is filled in."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from remedy.history import in_memory
from remedy.history.filling import catch_up, rebuild
from remedy.history.pruning import Old, old_runs, prune_runs
from remedy.history.tables import changes, findings, measures, run_hosts, runs
from tests.history import made
from tests.journal import telling


def test_runs_without_a_journal_go_with_all_that_is_of_them(tmp_path: Path) -> None:
    with in_memory() as database:
        for number in range(6):
            telling.write(tmp_path, f"run-{number}", made.healed("db1"), time=1000.0 + number)
        catch_up(database, tmp_path)
        before = datetime.fromtimestamp(1003, UTC)
        assert old_runs(database, before) == Old(0, 0, 3)
        assert prune_runs(database, before) == 0

        for number in (0, 2, 4):
            shutil.rmtree(tmp_path / f"runs/run-{number}")
        catch_up(database, tmp_path)
        with database.reading() as connection:
            each = connection.execute(select(func.count()).select_from(measures)).scalar_one() // 6
        assert each > 0
        assert old_runs(database, before) == Old(2, 2 * each, 1)
        assert prune_runs(database, before) == 2
        assert old_runs(database, before) == Old(0, 0, 1)
        held = made.content(database)
        assert [row[0] for row in held["runs"]] == ["run-1", "run-3", "run-4", "run-5"]
        for table in (run_hosts, findings, changes, measures):
            assert {row[0] for row in held[table.name]} == {"run-1", "run-3", "run-4", "run-5"}

        # What was forgotten stays so, and nothing else is lost.
        assert catch_up(database, tmp_path).stored == 0
        assert rebuild(database, tmp_path).stored == 3
        assert made.content(database) == held
        # A journal that comes back is a run again.
        telling.write(tmp_path, "run-0", made.healed("db1"), time=1000.0)
        assert catch_up(database, tmp_path).stored == 1


def test_more_than_one_question_takes_are_pruned_in_turn(tmp_path: Path) -> None:
    with in_memory() as database:
        telling.write(tmp_path, "run", made.healed("db1"))
        catch_up(database, tmp_path)
        with database.writing() as connection:
            row = dict(connection.execute(select(runs)).mappings().one())
            del row["id"]
            rows = [{**row, "run": f"old-{number}", "gone": datetime.now(UTC)} for number in range(2500)]
            connection.execute(runs.insert(), rows)
        assert prune_runs(database, datetime.now(UTC)) == 2500
        with database.reading() as connection:
            assert connection.execute(select(runs.c.run)).scalars().all() == ["run"]
