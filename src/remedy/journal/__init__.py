"""The run journal, written ahead, and what undoes a run."""

from remedy.journal.earlier import Journals
from remedy.journal.history import delete_run, find_run, list_runs, named_few
from remedy.journal.journal import Journal
from remedy.journal.lending import Loans
from remedy.journal.newest import newest_undoable, told_with_project
from remedy.journal.record import RunRecord, is_active, read_run
from remedy.journal.summary import RunSummary
from remedy.journal.undo import NotUndone, UndoPlan, UndoStep, undo_plan

__all__ = [
    "Journal",
    "Journals",
    "Loans",
    "NotUndone",
    "RunRecord",
    "RunSummary",
    "UndoPlan",
    "UndoStep",
    "delete_run",
    "find_run",
    "is_active",
    "list_runs",
    "named_few",
    "newest_undoable",
    "read_run",
    "told_with_project",
    "undo_plan",
]
