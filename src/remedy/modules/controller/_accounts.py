"""Statements after which a login that was refused may succeed: they make, change or unlock accounts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from remedy.modules.controller._site import Site

_ACCOUNTS = re.compile(
    r"\b((CREATE|ALTER|RENAME|DROP)\s+(OR\s+REPLACE\s+)?(USER|ROLE|GROUP)|GRANT|REVOKE|SET\s+PASSWORD|"
    r"FLUSH\s+((LOCAL|NO_WRITE_TO_BINLOG)\s+)?PRIVILEGES|INSTALL\s+(PLUGIN|SONAME)|mysql\W+(user|global_priv)|"
    r"pg_reload_conf)\b",
    re.IGNORECASE,
)

_REMARK = re.compile(r"/\*(?![!M]).*?\*/", re.DOTALL)


def changed(site: Site, statements: Iterable[str]) -> None:
    """Tell the run of statements that took effect: after one about accounts, what was refused may be tried again."""
    if any(_ACCOUNTS.search(_REMARK.sub(" ", each)) for each in statements):
        site.mended()
