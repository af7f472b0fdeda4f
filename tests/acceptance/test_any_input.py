"""Whatever the files hold: an exit code that is documented, and a text instead of a traceback."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from tests.acceptance.cli import DOCUMENTED, Done, Scene

PLAYBOOK = """
- name: Many words
  hosts: web:!db
  serial: [1, 50%]
  gather_facts: false
  become: true
  become_user: root
  environment: {PATH: /bin}
  max_fail_percentage: 50
  vars: {limit: 85%, names: [a, b], inner: {deep: "{{ limit }}"}}
  vars_files: [more.yml, [none.yml, more.yml]]
  diagnose:
    - disk_usage: {above: "{{ limit }}"}
      register: disk
    - finding: {id: full, severity: P1, title: "{{ disk.full | length }}", evidence: "{{ disk.full }}"}
      when: disk.full | length > 0
  pre_tasks:
    - set_fact: {one: 1, two: "{{ inner.deep }}"}
    - assert: {that: [one == 1, two is string], fail_msg: no}
  tasks:
    - name: Copy {{ item }}
      copy: {content: "{{ item }}", dest: "/tmp/{{ item }}", mode: "0644"}
      loop: "{{ names }}"
      loop_control: {loop_var: item, label: "{{ item }}", index_var: i}
      register: copied
      notify: [again, heard]
      tags: [files, always]
    - block:
        - command: {argv: [echo, "{{ one }}"], creates: /tmp/x}
          changed_when: false
          failed_when: [copied is failed]
          until: copied is succeeded
          retries: 2
          delay: 0
          timeout: 5
      rescue:
        - debug: {var: ansible_failed_result}
      always:
        - meta: noop
      when: one == 1
      ignore_errors: true
    - include_tasks: {file: inner.yml}
      vars: {given: "{{ two }}"}
      loop: [1, 2]
    - import_tasks: inner.yml
      tags: inner
    - lineinfile: {path: /tmp/a, regexp: "^a", line: b, create: true}
      check_mode: true
      no_log: false
      diff: true
  verify:
    - wait_for: {port: 80, timeout: 1}
  handlers:
    - name: again
      service: {name: nginx, state: restarted}
      listen: heard
  runbook: {severity: P1, symptoms: [a], references: [b], privileges: [sudo]}
"""
INVENTORY = """
web:
  hosts:
    web1: {ansible_port: $PORT, ansible_host: 127.0.0.1}
    web[2:3]: {ansible_port: $PORT, ansible_host: 127.0.0.1, limit: "{{ 1 + 1 }}"}
  vars: {ansible_user: nobody, ansible_ssh_common_args: "-o ConnectTimeout=1", names: [a]}
  children:
    db:
      hosts: {db1: null}
      vars: {ansible_group_priority: 2}
"""
FILES = {"playbooks/inner.yml": "- ping:\n- debug: {msg: hi}\n", "playbooks/more.yml": "more: 1\n"}
SOME = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = (
    *(
        ":",
        "- ",
        "{{",
        "}}",
        "{%",
        "'",
        '"',
        "\t",
        "&a ",
        "*a",
        "!vault ",
        "!unsafe ",
        "|",
        ">",
        "{",
        "}",
        "[",
        "]",
    ),
    *(
        "#",
        "\n",
        "  ",
        "~",
        "null",
        "true",
        "-1",
        "1e999",
        "0x",
        "\x00",
        "\x85",
        "é",
        "\ufeff",
        "\ud7ff",
        "<<: ",
        "---",
    ),
    *(
        "hosts: ",
        "block:",
        "include_tasks: site.yml",
        "{{ a }}",
        "ansible_host",
        "\\",
        "%",
        "@",
        "`",
        ",",
        ": :",
    ),
)
VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1 << 70,
        1.5,
        float("inf"),
        float("nan"),
        "",
        " ",
        "\n",
        "x",
        "{{",
        "{{ x }}",
        "{{ 1 }}",
    ),
    *(
        "{{ [1] }}",
        "{{ {} }}",
        "{{ none }}",
        "{{ omit }}",
        [],
        [[]],
        [None],
        {},
        {"a": None},
        {"file": []},
        ["{{ x }}"],
    ),
    *("../x", "/", "a" * 300, "1,2", "@x", "~(", "50%", "all:!all", "é"),
)


@st.composite
def scratched(draw: st.DrawFn, text: str) -> str:
    """A text with a few characters gone, doubled or new."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(st.sampled_from(PIECES), st.just(""), st.just(text[at:until] * 2), st.text(max_size=3))
        )
        text = text[:at] + piece + text[until:]
    return text


