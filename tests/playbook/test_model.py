"""What a playbook that can be run becomes."""

import textwrap
from pathlib import Path

import pytest

from remedy.document import Map, Text
from remedy.errors import InputError, Position
from remedy.playbook import Block, Include, LoopControl, Task, load, load_tasks, walk
from remedy.project import Project


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, library=tmp_path / "library")


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def play(project, write):
    def play(text, **options):
        return load(write("play.yml", text), project=project, **options).plays[0]

    return play


@pytest.fixture
def task(play):
    def task(text):
        (one,) = play("- hosts: all\n  tasks:\n" + textwrap.indent(textwrap.dedent(text), "    ")).tasks
        return one

    return task


def test_play_keywords(play, tmp_path):
    found = play("""
        - name: Heal
          hosts: [web, "!web3"]
          become: yes
          become_user: "{{ owner }}"
          become_method: su
          vars: {disk_limit: 85%}
          vars_files: [a.yml, [b.yml, "{{ c }}.yml"]]
          serial: [1, "5", 30%, "{{ rest }}"]
          strategy: linear
          any_errors_fatal: "on"
          max_fail_percentage: 12.5
          environment: {LANG: C}
          tags: a, b
          collections: [community.general]
          force_handlers: true
          tasks:
            - ping:
    """)
    assert found.title == "Heal"
    assert found.hosts == "web,!web3"
    assert (found.become.become, found.become.user, found.become.method) == (True, "{{ owner }}", "su")
    assert found.become.flags is None
    assert found.vars == {"disk_limit": "85%"}
    assert found.vars_files == ("a.yml", ("b.yml", "{{ c }}.yml"))
    assert found.serial == (1, 5, "30%", "{{ rest }}")
    assert (found.strategy, found.any_errors_fatal, found.max_fail_percentage) == ("linear", True, 12.5)
    assert found.environment == {"LANG": "C"}
    assert found.tags == ("a", "b")
    assert found.force_handlers is True
    assert found.gather_facts is True
    assert found.position == Position(str(tmp_path / "play.yml"), 2, 3)
    assert [name for name, _ in found.sections()] == ["tasks"]


def test_defaults_are_not_written(play):
    found = play("- hosts: all\n  tasks:\n    - ping:\n")
    assert (found.title, found.when, found.serial, found.strategy) == ("all", (), (), None)
    (task,) = found.tasks
    inherited = (
        "ignore_errors",
        "any_errors_fatal",
        "check_mode",
        "diff",
        "no_log",
        "timeout",
        "environment",
    )
    assert {getattr(task, name) for name in inherited} == {None}
    assert (task.vars, task.tags, task.when, task.notify, task.loop) == ({}, (), (), (), None)
    assert (task.register, task.changed_when, task.failed_when, task.until, task.retries, task.delay) == (
        None,
    ) * 6
    assert task.loop_control == LoopControl(loop_var="item")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("tasks: [{ping: }]", True),
        ("diagnose: [{ping: }]", False),
        ("runbook: {severity: P2}\n  tasks: [{ping: }]", False),
        ("gather_facts: true\n  diagnose: [{ping: }]", True),
        ("gather_facts: false\n  tasks: [{ping: }]", False),
        ("gather_facts: true", True),
    ],
)
def test_facts_are_gathered_by_default_except_in_a_runbook(play, text, facts):
    assert play(f"- hosts: all\n  {text}\n").gather_facts is facts


def test_runbook_metadata(play):
    found = play("""
        - hosts: all
          runbook:
            title: Full
            severity: P1
            symptoms: [No space left on device]
            references: man df
            attended: [volumes]
          diagnose:
            - ping:
    """).runbook
    assert (found.title, found.severity) == ("Full", "P1")
    assert (found.symptoms, found.references, found.privileges) == (
        ("No space left on device",),
        ("man df",),
        (),
    )
    assert found.attended == ("volumes",)


