"""What a run tells people and programs: console and JSON."""

from remedy.report.approval import Question
from remedy.report.console import Console
from remedy.report.document import JsonReport
from remedy.report.recap import Counts, Recap

__all__ = ["Console", "Counts", "JsonReport", "Question", "Recap"]
