"""What is told of a run, to whom, and what happens when somebody cannot be told; servers are real, on this machine.

The addresses of Lark, Slack and DingTalk are fixed: here a web server on this machine stands in their place.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.dingtalk import NotifyDingTalk
from apprise.plugins.feishu import NotifyFeishu
from apprise.plugins.lark import NotifyLark
from apprise.plugins.slack import NotifySlack
from click.testing import CliRunner

from remedy.cli.notify import notify
from remedy.cli.past import run_as_document
from remedy.errors import InputError, Position
from remedy.journal import read_run
from remedy.notify import Targets, of_run, send, without_run
from remedy.secret import Secrets
from tests.journal import telling
from tests.notify.listening import mail_server, web_server

TOKEN = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "remedy.yml").write_text("state: state\n")
    monkeypatch.delenv("REMEDY_STATE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(project: Path, text: str, secrets: Secrets | None = None) -> Any:
    (project / "notifications.yml").write_text(text)
    known = Targets(project, None, Secrets() if secrets is None else secrets)
    return {name: known.get(name, Position("a test")) for name in known.names}


def told(project: Path, events: list[Any], run: str = "20250101-a") -> Any:
    telling.write(project / "state", run, events, time=100.0)
    document = run_as_document(read_run(project / "state/runs" / run))
    return of_run(document, schedule="nightly", due="03:10 UTC")


def test_a_mail_tells_what_was_changed(project: Path) -> None:
    message = told(project, [telling.intent(), telling.changed(bytes_freed=3 << 20), telling.done()])
    assert message.title == "nightly on prod: 1 change"
    assert (message.kinds, message.level) == ({"changed"}, "info")
    with mail_server() as (mail, port):
        known = targets(project, f"ops: {{url: 'mailto://127.0.0.1:{port}?from=r@a.test&to=ops@b.test'}}\n")
        assert send(message, known.values(), pytest.fail, mask=str) == 0
    [letter] = mail.letters
    assert (letter["to"], letter["subject"]) == ("ops@b.test", message.title)
    body = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    for words in ("remedy play disk-full -i prod: ok", "schedule nightly, due 03:10 UTC", "3.0 MiB freed",
                  "remedy history 20250101-a"):  # fmt: skip
        assert words in body, body


def test_webhooks_of_feishu_lark_slack_and_dingtalk(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = told(project, [telling.intent(), telling.changed(), telling.done()])
    with web_server((200, {"code": 0, "errcode": 0, "StatusCode": 0})) as (web, port):
        here = f"http://127.0.0.1:{port}"
        monkeypatch.setattr(NotifyLark, "notify_url", f"{here}/lark/")
        monkeypatch.setattr(NotifyFeishu, "notify_url", f"{here}/feishu/")
        monkeypatch.setattr(NotifyDingTalk, "notify_url", f"{here}/dingtalk?access_token={{token}}")
        monkeypatch.setattr(NotifySlack, "webhook_url", f"{here}/slack")
        known = targets(
            project,
            f"lark: {{url: 'lark://{TOKEN}'}}\nfeishu: {{url: 'feishu://{TOKEN}'}}\n"
            f"dingtalk: {{url: 'dingtalk://{'a' * 32}'}}\nplain: {{url: 'json://127.0.0.1:{port}/hook'}}\n"
            "slack: {url: 'slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops'}\n",
        )
        trouble: list[str] = []
        send(message, known.values(), trouble.append, mask=str)
    came = {path.split("?")[0].split("/")[1]: str(body) for path, body in web.bodies}
    assert set(came) >= {"lark", "feishu", "dingtalk", "slack", "hook"}, trouble
    assert all("nightly on prod: 1 change" in body for body in came.values())


def test_who_wants_to_know_of_something_else_is_left_alone(project: Path) -> None:
    with web_server() as (web, port):
        url = f"url: 'json://127.0.0.1:{port}"
        known = targets(
            project,
            f"a: {{{url}/a', events: [failed]}}\nb: {{{url}/b', events: changed}}\nc: {{{url}/c'}}\n"
            f"d: {{{url}/d', events: always}}\n",
        )
        message = told(project, [telling.intent(), telling.changed(), telling.done()])
        assert send(message, known.values(), pytest.fail, mask=str) == 0
        assert sorted(path for path, _ in web.bodies) == ["/b", "/c", "/d"]
        web.bodies.clear()
        assert send(told(project, [], "20250102-b"), known.values(), pytest.fail, mask=str) == 0
        assert [path for path, _ in web.bodies] == ["/d"]


def test_a_time_without_a_run_is_told_with_its_reason(project: Path) -> None:
    skipped = without_run("nightly", "03:10 UTC", "the machine was off at that time")
    assert (skipped.kinds, skipped.level) == ({"skipped"}, "warning")
    refused = without_run("nightly", None, "the permission ended on 2026-01-01", exit_code=3)
    assert (refused.kinds, refused.level) == ({"refused"}, "failure")
    assert "the permission ended on 2026-01-01" in refused.title
    assert "remedy schedule show nightly" in refused.text


def test_text_from_hosts_calls_nobody_and_steers_nothing(project: Path) -> None:
    object = 'file:/tmp/<!channel>\x1b[2J<at user_id="all">\u202e\n' + "x" * 500
    message = told(project, [telling.intent(), telling.changed(object=object), telling.done()])
    assert not set("<>\x1b\u202e") & set(message.text + message.title)
    assert max(map(len, message.text.splitlines())) <= 170


def test_a_failure_is_said_without_the_address_and_takes_a_bounded_time(project: Path) -> None:
    secrets = Secrets()
    message = told(project, [telling.intent(), telling.changed(), telling.done()])
    with web_server((500, {"why": "broken"})) as (web, port), web_server(waits=20) as (_, slow):
        with mail_server(refuses="550 no") as (_, smtp):
            known = targets(
                project,
                f"web: {{url: 'json://user:geheimnis@127.0.0.1:{port}/{TOKEN}'}}\n"
                f"slow: {{url: 'json://127.0.0.1:{slow}/'}}\nnobody: {{url: 'json://127.0.0.1:9/{TOKEN}'}}\n"
                f"mail: {{url: 'mailto://127.0.0.1:{smtp}?from=r@a.test&to=ops@b.test'}}\n",
                secrets,
            )
            said: list[str] = []
            began = time.monotonic()
            assert send(message, known.values(), said.append, mask=secrets.mask, seconds=5) == 4
        took = time.monotonic() - began
    assert took < 8, took
    assert [line.split("'")[1] for line in said] == ["web", "slow", "nobody", "mail"]
    assert len(web.bodies) == 2  # tried once more
    for secret in (TOKEN, "geheimnis"):
        assert secret not in "".join(said), said


def test_what_failed_once_is_tried_once_more(project: Path) -> None:
    message = told(project, [telling.intent(), telling.changed(), telling.done()])
    with web_server((503, {}), (200, {})) as (web, port):
        known = targets(project, f"a: {{url: 'json://127.0.0.1:{port}/'}}\n")
        assert send(message, known.values(), pytest.fail, mask=str) == 0
    assert len(web.bodies) == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("ops: mailto://x\n", 1, "'ops' is the text 'mailto://x'"),
        ("- a\n", 1, "nobody to be told stands here"),
        ("ops: {}\n", 1, "'ops' has no address, or several"),
        ("a: {url: 'json://h', url_env: X}\n", 1, "has no address, or several"),
        ("\na: {url: 'jsn://127.0.0.1'}\n", 2, "did you mean 'json'?"),
        ("a: {url: 'zzzzzz://127.0.0.1'}\n", 1, "address of no known kind"),
        ("a: {url: 'lark://***'}\n", 1, "the lark address of 'a' is incomplete or wrong"),
        ("a: {url_env: REMEDY_NO_SUCH}\n", 1, "no variable REMEDY_NO_SUCH in the environment"),
        ("a: {url_file: /no/such}\n", 1, "cannot read /no/such: No such file or directory"),
        ("a: {url: 'json://h', events: [fail]}\n", 1, "expected failed, refused"),
        ("a: {url: 'json://h', evnts: [failed]}\n", 1, "did you mean 'events'?"),
        ('a: {url: !vault "x"}\n', 1, "--vault-password-file"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_its_place(
    project: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(InputError) as error:
        targets(project, text)
    assert str(error.value).startswith(f"{project}/notifications.yml:{line}")
    assert words in str(error.value)


def test_the_command_lists_tests_and_sends(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(notify, words, catch_exceptions=True, standalone_mode=False)

    assert "nobody yet" in run("list").output
    told(project, [telling.intent(), telling.changed(), telling.done()])
    with web_server() as (web, port):
        monkeypatch.setenv("ONCALL", f"json://127.0.0.1:{port}/{TOKEN}")
        (project / "credential").write_text(f"json://127.0.0.1:{port}/file\n")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(project))
        (project / "notifications.yml").write_text(
            "oncall: {url_env: ONCALL, events: failed}\nops: {url_file: $CREDENTIALS_DIRECTORY/credential}\n"
        )
        listed = run("list").output
        assert "oncall  json      failed" in listed
        assert TOKEN not in listed
        assert run("test", "oncall", "ops").return_value == 0
        assert run("send", "2025", "oncall").return_value == 0
        assert [path for path, _ in web.bodies][2] == f"/{TOKEN}"
        wrong = run("test", "onkall")
        assert "did you mean 'oncall'?" in str(wrong.exception)
    (project / "notifications.yml").write_text("gone: {url: 'json://127.0.0.1:9/'}\n")
    assert run("test", "gone").return_value == 4
