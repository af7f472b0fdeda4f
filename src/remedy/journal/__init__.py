"""The run journal, written ahead, and what undoes a run."""

from remedy.journal.earlier import Journals
from remedy.journal.history import RUNS, delete_run, find_run, list_runs, named_few
from remedy.journal.journal import FILE, Journal
from remedy.journal.lending import Loans
from remedy.journal.newest import newest_undoable, told_with_project
from remedy.journal.record import RunRecord, is_active, lines_of, read_run
from remedy.journal.summary import CUT_OFF, RUNNING, RunSummary, Summing
from remedy.journal.undo import NotUndone, UndoPlan, UndoStep, undo_plan

__all__ = [
    "CUT_OFF",
    "FILE",
    "RUNNING",
    "RUNS",
    "Journal",
    "Journals",
    "Loans",
    "NotUndone",
    "RunRecord",
    "RunSummary",
    "Summing",
    "UndoPlan",
    "UndoStep",
    "delete_run",
    "find_run",
    "is_active",
    "lines_of",
    "list_runs",
    "named_few",
    "newest_undoable",
    "read_run",
    "told_with_project",
    "undo_plan",
]
