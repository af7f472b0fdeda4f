"""One text becomes parameters, quotes and templates kept whole."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.document import Text
from remedy.errors import InputError, Position
from remedy.modules import find, parse_free_form

HERE = Position("site.yml", 3, 5)


def parse(name, text):
    return dict(parse_free_form(find(name), text, HERE))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("path=/etc/hosts get_checksum=no", {"path": "/etc/hosts", "get_checksum": "no"}),
        ("path='/a b' x=1", {"path": "/a b", "x": "1"}),
        ('path="a=b c"', {"path": "a=b c"}),
        ("path={{ a }}/{{ b | default('x y') }}", {"path": "{{ a }}/{{ b | default('x y') }}"}),
        (r'path="one\ntwo"', {"path": "one\ntwo"}),
        ("path=", {"path": ""}),
        ("", {}),
    ],
)
def test_names_and_values(text, found):
    assert parse("stat", text) == found


def test_values_are_the_authors_own_text_with_their_place():
    found = parse_free_form(find("stat"), "path={{ x }}", HERE)
    assert isinstance(found["path"], Text)
    assert found.keys_at["path"] == HERE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ls -l", {"cmd": "ls -l"}),
        ("ls -l chdir=/tmp", {"cmd": "ls -l", "chdir": "/tmp"}),
        ("chdir=/tmp ls -l creates=/x", {"cmd": "ls -l", "chdir": "/tmp", "creates": "/x"}),
        ("dd if=/dev/zero of=/x bs=1M", {"cmd": "dd if=/dev/zero of=/x bs=1M"}),
        ("echo 'a  b'   \"c d\"", {"cmd": "echo 'a  b'   \"c d\""}),
        ("echo a\\ b", {"cmd": "echo a\\ b"}),
        ("df reads=true", {"cmd": "df", "reads": "true"}),
        ("cat <<END\nit's chdir=/x\nEND\n", {"cmd": "cat <<END\nit's chdir=/x\nEND"}),
        ("chdir='/a b' make", {"cmd": "make", "chdir": "/a b"}),
        ("echo {{ x }} chdir={{ y }}", {"cmd": "echo {{ x }}", "chdir": "{{ y }}"}),
        ("creates=/x", {"creates": "/x"}),
    ],
)
def test_a_command_line_keeps_what_is_not_an_option(text, found):
    assert parse("shell", text) == found


def test_a_bare_word_is_an_error_where_nothing_takes_it():
    with pytest.raises(InputError) as caught:
        parse("stat", "/etc/hosts")
    assert str(caught.value) == (
        "site.yml:3:5: 'stat' takes parameters, not the bare text '/etc/hosts'\n"
        "  write name=value, or the parameters as a mapping below the module's name"
    )


def test_an_open_quote_is_an_error():
    with pytest.raises(InputError, match="the quote that opens at '\"/etc' is never closed"):
        parse("stat", 'path="/etc')


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="={}\0"), min_size=1), min_size=1))
def test_any_quoted_words_are_kept_as_they_are(words):
    line = " ".join(shlex.quote(word) for word in words)
    assert parse("command", line)["cmd"] == line.strip()


@given(st.from_regex(r"[^'\\{}]{0,20}", fullmatch=True))
def test_any_quoted_value_comes_out_as_it_went_in(value):
    assert parse("stat", f"path='{value}'")["path"] == value
