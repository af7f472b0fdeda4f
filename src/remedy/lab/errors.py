"""The one error of the lab."""

from __future__ import annotations

from remedy.errors import RemedyError


class LabError(RemedyError):
    """The lab cannot run here, or one of its hosts does not do what it should."""

    exit_code = 4
