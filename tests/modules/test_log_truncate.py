"""log_truncate: a log that is being written is emptied, its end is kept; what may be anything else stays whole."""

import os
from pathlib import Path

import pytest
from tests.modules.holding import LOG, SIZE
from tests.modules.running import Talk, params, run

from remedy.agent import runner
from remedy.agent.host import Host
from remedy.errors import InputError
from remedy.modules.target import _holders

pytestmark = pytest.mark.usefixtures("seen")


@pytest.fixture
def writing(hold):
    """Start a process that writes a log, which stays."""
    return lambda name, *args, **given: hold(name, *args, stay=True, **given)


def empty(folder, *, talk=None, in_check=False, **given):
    given = {"paths": [f"{folder}/**"], "min_size": "1M", **given}
    return run("log_truncate", talk=talk, in_check=in_check, **given)


def kept(frame):
    return {Path(row["item"]).name: row["reason"] for row in frame["kept"]}


def test_a_log_is_emptied_its_end_is_kept_and_its_writer_goes_on(tmp_path, writing):
    log = writing("app.log")
    log.write("")
    log.write("the last but one")
    log.write("the last")
    size = log.size
    talk = Talk()
    frame = empty(tmp_path, talk=talk, keep_tail="30")
    assert frame["status"] == "changed", frame["reason"]
    [intent] = talk.intents
    assert intent["kept"] == {f"{tmp_path}/app.log.tail"[1:]: b"the last but one\nthe last\n"}
    assert frame["change"]["bytes_freed"] == frame["result"]["bytes_freed"] >= SIZE
    assert frame["result"]["files"] == [log.path]
    assert frame["result"]["tails"] == {log.path: 26}
    assert frame["result"]["lost"] == {}
    assert log.size == 0
    assert log.write("hello") == (6, 4096), "appended at the new end: nothing sparse"
    assert Path(log.path).read_text() == "hello\n"
    assert size > SIZE
    assert empty(tmp_path)["status"] == "ok", "a second time there is nothing to take"


def test_check_mode_and_reads_only_look(tmp_path, writing):
    log = writing("app.log")
    talk = Talk()
    frame = empty(tmp_path, in_check=True, talk=talk)
    assert (frame["status"], frame["change"]["items"][0]["item"]) == ("changed", log.path)
    assert talk.intents == []
    looked = empty(tmp_path, reads=True)
    assert (looked["status"], looked["result"]["bytes"]) == ("ok", SIZE)
    [item] = looked["result"]["takes"]
    name = _holders.process(log.process.pid)[:-1]
    assert item["reason"].startswith(f"3.0 MiB; {name}")
    assert item["reason"].endswith(" writes it")
    assert log.size == SIZE


def test_a_tail_is_whole_where_the_log_is_small_and_begins_a_line_where_not(tmp_path, writing):
    (tmp_path / "app.log").write_bytes(b"first\nsecond\n")
    writing("app.log", size=0)
    for keep, wanted in (("1K", b"first\nsecond\n"), ("9", b"second\n"), ("3", b"nd\n"), ("0", None)):
        (tmp_path / "app.log").write_bytes(b"first\nsecond\n")
        talk = Talk()
        assert empty(tmp_path, talk=talk, min_size=1, keep_tail=keep)["status"] == "changed"
        kept = talk.intents[0]["kept"]
        assert (kept and next(iter(kept.values()))) == wanted


@pytest.mark.parametrize(
    ("name", "flags", "extra", "reason"),
    [
        ("plain.log", os.O_WRONLY, "", " does not append: the log would become a sparse file; let it reopen"),
        ("both.log", os.O_RDWR | os.O_APPEND, "", " has it open for reading and writing: it may be data"),
        ("mapped.log", LOG, "map", "mapped by "),
        ("two.log", LOG, "link", "it has 2 names: it may be more than a log"),
        ("app.log.gz", LOG, "", "packed: no log that is being written"),
        ("btmp", LOG, "", "a record of logins, which logrotate looks after"),
    ],
)
def test_what_is_not_surely_a_log_stays_whole(tmp_path, writing, name, flags, extra, reason):
    held = writing(name, flags, extra)
    frame = empty(tmp_path, paths=[str(tmp_path / name)])
    assert frame["status"] == "ok"
    assert reason in kept(frame)[name]
    assert held.size == SIZE


def test_a_writer_that_does_not_append_leaves_a_sparse_file_where_that_is_allowed(tmp_path, writing):
    log = writing("plain.log", os.O_WRONLY)
    assert empty(tmp_path, allow_sparse=True)["status"] == "changed"
    size, blocks = log.write("more")
    assert (size, blocks) == (SIZE + 5, 4096)
    again = empty(tmp_path, allow_sparse=True)
    assert again["status"] == "ok", "what is big is what takes the disk, not what ls shows"


