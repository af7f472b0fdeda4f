"""Bad documents: the text a user reads says where, what, and what was expected."""

from pathlib import Path

import pytest

from remedy.document import load_file, load_yaml
from remedy.errors import InputError

BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: b: c", "f.yml:1:5: broken YAML: a ':' where none can stand\n  expected one 'key: value' a line"),
        ("a:\n\t- b", "f.yml:2:1: a tab in the indentation\n  expected spaces"),
        (
            "a: 1\nb: 'x\n",
            "f.yml:2:4: broken YAML: a quote is opened and never closed\n  expected the closing",
        ),
        ("a: [1, 2", "f.yml:1:4: broken YAML: a bracket or brace is not closed\n  expected ','"),
        ("- a\nb: c", "f.yml:2:1: broken YAML: a line that is no list item\n  expected '- '"),
        (
            "a:\n  b: 1\n c: 2",
            "f.yml:3:2: broken YAML: neither a key nor the end of the mapping\n  expected 'k",
        ),
        ("a: - b", "f.yml:1:4: broken YAML: a list item where none can stand\n  expected the list on a line"),
        ('a: "\\q"', "f.yml:1:5: broken YAML: an unknown escape in double quotes\n  double the backslash"),
        ("a: @x", "f.yml:1:4: a text cannot start with @\n  expected quotes around the whole text"),
        ("a: x\x01", "f.yml:1:5: the character U+0001 is not allowed in YAML\n  expected printable text"),
        ("a: {{ x }}", "f.yml:1:5: a key is a list or a mapping\n  a value that starts with {{ needs quotes"),
        (
            "a: 1\nb: 2\na: 3",
            "f.yml:3:1: the key 'a' stands twice in one mapping\n  first on line 1; keep one",
        ),
        ("80: http", "f.yml:1:1: the key 80 is no text\n  quote it: '80':"),
        ("yes: 1", "f.yml:1:1: the key yes is no text\n  quote it: 'yes':"),
        ("a: 1\n---\nb: 2", "f.yml:2:1: a second document begins\n  expected one document a file"),
        ("a: *b", "f.yml:1:4: *b names no anchor\n  expected &b somewhere above"),
        ("a: &a [*a]", "f.yml:1:8: *a stands inside itself\n  expected an anchor that is complete"),
        (
            "a: !!python/name:os.system x",
            "f.yml:1:4: the tag !!python/name:os.system is not known\n  expected one",
        ),
        ("a: !foo {}", "f.yml:1:4: the tag !foo does not fit here\n  expected one of !vault, !unsafe"),
        ("a: 2024-13-01", "f.yml:1:4: '2024-13-01' is no timestamp: month must be in 1..12\n  quote it"),
        ("a: !!int x", "f.yml:1:4: 'x' is no int: "),
        ("a: <<", "f.yml:1:4: '<<' stands as a value\n  quote it"),
        ("a: {<<: 1}", "f.yml:1:9: '<<' merges mappings only\n  expected a mapping, or a list of mappings"),
        ("[" * 101, "f.yml:1:101: nested more than 100 levels deep\n  expected a flatter document"),
        (BOMB, "aliases repeat more than 100000 values\n  write the values out"),
    ],
)
def test_bad_documents_are_explained(text: str, error: str) -> None:
    with pytest.raises(InputError) as caught:
        load_yaml(text, "f.yml")
    assert error in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_hundred_levels_are_fine() -> None:
    assert load_yaml("[" * 100 + "]" * 100, "f.yml") is not None


def test_invalid_utf8_names_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(InputError) as caught:
        load_file(file)
    assert str(caught.value).startswith(f"{file}:2:4: byte 0xff at offset 8 is not UTF-8\n")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yml: cannot be read: No such file or directory"):
        load_file(tmp_path / "none.yml")


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remedy.document.loader.MAX_CHARACTERS", 10)
    with pytest.raises(InputError, match="the file has 11 characters"):
        load_yaml("a: 12345678", "f.yml")


def test_a_file_with_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remedy.document.loader.MAX_NODES", 3)
    with pytest.raises(InputError, match="the file has more than 3 values"):
        load_yaml("[1, 2, 3]", "f.yml")
