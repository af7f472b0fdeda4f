"""What the operator asked for."""

from __future__ import annotations

from msgspec import Struct, field

from remedy.transport import TargetDefaults

APPLY, CHECK, DIAGNOSE, ROLLBACK = "apply", "check", "diagnose", "rollback"


class Options(Struct, frozen=True, kw_only=True):
    """The flags of a run; `mode` is apply, check, diagnose or rollback; `unattended`: a schedule's, and its permission
    answers where an operator would."""

    mode: str = APPLY
    forks: int = 50
    diff: bool = False
    yes: bool = False
    unattended: bool = False
    reads_only: bool = False
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    verbosity: int = 0
    defaults: TargetDefaults = field(default_factory=TargetDefaults)
    fail_on: str = "P3"
    fail_on_change: bool = False

    @property
    def check(self) -> bool:
        return self.mode == CHECK

    @property
    def changes(self) -> bool:
        """Say whether the run may change hosts: then it takes their locks."""
        return self.mode in (APPLY, ROLLBACK) and not self.reads_only
