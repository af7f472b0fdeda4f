"""Accounts of MySQL or MariaDB that a restore makes for a while: they reach the restored database and no other.

A dump, a binary log, and what views and functions of the restored database say (those that run with the rights of who
asks) would else act with the rights of whoever restores, who may do everything.
"""

import os

from remedy.modules.target import _mysql_tools

# What a dump and a binary log set beside their rows; of each server those that it knows.
_LOADS = tuple(
    (
        "super set_user binlog_replay binlog_admin set_user_id set_any_definer allow_nonexistent_definer"
        " session_variables_admin system_variables_admin replication_applier connection_admin system_user"
    ).split()
)
_CHECK_SECONDS = 3600


class Account(object):
    """An account for as long as the `with` lasts; a subclass MUST say its `name`, and MAY say what it is granted."""

    name = ""
    here = "ALL"  # in the database
    everywhere = tuple("")  # names of privileges, with _ for spaces; a server need not know them all

    def __init__(self, client, database):
        self._client = client
        self._database = database
        self._secret = ""

    def __enter__(self):
        secret = "%s-Aa1" % os.urandom(18).hex()
        known = {row[0].lower().replace(" ", "_") for row in self._client.rows("SHOW PRIVILEGES")}
        spaced = self._client.about["mariadb"]
        grants = [each.replace("_", " ") if spaced else each for each in self.everywhere if each in known]
        who = "%s@localhost" % self.name
        self._client.rows(
            "SET SESSION sql_log_bin = 0; DROP USER IF EXISTS {0}; CREATE USER {0} IDENTIFIED BY '{1}';"
            " GRANT {2} ON {3}.* TO {0}; GRANT {4} ON *.* TO {0}".format(
                who,
                secret,
                self.here,
                _mysql_tools.name(self._database).replace("_", "\\_").replace("%", "\\%"),
                ", ".join(grants) or "USAGE",
            )
        )
        self._secret = secret
        return self

    def __exit__(self, kind, error, trace):
        self._client.rows("SET SESSION sql_log_bin = 0; DROP USER IF EXISTS %s@localhost" % self.name)

    @property
    def words(self):
        """The client that logs in as this account; only this server's socket will do."""
        program = self._client.program("mariadb", "mysql")
        return [
            program,
            "--no-defaults",
            "--socket=" + self._client.about["socket"],
            "--user=" + self.name,
            "--batch",
            "--binary-mode",  # without it the client runs what a dump says after \\! in a shell
            "--init-command=SET SESSION lock_wait_timeout = 60",  # the default is a day
        ]

    @property
    def environment(self):
        # Not on the command line, where everybody may read it, and an option file would be one more file.
        return {"MYSQL_PWD": self._secret}


class Loads(Account):
    """It loads a dump and replays binary logs: it may write to the database."""

    name = "remedy_restore"
    everywhere = _LOADS


class Reads(Account):
    """It asks the operator's own checks: it may read the database, in transactions that write nothing."""

    name = "remedy_check"
    here = "SELECT, EXECUTE, SHOW VIEW"

    def answer(self, query):
        """Return the one value that a query answers, as a text; raises Failed with the server's words."""
        limit = "max_statement_time = %d" if self._client.about["mariadb"] else "max_execution_time = %d000"
        script = "SET SESSION %s; START TRANSACTION READ ONLY;\n%s;\nROLLBACK;" % (
            limit % _CHECK_SECONDS,
            query.rstrip("; \n"),
        )
        found = self._client.rows(script, self._database, _CHECK_SECONDS + 60, account=self)
        return str(found[0][0]) if len(found) == 1 else "%d rows" % len(found)