def test_task_keywords(task):
    found = task("""
        - name: Restart {{ item }}
          ansible.builtin.command:
            cmd: systemctl restart {{ item }}
            chdir: /tmp
          when: [a is defined, true]
          register: result
          loop: "{{ units }}"
          loop_control: {loop_var: unit, index_var: n, label: "{{ unit }}", pause: 1.5, extended: true}
          changed_when: false
          failed_when: [result.rc > 1]
          until: result.rc == 0
          retries: "3"
          delay: 0.5
          tags: [x, 5, "y,z"]
          check_mode: false
          no_log: "{{ hide }}"
          timeout: 30
          vars: {owner: root}
    """)
    assert (found.module, found.spec.name, found.title) == ("command", "command", "Restart {{ item }}")
    assert found.args == {"cmd": "systemctl restart {{ item }}", "chdir": "/tmp"}
    assert isinstance(found.args, Map)
    assert found.args.keys_at["chdir"].line == 7
    assert found.when == ("a is defined", True)
    assert isinstance(found.when[0], Text)
    assert (found.register, found.loop) == ("result", "{{ units }}")
    assert found.loop_control == LoopControl(
        loop_var="unit", index_var="n", label=Text("{{ unit }}"), pause=1.5, extended=True
    )
    assert (found.changed_when, found.failed_when, found.until) == (
        (False,),
        ("result.rc > 1",),
        ("result.rc == 0",),
    )
    assert (found.retries, found.delay, found.timeout) == (3, 0.5, 30)
    assert found.tags == ("x", "5", "y", "z")
    assert (found.check_mode, found.no_log) == (False, "{{ hide }}")
    assert found.vars == {"owner": "root"}


@pytest.mark.parametrize(
    "text",
    [
        "- command: uptime chdir=/tmp",
        "- command: {cmd: uptime, chdir: /tmp}",
        "- command: uptime\n  args: {chdir: /tmp}",
        "- action: command uptime chdir=/tmp",
        "- action: {module: command, cmd: uptime, chdir: /tmp}",
        "- ansible.legacy.command: {cmd: uptime}\n  args: {chdir: /tmp, cmd: overridden}",
    ],
)
def test_ways_to_write_arguments(task, text):
    found = task(text)
    assert (found.module, found.args) == ("command", {"cmd": "uptime", "chdir": "/tmp"})
    assert set(found.args.keys_at) >= {"cmd", "chdir"}
    assert isinstance(found.args["cmd"], Text)


def test_aliases_stay_as_written(task):
    assert task("- assert: {that: true, msg: no}").args == {"that": True, "msg": False}


def test_blocks(task):
    found = task("""
        - name: Try
          when: x
          become: false
          block:
            - ping:
            - block: [{debug: {msg: inner}}]
          rescue:
            - fail: msg=no
          always:
    """)
    assert isinstance(found, Block)
    assert (found.name, found.when, found.become.become) == ("Try", ("x",), False)
    assert [type(node).__name__ for node in found.block] == ["Task", "Block"]
    assert [node.title for node, _ in walk((found,))] == ["ping", "debug", "fail"]
    assert found.always == ()


def test_include_is_left_to_the_run_but_read_ahead(play, write):
    write("tasks/more.yml", "- ping:\n")
    (found,) = play("""
        - hosts: all
          tasks:
            - include_tasks: {file: more.yml, apply: {tags: [deep], become: true}}
              vars: {a: 1}
              when: x
              tags: shallow
              loop: [1, 2]
              loop_control: {loop_var: n}
    """).tasks
    assert isinstance(found, Include)
    assert (found.file, found.title, found.vars) == ("more.yml", "include_tasks more.yml", {"a": 1})
    assert (found.when, found.tags, found.loop, found.loop_control.loop_var) == (
        ("x",),
        ("shallow",),
        [1, 2],
        "n",
    )
    assert (found.apply.tags, found.apply.become.become) == (("deep",), True)


def test_include_whose_name_is_a_template_is_not_looked_for(task):
    found = task('- ansible.builtin.include_tasks: "{{ os }}.yml"\n  args: {apply: {tags: x}}')
    assert (found.file, found.apply.tags) == ("{{ os }}.yml", ("x",))


def test_files_may_include_each_other(play, write):
    write("a.yml", "- include_tasks: b.yml\n  when: left > 0\n")
    write("b.yml", "- include_tasks: a.yml\n")
    assert play("- hosts: all\n  tasks:\n    - include_tasks: a.yml\n").tasks[0].file == "a.yml"


def test_import_is_a_block_whose_keywords_hold_for_what_it_brings(play, write, tmp_path):
    write("tasks/more.yml", "- ping:\n- import_tasks: sub/deep.yml\n")
    write("tasks/sub/deep.yml", "- import_tasks: beside.yml\n")
    write("tasks/sub/beside.yml", "- debug:\n")
    (found,) = play("""
        - hosts: all
          tasks:
            - import_tasks: more.yml
              vars: {a: 1}
              when: x
              tags: t
              become: true
    """).tasks
    assert isinstance(found, Block)
    assert (found.vars, found.when, found.tags, found.become.become) == ({"a": 1}, ("x",), ("t",), True)
    places = [(node.module, Path(node.position.file).name, len(outer)) for node, outer in walk((found,))]
    assert places == [("ping", "more.yml", 1), ("debug", "beside.yml", 3)]


