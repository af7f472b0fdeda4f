"""Filters over paths; those that look at a disk or a home look at the control machine's.

os.path and not pathlib: Ansible's answers for "a//b/", "" and ".." are those of os.path.
"""
# ruff: noqa: PTH113, PTH118, PTH122, PTH207

from __future__ import annotations

import glob
import os.path
from collections.abc import Callable, Iterable
from typing import Any


def path_join(paths: str | Iterable[str]) -> str:
    return paths if isinstance(paths, str) else os.path.join(*paths)


def relpath(path: str, start: str | None = None) -> str:
    return os.path.relpath(path, start)


def fileglob(pattern: str) -> list[str]:
    return sorted(path for path in glob.glob(pattern) if os.path.isfile(path))


def splitext(path: str) -> list[str]:
    return list(os.path.splitext(path))


def commonpath(paths: Any) -> str:
    common: str = os.path.commonpath(list(paths))
    return common


FILTERS: dict[str, Callable[..., Any]] = {
    "basename": os.path.basename,
    "dirname": os.path.dirname,
    "expanduser": os.path.expanduser,
    "expandvars": os.path.expandvars,
    "realpath": os.path.realpath,
    "normpath": os.path.normpath,
    "relpath": relpath,
    "splitext": splitext,
    "path_join": path_join,
    "commonpath": commonpath,
    "fileglob": fileglob,
}
