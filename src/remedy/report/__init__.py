"""What a run tells people and programs: console and JSON."""

from remedy.report.approval import Question
from remedy.report.console import Console
from remedy.report.document import JsonReport
from remedy.report.recap import Counts, Recap
from remedy.report.story import Story

__all__ = ["Console", "Counts", "JsonReport", "Question", "Recap", "Story"]