def test_a_file_may_be_imported_twice(play, write):
    write("a.yml", "- ping:\n")
    found = play("- hosts: all\n  tasks:\n    - import_tasks: a.yml\n    - import_tasks: a.yml\n")
    assert [node.module for node, _ in walk(found.tasks)] == ["ping", "ping"]


def test_handlers(play, write):
    write("handlers.yml", "- name: reload\n  ping:\n")
    found = play("""
        - hosts: all
          tasks:
            - ping:
              notify: [restart nginx, web, reload, "{{ dynamic }}"]
          handlers:
            - name: restart nginx
              ping:
              listen: web
              notify: reload
            - import_tasks: handlers.yml
    """)
    assert [(type(one), one.name, one.listen) for one in found.handlers] == [
        (Task, "restart nginx", ("web",)),
        (Task, "reload", ()),
    ]


@pytest.mark.parametrize("handler", ["include_tasks: '{{ x }}.yml'", "name: restart {{ unit }}\n      ping:"])
def test_handlers_that_only_the_run_knows(play, handler):
    found = play(f"- hosts: all\n  tasks: [{{ping: , notify: restart web}}]\n  handlers:\n    - {handler}\n")
    assert len(found.handlers) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ping:",
        "finding: {id: a, title: b}",
        "set_fact: {a: 1}",
        "command: {cmd: df, reads: true}",
        "shell: df | sort\n      args: {reads: true}",
        "block: [{ping: }]",
    ],
)
def test_what_diagnose_takes(play, text):
    assert len(play(f"- hosts: all\n  diagnose:\n    - {text}\n").diagnose) == 1


def test_empty_sections_count_as_absent(play):
    found = play("- hosts: all\n  vars:\n  tasks:\n    - ping:\n  handlers:\n  post_tasks: []\n")
    assert (found.vars, found.handlers, found.post_tasks) == ({}, (), ())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "ping:\n      when: '{{ x }}'",
            4,
            "'when' is an expression already: write it without {{ }} or {% %}",
        ),
        (
            "ping:\n      until: ['{{ x }}']",
            4,
            "'until' is an expression already: write it without {{ }} or {% %}",
        ),
    ],
)
def test_warnings(play, text, line, message):
    told = []
    play(f"- hosts: all\n  tasks:\n    - {text}\n", warn=lambda *warning: told.append(warning))
    ((said, position),) = told
    assert (said, position.line) == (message, line)


def test_a_handler_that_nobody_can_notify_is_warned_of(play):
    told = []
    play(
        "- hosts: all\n  tasks: [{ping: }]\n  handlers:\n    - ping:\n",
        warn=lambda message, position: told.append((message, position.line)),
    )
    assert told == [("a handler without a name or 'listen' never runs", 4)]


def test_tasks_read_during_the_run_are_checked_for_their_section(project, write):
    path = write("a.yml", "- command: uptime\n  notify: again\n")
    assert [one.module for one in load_tasks(path, project=project)] == ["command"]
    for section in ("diagnose", "diagnose again"):
        with pytest.raises(InputError, match="'command' cannot stand in diagnose without 'reads: true'"):
            load_tasks(path, project=project, section=section)


def test_tasks_read_during_the_run_know_the_play_handlers(project, write, play):
    without = play("- hosts: all\n  tasks: [{ping: }]\n  handlers: [{name: other, ping: }]\n")
    path = write("a.yml", "- ping:\n  notify: again\n")
    with pytest.raises(InputError, match="no handler 'again'"):
        load_tasks(path, project=project, play=without)


def test_an_empty_tasks_file_brings_nothing(project, write):
    assert load_tasks(write("a.yml", "# later\n"), project=project) == ()


def test_whole_playbook_in_a_vault(project, write):
    path = write("play.yml", "$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    found = load(
        path, project=project, vault_decrypt=lambda data, file: b"- hosts: secret\n  tasks: [{ping: }]\n"
    )
    assert found.plays[0].hosts == "secret"
    assert found.path == path


def test_the_model_cannot_be_changed(task):
    found = task("- ping:")
    with pytest.raises(AttributeError):
        found.module = "shell"
