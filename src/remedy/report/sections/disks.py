"""What the fix has done for the disks: each file system that was full, before -> after, and the bytes freed by host."""

from __future__ import annotations

from remedy.report.disks import FileSystem, Room
from remedy.report.sections.view import View
from remedy.report.sheet import Part, Sheet
from remedy.report.story import Story
from remedy.report.text import cells, count, pad, size

_HOSTS = 12


def disks(sheet: Sheet, story: Story, view: View) -> None:
    """Tell of file systems that were full, or are; those with room and those nobody looked at again are left out."""
    told = {host: [each for each in story.disks.of(host) if _worth(each)] for host in story.hosts}
    hosts = [host for host, those in told.items() if those]
    if not hosts:
        return
    sheet.heading(f"FILE SYSTEMS: {sum(map(len, told.values()))}")
    most = view.most(_HOSTS)
    shown = hosts if most is None or len(hosts) <= most + 1 else hosts[:most]
    for host in shown:
        freed = story.freed(host)
        sheet.line(*view.hosts([host]), f"{size(freed)} freed" if freed else "nothing freed", indent=2)
        widest = max(cells(each.mount) for each in told[host])
        for each in told[host]:
            sheet.line(pad(each.mount, widest), "  ", *_way(each), indent=4)
    if len(shown) < len(hosts):
        sheet.line(
            ("dim", f"... and {count(len(hosts) - len(shown), 'more host')} (-v shows more)"), indent=2
        )


def _worth(each: FileSystem) -> bool:
    return each.after is not None and bool(each.before.lacks or each.after.lacks)


def _way(each: FileSystem) -> list[Part]:
    after = each.after or each.before
    lacked = {*each.before.lacks, *after.lacks}
    steps = [_step(name, each.before, after) for name in ("bytes", "inodes") if name in lacked]
    style = "bold red" if after.lacks else "green"
    return [(style, ", ".join(steps)), f", {size(after.available)} available"]


def _step(name: str, before: Room, after: Room) -> str:
    if name == "bytes":
        return f"{before.percent}% -> {after.percent}%"
    return f"inodes {before.inode_percent}% -> {after.inode_percent}%"