def test_a_log_that_nobody_writes_is_for_others_unless_asked_for(tmp_path):
    log = tmp_path / "batch.log"
    log.write_bytes(b"x" * SIZE)
    assert kept(empty(tmp_path))["batch.log"].startswith("nobody has it open for writing: logrotate_run or")
    assert log.stat().st_size == SIZE
    assert empty(tmp_path, unopened=True)["status"] == "changed"
    assert log.stat().st_size == 0


@pytest.mark.parametrize("mark", ["ibdata1", "PG_VERSION", "mysql-bin.index"])
def test_never_below_a_databases_folder(tmp_path, writing, mark):
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "data" / mark).touch()
    log = writing("data/inner/slow.log")
    assert kept(empty(tmp_path)) == {"slow.log": "a database's folder"}
    assert log.size == SIZE


def test_a_link_leads_to_the_true_file_and_to_its_guards(tmp_path, writing):
    log = writing("true.log")
    (tmp_path / "link.log").symlink_to(log.path)
    (tmp_path / "system.log").symlink_to("/etc/services")
    frame = empty(
        tmp_path, paths=[f"{tmp_path}/link.log", f"{tmp_path}/system.log"], min_size=1, in_check=True
    )
    assert [item["item"] for item in frame["change"]["items"]] == [log.path]
    assert kept(frame) == {"services": "it belongs to the system"}


def test_excludes_and_sizes(tmp_path, writing):
    writing("a.log")
    writing("b.log")
    writing("small.log", size=5000)
    frame = empty(tmp_path, excludes=["b.*"], in_check=True)
    assert [item["item"] for item in frame["change"]["items"]] == [f"{tmp_path}/a.log"]
    assert frame["kept"] == []


def test_what_changes_before_the_word_comes_is_left(tmp_path, writing):
    names = ("gone", "shrunk", "swapped", "moved", "taken", "closed", "grown")
    gone, shrunk, swapped, _, taken, closed, grown = (writing(f"{name}/{name}.log") for name in names)
    other = tmp_path / "other"
    other.write_bytes(b"y" * SIZE)
    talk = Talk()
    theirs = []

    def meanwhile():
        Path(gone.path).unlink()
        os.truncate(shrunk.path, 5)
        Path(swapped.path).unlink()
        Path(swapped.path).symlink_to(other)
        (tmp_path / "moved").rename(tmp_path / "elsewhere")
        (tmp_path / "moved").symlink_to(tmp_path / "elsewhere")
        theirs.append(Path(taken.path).open("r+b"))  # noqa: SIM115
        closed.end()
        grown.write("more" * 10)

    talk.before_word = meanwhile
    frame = empty(tmp_path, talk=talk, paths=[f"{tmp_path}/*/*.log"])
    theirs.pop().close()
    reasons = kept(frame)
    assert reasons["gone.log"] == "it is gone already"
    assert reasons["shrunk.log"] == reasons["swapped.log"] == "it changed since it was looked at"
    assert reasons["moved.log"].startswith("its folder changed: ")
    assert "has it open for reading and writing" in reasons["taken.log"]
    assert reasons["closed.log"].startswith("nobody has it open for writing")
    assert frame["result"]["files"] == [grown.path]
    assert frame["result"]["lost"] == {grown.path: 41}, "what the tail does not hold is counted"
    assert other.stat().st_size == SIZE
    assert Path(taken.path).stat().st_size == SIZE


def test_what_cannot_be_kept_is_not_emptied(tmp_path, writing):
    log = writing("app.log")
    talk = Talk()
    host = Host(talk)
    given = params("log_truncate", paths=[log.path], min_size="1M")
    step = {"id": "1", "module": "remedy.modules.target.log_truncate", "params": given, "keep_left": 1000}
    host.begin(step, "test")
    frame = runner.run(step, host, talk)
    assert (
        frame["reason"]
        == "what is to be kept on the control machine is more than the 64 MiB of a host and run"
    )
    assert (talk.intents, log.size) == ([], SIZE)


def test_without_root_nothing_is_emptied(tmp_path, writing, monkeypatch):
    writing("app.log")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    frame = empty(tmp_path)
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "permission")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"paths": ["app.log"]}, "paths must be absolute"),
        ({"keep_tail": "2M"}, "keep_tail is at most 1M"),
        ({"min_size": 0}, "min_size must be more than 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(given, text):
    with pytest.raises(InputError, match=text):
        params("log_truncate", **{"paths": ["/x/*.log"], **given})