@st.composite
def misplaced(draw: st.DrawFn, text: str) -> str:
    """A document in which one value is another one than it should be."""
    document = copy.deepcopy(yaml.safe_load(text))
    places = list(_places(document))
    holder, key = draw(st.sampled_from(places))
    holder[key] = draw(st.sampled_from(VALUES))
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    pairs = (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    )
    for key, value in pairs:
        yield node, key
        yield from _places(value)


@pytest.fixture
def stage(scene: Scene) -> Iterator[Scene]:
    """A project whose hosts refuse connections at once."""
    (scene.folder / "inventory/hosts.ini").unlink()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        inventory = INVENTORY.replace("$PORT", str(port))
        scene.write({**FILES, "inventory/hosts.yml": inventory, "playbooks/site.yml": PLAYBOOK})
        yield scene


def sound(done: Done) -> None:
    note(str(done))
    assert done.code in DOCUMENTED
    assert "Traceback" not in done.out + done.err
    assert "internal error" not in done.out + done.err
    if done.code == 5 and "REFUSED" not in done.out:
        assert done.out == ""
        assert done.err.count("error: ") == 1


def test_what_is_not_mutated_is_right(stage: Scene) -> None:
    for command in ("play site --syntax-check", "inventory", "doc site"):
        assert stage.run(command).code == 0
    assert stage.run("play site --check").code == 4


@SOME
@example(text="- hosts: web\n  gather_facts: false\n  tasks:\n    - ping: &a\n      vars: *a\n")
@given(text=st.one_of(scratched(PLAYBOOK), misplaced(PLAYBOOK)))
def test_playbooks(stage: Scene, text: str) -> None:
    note(text)
    stage.write({"playbooks/site.yml": text.encode("utf-8", "surrogatepass")})
    for command in ("play site --check", "play site --list-tasks --list-tags", "doc site"):
        sound(stage.run(command))


@SOME
@given(text=st.one_of(scratched(INVENTORY), misplaced(INVENTORY)))
def test_inventories(stage: Scene, text: str) -> None:
    note(text)
    stage.write({"inventory/fuzz.yml": text.replace("$PORT", "1").encode("utf-8", "surrogatepass")})
    for command in ("inventory -i fuzz", "inventory -i fuzz --host web1", "play site -i fuzz --check"):
        sound(stage.run(command))


@SOME
@given(
    text=scratched(
        "[web]\nweb[1:3] ansible_port=1 a='b c' # no\nx:22\n[web:vars]\nb=[1, 2]\n[all:children]\nweb\n"
    )
)
def test_ini_inventories(stage: Scene, text: str) -> None:
    note(text)
    stage.write({"inventory/fuzz.ini": text.encode("utf-8", "surrogatepass")})
    sound(stage.run("inventory -i fuzz"))


@SOME
@given(text=scratched("inventory: hosts\nforks: 5\nstate: state\nvault_password_file: key\n"))
def test_settings(stage: Scene, text: str) -> None:
    note(text)
    stage.write({"remedy.yml": text.encode("utf-8", "surrogatepass"), "key": "secret\n"})
    sound(stage.run("inventory"))


FLAGS = ("-e", "-l", "-t", "-i", "-f", "-u", "-T", "--ssh-common-args", "--become-method", "--vault-id")
GIVEN = ("a=b", "@x", "{a: 1}", "web,", "[1", "a@b")


@SOME
@given(
    flag=st.sampled_from(FLAGS),
    value=st.one_of(st.text(max_size=8), st.sampled_from((*PIECES, *GIVEN))),
)
def test_flags(stage: Scene, flag: str, value: str) -> None:
    sound(stage.run(["play", "site", "--check", flag, value]))


@SOME
@given(
    arguments=scratched('cmd="echo hi" chdir=/tmp creates={{ x }}'),
    module=st.sampled_from(["command", "copy", "debug"]),
)
def test_module_arguments(stage: Scene, arguments: str, module: str) -> None:
    sound(stage.run(["run", "web", "-m", module, "-a", arguments, "--check"]))
