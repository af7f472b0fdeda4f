"""Filters over dates; naive ones, in the control machine's time, as Ansible's."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from remedy.template.trouble import FilterError


def to_datetime(value: str, format: str = "%Y-%m-%d %H:%M:%S") -> datetime.datetime:
    try:
        return datetime.datetime.strptime(value, format)  # noqa: DTZ007  # naive, as in Ansible
    except ValueError as error:
        raise FilterError(f"to_datetime: {error}") from error


@pass_context  # a context keeps Jinja from reading the clock while it compiles
def strftime(context: Context, format: str, second: Any = None, utc: bool = False) -> str:
    try:
        moment = None if second is None else float(second)
    except (TypeError, ValueError) as error:
        raise FilterError(f"strftime: '{second}' is no number of seconds") from error
    return time.strftime(format, time.gmtime(moment) if utc else time.localtime(moment))


FILTERS: dict[str, Callable[..., Any]] = {"to_datetime": to_datetime, "strftime": strftime}
