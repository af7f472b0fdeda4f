"""The parts of the final report, in the order in which they are read at night."""

from remedy.report.sections.approved import approved, by_whom
from remedy.report.sections.changes import changes
from remedy.report.sections.disks import disks
from remedy.report.sections.ending import ending
from remedy.report.sections.findings import findings
from remedy.report.sections.kept import kept
from remedy.report.sections.troubles import (
    failures,
    ignored,
    left_out,
    not_undone,
    trusted,
    unknown,
    warnings,
)
from remedy.report.sections.view import View

ORDER = (
    *(findings, changes, disks, kept),
    *(failures, ignored, not_undone, unknown, trusted, warnings, left_out),
    approved,
    ending,
)

__all__ = ["ORDER", "View", "by_whom", "findings"]
