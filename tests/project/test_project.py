"""Where things are found: playbooks, inventories, tasks, the state folder, and what remedy.yml says."""

from pathlib import Path

import pytest

from remedy.errors import InputError
from remedy.project import Project, Settings


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with a library behind it, in which the user stands."""
    files = """
        playbooks/heal.yml playbooks/disk-full.yml playbooks/group_vars/all.yml tasks/mine.yml
        inventory/prod.yml inventory/test.ini inventory/old inventory/cloud/hosts.yml
        inventory/group_vars/all.yml
        library/playbooks/disk-full.yml library/playbooks/redis-down.yaml library/tasks/mine.yml
        library/tasks/clean/old-logs.yml elsewhere/own.yml elsewhere/hosts.ini
    """
    for name in files.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    monkeypatch.chdir(tmp_path)
    for name in ("REMEDY_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def project(root):
    return Project(root, library=root / "library")


def shown(error, root):
    return str(error.value).replace(f"{root}/", "").replace(str(root), ".")


@pytest.mark.parametrize("mark", ["remedy.yml", "playbooks", "inventory"])
def test_the_root_is_the_nearest_parent_with_a_mark(tmp_path, mark):
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    path = tmp_path / "project" / mark
    path.write_text("") if mark.endswith(".yml") else path.mkdir()
    assert Project.find(deep).root == tmp_path / "project"


def test_without_a_mark_the_root_is_where_the_user_stands(tmp_path):
    assert Project.find(tmp_path / "a").root == tmp_path / "a"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("heal", "playbooks/heal.yml"),
        ("heal.yml", "playbooks/heal.yml"),
        ("disk-full", "playbooks/disk-full.yml"),
        ("redis-down", "library/playbooks/redis-down.yaml"),
        ("redis-down.yaml", "library/playbooks/redis-down.yaml"),
    ],
)
def test_playbooks_by_name(project, root, name, path):
    assert project.playbook(name) == root / path


@pytest.mark.parametrize("name", ["elsewhere/own.yml", "./elsewhere/own.yml"])
def test_playbooks_by_path(project, name):
    assert project.playbook(name) == Path(name)


def test_missing_playbook(project, root):
    with pytest.raises(InputError) as caught:
        project.playbook("disk-ful")
    assert shown(caught, root) == (
        "no playbook 'disk-ful'\n  did you mean 'disk-full'?\n  looked in playbooks, library/playbooks"
    )
    with pytest.raises(InputError) as caught:
        project.playbook("elsewhere/gone.yml")
    assert shown(caught, root) == (
        "no playbook 'elsewhere/gone.yml'\n  valid here: disk-full, heal, redis-down\n"
        "  looked in playbooks, library/playbooks"
    )


def test_no_playbooks_at_all(tmp_path):
    with pytest.raises(InputError) as caught:
        Project(tmp_path, library=tmp_path / "library").playbook("x")
    assert str(caught.value) == "no playbook 'x'\n  nothing is valid here\n  looked in no playbooks/ folder"


def test_the_project_hides_the_package(project, root):
    assert [(one.name, one.path, one.origin) for one in project.playbooks()] == [
        ("disk-full", root / "playbooks/disk-full.yml", "project"),
        ("heal", root / "playbooks/heal.yml", "project"),
        ("redis-down", root / "library/playbooks/redis-down.yaml", "package"),
    ]


def test_a_checkout_is_not_listed_twice(root):
    found = Project(root / "library", library=root / "library")
    assert [one.origin for one in found.playbooks()] == ["package", "package"]
    assert found.tasks_folders() == (root / "library/tasks",)


def test_the_package_has_a_library():
    assert "disk-full" in [one.name for one in Project(Path("/nowhere")).playbooks()]


@pytest.mark.parametrize(
    ("name", "beside", "path"),
    [
        ("own.yml", "elsewhere", "elsewhere/own.yml"),
        ("mine.yml", "elsewhere", "tasks/mine.yml"),
        ("mine.yml", "library/tasks", "library/tasks/mine.yml"),
        ("clean/old-logs.yml", "playbooks", "library/tasks/clean/old-logs.yml"),
    ],
)
def test_tasks_files(project, root, name, beside, path):
    assert project.tasks_file(name, root / beside) == root / path


def test_missing_tasks_file(project, root):
    with pytest.raises(InputError) as caught:
        project.tasks_file("clean/old-log.yml", root / "elsewhere")
    assert shown(caught, root) == (
        "no tasks file 'clean/old-log.yml'\n  did you mean 'clean/old-logs.yml'?\n"
        "  looked in elsewhere, tasks, library/tasks"
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("prod", "prod.yml"),
        ("test", "test.ini"),
        ("old", "old"),
        ("cloud", "cloud"),
        ("prod.yml", "prod.yml"),
    ],
)
def test_inventories_by_name(project, root, name, path):
    assert project.inventory(name) == root / "inventory" / path


def test_inventories_by_path_and_as_a_list(project):
    assert project.inventory("elsewhere/hosts.ini") == Path("elsewhere/hosts.ini")
    assert project.inventory("elsewhere") == Path("elsewhere")
    assert project.inventory("web1,") == "web1,"
    assert project.inventory("web1,db/2") == "web1,db/2"


def test_missing_inventory(project, root):
    with pytest.raises(InputError) as caught:
        project.inventory("prd")
    assert shown(caught, root) == (
        "no inventory 'prd'\n  did you mean 'prod'?\n  looked in inventory; a single host has a comma: 'prd,'"
    )
    with pytest.raises(InputError) as caught:
        project.inventory("elsewhere/prod")
    assert shown(caught, root) == (
        "no inventory at 'elsewhere/prod'\n  expected a file, a folder, or a list such as 'web1,web2,'"
    )


def test_the_projects_own_inventory(project, root):
    with pytest.raises(InputError) as caught:
        project.inventory()
    assert shown(caught, root) == (
        "no inventory was named\n"
        "  write -i NAME, an 'inventory:' in remedy.yml, or the file inventory/hosts.yml"
    )
    (root / "inventory" / "hosts.yml").write_text("")
    assert project.inventory() == root / "inventory" / "hosts.yml"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("prod", "inventory/prod.yml"),
        ("elsewhere/hosts.ini", "elsewhere/hosts.ini"),
        ("inventory", "inventory"),
    ],
)
def test_remedy_yml_names_the_inventory(root, monkeypatch, written, expected):
    (root / "remedy.yml").write_text(f"inventory: {written}\n")
    monkeypatch.chdir("playbooks")
    assert Project.find(Path()).inventory() == root / expected


def test_remedy_yml_may_name_hosts(root):
    (root / "remedy.yml").write_text("inventory: web1,web2\n")
    assert Project.find(root).inventory() == "web1,web2"


def test_settings(root, monkeypatch):
    url = "postgresql://ops@db/remedy"
    written = f"forks: 20\nstate: var/runs\nvault_password_file: ~/.vault\nhistory: {url}\n"
    (root / "remedy.yml").write_text(written)
    project = Project.find(root)
    assert project.settings == Settings(forks=20, state="var/runs", vault_password_file="~/.vault", history=url)
    assert project.history == url
    monkeypatch.setenv("REMEDY_HISTORY_URL", "sqlite:////srv/history.db")
    assert project.history == "sqlite:////srv/history.db"
    assert project.state == root / "var/runs"
    assert project.vault_password_file == Path.home() / ".vault"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("frks: 20\n", "remedy.yml:1:1: no setting 'frks'\n  did you mean 'forks'?"),
        ("forks: many\n", "remedy.yml:1:8: 'forks' is 'many'\n  expected a number of hosts, 1 or more"),
        ("forks: 0\n", "remedy.yml:1:8: 'forks' is 0\n  expected a number of hosts, 1 or more"),
        ("state: [a]\n", "remedy.yml:1:8: 'state' is ['a']\n  expected a text: a path or a name"),
        ("- forks\n", "remedy.yml:1: the settings are no mapping\n  expected lines such as 'forks: 20'"),
    ],
)
def test_bad_settings(root, text, error):
    (root / "remedy.yml").write_text(text)
    with pytest.raises(InputError) as caught:
        Project.find(root)
    assert shown(caught, root) == error


def test_state_folder(project, root, monkeypatch):
    assert project.state == Path.home() / ".local/state/remedy"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/ones/do/not/count")
    assert project.state == Path.home() / ".local/state/remedy"
    monkeypatch.setenv("XDG_STATE_HOME", str(root / "xdg"))
    assert project.state == root / "xdg/remedy"
    monkeypatch.setenv("REMEDY_STATE", "here")
    assert project.state == root / "here"
