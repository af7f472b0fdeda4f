"""What a user writes becomes a module's parameters, or an error that says where and what else is valid."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.agent.kinds import REQUIRED, Param
from remedy.document import Map, Text, VaultText
from remedy.errors import InputError, Position
from remedy.modules import check, find
from remedy.modules.values import TYPES

HERE = Position("site.yml", 3, 5)
SPEC = replace(
    find("ping"),
    name="demo",
    params=(
        Param("path", "path", default=REQUIRED, aliases=("dest", "name"), help="The file."),
        Param("state", default="present", choices=("present", "absent"), help="What should be."),
        Param("mode", "mode", help="The mode."),
        Param("force", "bool", default=False, help="Whether to force it."),
        Param("tags", "list", default=(1,), elements="int", help="Numbers."),
        Param("password", "int", secret=True, help="A secret."),
    ),
    internal=("sha1",),
    loaded=SimpleNamespace(
        check_params=lambda params: "force needs mode" if params["force"] and not params["mode"] else None
    ),
)


def written(**args):
    found = Map(HERE)
    for line, (name, value) in enumerate(args.items(), 4):
        found[name] = value
        found.keys_at[name] = Position("site.yml", line, 7)
        found.values_at[name] = Position("site.yml", line, 20)
    return found


def failing(args, templates_allowed=False):
    with pytest.raises(InputError) as caught:
        check(SPEC, args, HERE, templates_allowed=templates_allowed)
    return str(caught.value)


def test_parameters_are_complete_and_have_their_true_names():
    found = check(SPEC, written(dest="/x", force="yes", mode=420), HERE, templates_allowed=False)
    assert found == {
        "path": "/x",
        "state": "present",
        "mode": "0644",
        "force": True,
        "tags": [1],
        "password": None,
    }
    assert found.keys_at["path"].line == 4


def test_a_parameter_without_a_value_has_its_default():
    assert check(SPEC, written(path="/x", state=None), HERE, templates_allowed=False)["state"] == "present"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            {"pth": "/x"},
            "site.yml:4:7: 'pth' is not a parameter of 'demo'\n  did you mean 'path'?",
        ),
        ({"state": "absent"}, "site.yml:3:5: 'demo' needs the parameter 'path'\n  The file."),
        (
            {"path": "/x", "dest": "/y"},
            "site.yml:5:7: 'path' of 'demo' is given twice, once as 'dest'",
        ),
        (
            {"path": "/x", "state": "gone"},
            "site.yml:5:20: 'state' of 'demo' cannot be 'gone'\n  it must be one of present, absent",
        ),
        (
            {"path": "/x", "mode": "rwx"},
            "site.yml:5:20: 'mode' of 'demo' is 'rwx'\n  it must be a mode such as '0644' or u=rw,g=r,o=r",
        ),
        (
            {"path": "/x", "force": "maybe"},
            "site.yml:5:20: 'force' of 'demo' is 'maybe'\n"
            "  it must be yes or no (true, on and 1, or false, off and 0)",
        ),
        (
            {"path": ["/x"]},
            "site.yml:4:20: 'path' of 'demo' is ['/x']\n  it must be a text",
        ),
        (
            {"path": "/x", "tags": ["1", "b"]},
            "site.yml:5:20: 'tags' of 'demo' is ['1', 'b']\n  it must be a whole number",
        ),
        (
            {"path": "/x", "password": "hunter2"},
            "site.yml:5:20: 'password' of 'demo' is not what it should be\n  it must be a whole number",
        ),
        ({"path": "/x", "force": True}, "site.yml:3:5: 'demo': force needs mode"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_valid(args, text):
    assert failing(written(**args)) == text


def test_an_internal_parameter_is_not_for_users():
    assert "'sha1' is not a parameter of 'demo'" in failing(written(path="/x", sha1="0"))


def test_a_template_waits_until_it_is_rendered():
    args = written(path="/x", state=Text("{{ state }}"), tags=[Text("{{ one }}")], force=True)
    checked = check(SPEC, args, HERE, templates_allowed=True)
    assert checked["state"] == "{{ state }}"
    assert checked["tags"] == ["{{ one }}"]
    rendered = {**checked, "state": "absent", "tags": ["7"], "mode": "600"}
    done = check(SPEC, rendered, HERE, templates_allowed=False)
    assert (done["state"], done["tags"], done["mode"]) == ("absent", [7], "0600")


def test_after_rendering_the_same_mistakes_are_found():
    checked = check(SPEC, written(path="/x", state=Text("{{ s }}")), HERE, templates_allowed=True)
    with pytest.raises(InputError, match="'state' of 'demo' cannot be 'gone'"):
        check(SPEC, {**checked, "state": "gone"}, HERE, templates_allowed=False)
    with pytest.raises(InputError, match="force needs mode"):
        check(SPEC, {**checked, "state": "absent", "force": True}, HERE, templates_allowed=False)


def test_text_from_a_host_is_no_template():
    assert "cannot be '{{ x }}'" in failing(written(path="/x", state="{{ x }}"), templates_allowed=True)


def test_a_vaulted_value_waits_too():
    secret = VaultText("$ANSIBLE_VAULT;1.1;AES256")
    checked = check(SPEC, written(path="/x", password=secret), HERE, templates_allowed=True)
    assert checked["password"] is secret


def test_a_constant_is_checked_even_where_templates_are_allowed():
    assert "cannot be 'gone'" in failing(written(path="/x", state=Text("gone")), templates_allowed=True)


def test_set_fact_takes_any_name():
    assert check(find("set_fact"), {"colour": "red"}, HERE, templates_allowed=True)["colour"] == "red"


@pytest.mark.parametrize(
    ("kind", "value", "meaning"),
    [
        ("bool", "On", True),
        ("bool", 0, False),
        ("bool", 1.0, True),
        ("int", " 5 ", 5),
        ("int", 5.0, 5),
        ("int", "-7", -7),
        ("float", "1.5", 1.5),
        ("str", 5, "5"),
        ("str", True, "True"),
        ("str", date(2026, 1, 31), "2026-01-31"),
        ("list", "a,b", ["a", "b"]),
        ("list", 5, ["5"]),
        ("list", "", []),
        ("dict", '{"a": 1}', {"a": 1}),
        ("dict", "a=1, b=2", {"a": "1", "b": "2"}),
        ("mode", 0o644, "0644"),
        ("mode", "0o755", "0755"),
        ("mode", "4755", "4755"),
        ("mode", "u=rwX,g-w,o=", "u=rwX,g-w,o="),
        ("mode", "preserve", "preserve"),
        ("size", "10M", 10 << 20),
        ("size", "1.5 GiB", 3 << 29),
        ("size", "512", 512),
        ("size", "-1k", -1024),
        ("size", "10KB", 10240),
        ("duration", "3d", 259200),
        ("duration", "1d12h", 129600),
        ("duration", "90", 90),
        ("duration", "1.5h", 5400),
        ("duration", "500ms", 0.5),
        ("duration", "-2w", -1209600),
        ("percent", "85%", 85),
        ("percent", 85, 85),
        ("percent", "99.5 %", 99.5),
        ("raw", [1], [1]),
    ],
)
def test_values_mean_what_they_mean_in_ansible(kind, value, meaning):
    found = TYPES[kind](value)
    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", "ja"),
        ("bool", 2),
        ("bool", []),
        ("int", "5.5"),
        ("int", True),
        ("int", "x"),
        ("int", float("inf")),
        ("float", "x"),
        ("str", {"a": 1}),
        ("list", {"a": 1}),
        ("dict", "a b"),
        ("dict", [1]),
        ("mode", "0999"),
        ("mode", True),
        ("mode", 99999),
        ("size", "10 apples"),
        ("size", True),
        ("duration", "3 fortnights"),
        ("duration", ""),
        ("duration", "3d banana"),
        ("duration", float("nan")),
        ("duration", float("inf")),
        ("percent", "120%"),
        ("percent", -1),
        ("percent", None),
    ],
)
def test_what_has_no_meaning_is_refused(kind, value):
    with pytest.raises(ValueError, match=r"\w"):
        TYPES[kind](value)


@given(
    st.sampled_from(sorted(TYPES)),
    st.one_of(
        st.text(max_size=12),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.from_regex(r"-?\d{1,4}(\.\d{1,2})?(ms|[smhdwkKMG%])?", fullmatch=True),
        st.lists(st.integers(), max_size=3),
    ),
)
def test_a_value_converted_twice_is_the_same_as_once(kind, value):
    try:
        once = TYPES[kind](value)
    except ValueError:
        return
    again = TYPES[kind](once)
    assert again == once or (again != again and once != once)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "9" * 400, "9" * 308 + ".5"])
@pytest.mark.parametrize("kind", ["size", "duration"])
def test_what_has_no_end_is_no_size_and_no_duration(kind, value):
    with pytest.raises(ValueError, match=r"a size in bytes|a duration such as"):
        TYPES[kind](value)


@given(st.lists(st.tuples(st.integers(1, 500), st.sampled_from("smhdw")), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    assert TYPES["duration"](text) == sum(number * seconds[unit] for number, unit in parts)
