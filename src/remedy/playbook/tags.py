"""Which tasks --tags and --skip-tags choose with Ansible's always, never, tagged, untagged and all."""

from __future__ import annotations

from collections.abc import Collection


def selected(node_tags: Collection[str], only: Collection[str] = (), skip: Collection[str] = ()) -> bool:
    """Say whether a task with these tags (its own and those around it) runs; no `only` means all."""
    tags = set(node_tags) or {"untagged"}
    wanted = set(only) or {"all"}
    return _chosen(tags, wanted) and not _skipped(tags, set(skip))


def _chosen(tags: set[str], only: set[str]) -> bool:
    if "always" in tags or tags & only:
        return True
    if "never" in tags:
        return False
    return "all" in only or ("tagged" in only and tags != {"untagged"})


def _skipped(tags: set[str], skip: set[str]) -> bool:
    if "all" in skip:
        return "always" not in tags or "always" in skip
    return bool(tags & skip) or ("tagged" in skip and tags != {"untagged"})
