"""Opening the history database: SQLite in the state folder, or a PostgreSQL by its URL; its schema up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, table, text
from sqlalchemy import column as sql_column
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from remedy.errors import InputError
from remedy.history.file import identity, locked, make_file, set_aside
from remedy.history.tables import HEAD, VERSION_TABLE
from remedy.history.trouble import HistoryError, mapped

FILE = "history.db"
BUSY_SECONDS = 10.0
"""How long a writer waits for another one, with SQLite."""
_SERVER: dict[str, Any] = {
    "connect_timeout": 5,
    # One that is cut off without a word (its machine is gone, a firewall has forgotten the connection) is given up
    # before a lease on it runs out; TCP by itself waits for a quarter of an hour, with who asked in the middle of it.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
_LOCK = 7_236_339  # of PostgreSQL's advisory locks: who brings the schema up to date; any number, but always this one
_EXPECTED = "expected postgresql://USER@HOST/DATABASE or sqlite:////PATH"


def _silent(message: str) -> None:
    pass


class Database:
    """An open history database, its schema that of this program; made by open_database.

    `place` names it for people, without a password. Usable from several threads.
    """

    def __init__(self, engine: Engine, place: str, file: Path | None = None) -> None:
        self.engine = engine
        self.place = place
        self.file = file
        self.identity = None if file is None else identity(file)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection in a transaction that only reads; raises HistoryError."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction, committed at the end unless something is raised.

        With SQLite it is the only writer from its beginning. Raises HistoryError; IntegrityError stays as it is.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def follow(self) -> bool:
        """Use the file that has taken the place of a damaged one; say whether one has.

        Connections stay with the old one, and what is written there nobody would ever read. For whoever keeps a
        database open for hours.
        """
        if self.file is None:
            return False
        found = identity(self.file)
        if found is None or found == self.identity:
            return False
        self.identity = found
        self.engine.dispose()
        return True

    def close(self) -> None:
        """Close its connections."""
        self.engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            with self.engine.connect().execution_options(sqlite_begin=begin) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise mapped(error, self.place) from error


def open_database(state: Path, url: str | None = None, *, notice: Callable[[str], None] = _silent) -> Database:
    """Return the history database of a state folder: at `url`, else STATE/history.db (0600), which is made if need be.

    Its schema is brought up to date, by one process at a time. A SQLite file that is damaged is renamed and an empty
    one made: the journals fill it. `notice` is told of that, and where the database that `url` names was empty.
    Raises InputError for a URL that is none, else HistoryError.
    """
    path = sqlite_file(state, url)
    if path is None:
        return _open_server(_parsed(str(url)), notice)
    if url is not None and not path.parent.is_dir():
        raise HistoryError(
            f"the history database {path} cannot be used: there is no folder {path.parent}",
            hint="is the disk mounted, the path right (REMEDY_HISTORY_URL, history: in remedy.yml)? Else make it",
        )
    return _open_file(path, notice, named=url is not None)


def sqlite_file(state: Path, url: str | None) -> Path | None:
    """Return the file that open_database would open, None for a server; InputError for a URL that is none."""
    if url is None:
        return state / FILE
    parsed = _parsed(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def same_database(state: Path, one: str | None, other: str | None) -> bool:
    """Say whether two URLs name one history, whatever their passwords are; InputError for a URL that is none."""
    files = [sqlite_file(state, url) for url in (one, other)]
    if one is None or other is None or any(files):
        return all(files) and len({file.resolve() for file in files if file}) == 1
    return len({_parsed(url).set(password="") for url in (one, other)}) == 1


def renew(database: Database, notice: Callable[[str], None] = _silent) -> Database:
    """Return an empty database in the place of one whose file is damaged, which is renamed; raises HistoryError.

    Where another process has done so meanwhile, that one's is returned.
    """
    database.close()
    path = database.file
    if path is None:
        raise HistoryError(f"the history database {database.place} is damaged", hint="its server knows how to mend it")
    with locked(path):
        if identity(path) == database.identity:
            _move(path, notice)
            return _made(path)
    return _open_file(path, notice)


def in_memory() -> Database:
    """Return an empty history database that lives as long as the program: for when there can be none on disk."""
    engine = _sqlite("sqlite://", poolclass=StaticPool)
    return _ready(Database(engine, "in memory"))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # What was written may hold a password.
        raise InputError("the URL of the history database is no URL", hint=_EXPECTED) from None
    kind = parsed.drivername
    if kind in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and parsed.database and Path(parsed.database).is_absolute():
        return parsed
    raise InputError(
        f"the history database cannot be at {parsed.render_as_string(hide_password=True)}", hint=_EXPECTED
    )


def _open_server(url: URL, notice: Callable[[str], None]) -> Database:
    given = {name: value for name, value in _SERVER.items() if name not in url.query}
    # A daemon's connection may be hours old when it is next used.
    engine = create_engine(url, connect_args=given, pool_pre_ping=True, hide_parameters=True)
    shown = url.set(drivername="postgresql", query={})
    return _ready(Database(engine, shown.render_as_string(hide_password=True)), notice)


def _open_file(path: Path, notice: Callable[[str], None], *, named: bool = False) -> Database:
    if path.exists():
        database = _at(path)
        try:
            if _version(database) == HEAD:
                return database
        except HistoryError as error:
            database.close()
            if not error.broken:
                raise
        database.close()
    with locked(path):
        try:
            return _made(path, notice if named else _silent)
        except HistoryError as error:
            if not error.broken:
                raise
        _move(path, notice)
        return _made(path)


def _at(path: Path) -> Database:
    return Database(_sqlite(f"sqlite:///{path}"), str(path), path)


def _made(path: Path, notice: Callable[[str], None] = _silent) -> Database:
    make_file(path)
    database = _at(path)
    try:
        _begin_wal(database)
    except BaseException:
        database.close()
        raise
    return _ready(database, notice)


def _move(path: Path, notice: Callable[[str], None]) -> None:
    moved = set_aside(path)
    notice(
        f"the history database {path} was damaged: it is now {moved}, and filled anew from the journals; "
        "what schedules have run is not in these"
    )


def _sqlite(url: str, **more: Any) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True, **more)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves: the driver's leave out schema changes
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")  # a due time that was claimed stays so, whatever the power does

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine


def _begin_wal(database: Database) -> None:
    """Let readers and a writer not wait for each other, for good: the file itself says so."""
    try:
        with database.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA journal_mode=WAL")
    except SQLAlchemyError as error:
        raise mapped(error, database.place) from error
    except sqlite3.Error as error:  # we went past SQLAlchemy: no transaction may be open here
        raise mapped(DBAPIError(None, None, error), database.place) from error


def _ready(database: Database, notice: Callable[[str], None] = _silent) -> Database:
    """Bring the schema up to date, one process at a time; a database that cannot be used is closed.

    `notice` is told where there was none.
    """
    found: str | None = HEAD
    try:
        if _version(database) != HEAD:
            with database.writing() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                found = _read_version(connection)
                if found != HEAD:
                    _upgrade(connection, found, database.place)
    except BaseException:
        database.close()
        raise
    if found is None:
        notice(
            f"a new history database was made, for there was none: {database.place}; where there should have been "
            "one, REMEDY_HISTORY_URL or history: in remedy.yml names the wrong place"
        )
    return database


def _version(database: Database) -> str | None:
    with database.reading() as connection:
        return _read_version(connection)


def _read_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(select(sql_column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    return None if found is None else str(found)


def _upgrade(connection: Connection, found: str | None, place: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        if found is not None:
            ScriptDirectory.from_config(config).get_revision(found)
    except CommandError:
        raise HistoryError(
            f"the history database {place} is of a newer remedy (its schema is {found}, this one knows up to {HEAD})",
            hint="update remedy on this machine",
            newer=True,
        ) from None
    command.upgrade(config, "head")
