"""Tags as in Ansible, and the lists made of them."""

import pytest

from remedy.playbook import list_tags, list_tasks, load, selected
from remedy.project import Project


@pytest.mark.parametrize(
    ("tags", "only", "skip", "runs"),
    [
        ([], [], [], True),
        (["a"], [], [], True),
        (["never"], [], [], False),
        (["never", "a"], [], [], False),
        (["never", "a"], ["a"], [], True),
        (["never", "always"], [], [], True),
        ([], ["a"], [], False),
        (["a", "b"], ["b"], [], True),
        (["c"], ["a", "b"], [], False),
        (["always"], ["a"], [], True),
        (["always"], ["a"], ["always"], False),
        (["always", "b"], ["a"], ["b"], False),
        (["a"], ["tagged"], [], True),
        ([], ["tagged"], [], False),
        (["never"], ["tagged"], [], False),
        (["never"], ["never"], [], True),
        (["a"], ["untagged"], [], False),
        ([], ["untagged"], [], True),
        (["a"], ["all"], [], True),
        (["a"], [], ["a"], False),
        (["b"], [], ["a"], True),
        (["a"], ["a"], ["a"], False),
        (["a"], [], ["tagged"], False),
        ([], [], ["tagged"], True),
        ([], [], ["untagged"], False),
        (["a"], [], ["all"], False),
        (["always"], [], ["all"], True),
        (["always"], [], ["all", "always"], False),
    ],
)
def test_selected(tags, only, skip, runs):
    assert selected(tags, only, skip) is runs


@pytest.fixture
def play(tmp_path):
    (tmp_path / "more.yml").write_text("- ping:\n")
    (tmp_path / "play.yml").write_text("""
- hosts: all
  tags: play
  diagnose: [{name: look, ping: }]
  pre_tasks: [{name: before, ping: , tags: a}]
  tasks:
    - block:
        - {name: deep, ping: , tags: b}
        - include_tasks: more.yml
      tags: [outer]
    - {name: rare, ping: , tags: never}
  handlers: [{name: handler, ping: , tags: h}]
  verify: [{ping: }]
""")
    return load(tmp_path / "play.yml", project=Project(tmp_path)).plays[0]


def test_list_tasks(play):
    assert [(one.section, one.title, one.tags) for one in list_tasks(play)] == [
        ("diagnose", "look", ("play",)),
        ("pre_tasks", "before", ("a", "play")),
        ("tasks", "deep", ("b", "outer", "play")),
        ("tasks", "include_tasks more.yml", ("outer", "play")),
        ("verify", "ping", ("play",)),
    ]


def test_list_tasks_by_tags_keeps_diagnose_and_verify(play):
    assert [one.title for one in list_tasks(play, only=["b"])] == ["look", "deep", "ping"]
    assert [one.title for one in list_tasks(play, skip=["outer"])] == ["look", "before", "ping"]


def test_list_tags(play):
    assert list_tags(play) == ["a", "b", "outer", "play"]
    assert list_tags(play, only=["never"]) == ["never", "play"]
