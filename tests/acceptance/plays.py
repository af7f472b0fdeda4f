"""Random plays over one small folder: tasks that build on each other, and what lies there before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Task = dict[str, Any]

NAMES = ("a", "b", "d", "d/a", "d/e", "d/e/b", "l")
TEXTS = ("one\n", "one\ntwo\n", "two", "", "x=1\ny=2\n")
LINES = ("one", "x=3", "new")
MODES = ("0600", "0644", "0755", "u+x,g-w")

paths = st.sampled_from(NAMES).map(lambda name: f"TOP/{name}")
modes = st.one_of(st.none(), st.sampled_from(MODES))


def _with(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


@st.composite
def files(draw: st.DrawFn, path: str | None = None) -> Task:
    """A task that looks after one path."""
    path = draw(paths) if path is None else path
    mode = draw(modes)
    match draw(st.integers(0, 10)):
        case 0:
            return {"file": _with(path=path, state="directory", mode=mode, recurse=draw(st.booleans()))}
        case 1:
            return {"file": _with(path=path, state="file", mode=mode)}
        case 2:
            return {"file": _with(path=path, state="absent")}
        case 3:
            times = {"access_time": "preserve", "modification_time": "preserve"}
            return {"file": _with(path=path, state="touch", mode=mode, **times)}
        case 4:
            return {"file": _with(path=path, state="link", src=draw(paths), force=draw(st.booleans()))}
        case 5:
            return {"file": _with(path=path, state="hard", src=draw(paths))}
        case 6:
            slash = draw(st.sampled_from(("", "", "/")))
            return {"copy": _with(src="given.txt", dest=path + slash, mode=mode, force=draw(st.booleans()))}
        case 7:
            return {"copy": _with(src=draw(st.sampled_from(("tree", "tree/"))), dest=path)}
        case 8:
            return {"template": _with(src="given.j2", dest=path, mode=mode)}
        case 9:
            return {"copy": _with(src=draw(paths), dest=path, remote_src=True, mode=mode)}
        case _:
            return {"copy": _with(content=draw(st.sampled_from(TEXTS)), dest=path, mode=mode)}


@st.composite
def lines(draw: st.DrawFn) -> Task:
    """A task that edits a file line by line."""
    if draw(st.integers(0, 3)) == 0:
        return {"lineinfile": _with(path=draw(paths), regexp="^one", state="absent")}
    regexp = draw(st.sampled_from((None, "^x=", "^nothing")))
    create = draw(st.booleans())
    return {
        "lineinfile": _with(path=draw(paths), line=draw(st.sampled_from(LINES)), regexp=regexp, create=create)
    }


@st.composite
def commands(draw: st.DrawFn) -> Task:
    """A task that check mode does not run."""
    path = draw(paths)
    argv = draw(st.sampled_from((["touch", path], ["mkdir", "-p", path], ["rm", "-rf", path])))
    return {"command": {"argv": argv, **draw(st.sampled_from(({}, {"creates": path}, {"removes": path})))}}


@st.composite
def tasks(draw: st.DrawFn, *, with_commands: bool) -> Task:
    """One task, or a block of them, with the keywords that steer it."""
    kinds = [files(), files(), lines()] + ([commands()] if with_commands else [])
    task: Task = dict(draw(st.one_of(kinds)))
    # What check mode foresees beside commands is what happens where no failure that hangs on one changes the way.
    task["ignore_errors"] = with_commands or draw(st.integers(0, 4)) > 0
    task["notify"] = draw(st.sampled_from(([], [], ["handler"])))
    match draw(st.integers(0, 7)):
        case 0:
            check = {"stat": {"path": draw(paths)}, "register": "seen", "ignore_errors": with_commands}
            task["when"] = draw(st.sampled_from(("seen.stat.exists", "not seen.stat.exists")))
            return {"block": [check, task]}
        case 1:
            task["register"] = "before"
            after = {**draw(files()), "ignore_errors": True}
            after["when"] = draw(st.sampled_from(("before is changed", "before is not failed")))
            return {"block": [task, after]}
        case 2 if not with_commands:
            task["ignore_errors"] = False
            rescue = {**draw(files()), "ignore_errors": True}
            return {"block": [task], "rescue": [rescue], "always": [{"stat": {"path": draw(paths)}}]}
        case 3 if "file" in task and "src" not in task["file"]:
            several = draw(st.lists(paths, min_size=1, max_size=3))
            task["file"]["path"] = "{{ item }}"
            return {**task, "loop": several}
        case 4:
            found = {"find": {"paths": "TOP", "recurse": True, "patterns": "a,b"}, "register": "found"}
            touch = {"file": {"path": "{{ item.path }}", "mode": "0640"}, "ignore_errors": True}
            return {"block": [found, {**touch, "loop": "{{ found.files | sort(attribute='path') }}"}]}
        case _:
            return task


@st.composite
def plays(draw: st.DrawFn, *, with_commands: bool) -> dict[str, Any]:
    """A play of a few tasks and a handler."""
    listed = draw(st.lists(tasks(with_commands=with_commands), min_size=1, max_size=7))
    handler = {"name": "handler", **draw(files())}
    return _named({"hosts": "box", "gather_facts": False, "tasks": listed, "handlers": [handler]})


_SETTLED = (
    *({"file": {"path": "TOP/a", "state": "directory", "mode": mode}} for mode in ("0700", "0755")),
    {"copy": {"content": "one\n", "dest": "TOP/a/b", "mode": "0600"}},
    {"copy": {"src": "given.txt", "dest": "TOP/given/"}},
    {"copy": {"src": "tree", "dest": "TOP/grown"}},
    {"template": {"src": "given.j2", "dest": "TOP/t"}},
    {"lineinfile": {"path": "TOP/lines", "line": "x=3", "regexp": "^x=", "create": True}},
    {"lineinfile": {"path": "TOP/lines", "line": "last"}},
    {"file": {"path": "TOP/l", "src": "a", "state": "link", "force": True}},
    {"file": {"path": "TOP/d", "state": "absent"}},
    {"command": {"argv": ["touch", "TOP/made"], "creates": "TOP/made"}},
    {"file": {"path": "TOP/made", "mode": "0600"}},
)


@st.composite
def settled_plays(draw: st.DrawFn) -> dict[str, Any]:
    """A play whose tasks do not contradict each other, in an order that works."""
    chosen = [dict(task) for task in _SETTLED if draw(st.booleans())]
    first = next(
        (number for number, task in enumerate(chosen) if task.get("file", {}).get("path") == "TOP/a"), None
    )
    kept = [
        task for number, task in enumerate(chosen)
        if number == first or task.get("file", {}).get("path") != "TOP/a"
    ]  # fmt: skip
    return _named(
        {"hosts": "box", "gather_facts": False, "tasks": [{**task, "ignore_errors": True} for task in kept]}
    )


@st.composite
def trees(draw: st.DrawFn, *, links: bool = True) -> dict[str, str]:
    """What lies in the folder: path -> "d" a folder, "l" a link, else a file's text."""
    found = {}
    for name in NAMES:
        kind = draw(st.sampled_from(("", "", "d", "f", "l") if links else ("", "", "d", "f")))
        above = name.rpartition("/")[0]
        if kind and (not above or found.get(above) == "d"):
            found[name] = draw(st.sampled_from(TEXTS)) if kind == "f" else kind
    return found


def grow(top: Path, tree: dict[str, str]) -> None:
    """Make a tree."""
    top.mkdir()
    for name, kind in tree.items():
        path = top / name
        if kind == "d":
            path.mkdir()
        elif kind == "l":
            path.symlink_to("a" if name != "a" else "d")
        else:
            path.write_text(kind)


def look(top: Path) -> dict[str, tuple[Any, ...]]:
    """Return all there is to see of a tree: a change of anything but the time of access shows."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted((top, *top.rglob("*"))):
        state = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        about = (state.st_mode, state.st_uid, state.st_gid, state.st_nlink, state.st_ino)
        found[str(path)] = (*about, state.st_mtime_ns, state.st_ctime_ns, content)
    return found


def _named(play: dict[str, Any]) -> dict[str, Any]:
    numbers = iter(range(1000))

    def name(task: Task) -> Task:
        parts = {
            part: [name(each) for each in task[part]]
            for part in ("block", "rescue", "always")
            if part in task
        }
        return {"name": f"task {next(numbers)}", **task, **parts}

    return {**play, "tasks": [name(task) for task in play["tasks"]]}
