"""Tell which local accounts have a password that expires soon, or expire themselves.

Reads the ages in /etc/shadow, as chage does; the passwords themselves go nowhere. An account without a password
(it is locked, or has keys alone) is told only where the account itself expires, for then sudo, cron and keys
end with it. Works only as root. Returns `accounts` that have an end (user, uid, password_expires,
account_expires: dates, None: never; days: left until the first of them, what: password, account, or change: it
must be changed at the next login, expired) and `expiring`: those with less than `within`, the soonest first.
"""

import os
import pwd
import time

from remedy.agent.kinds import Failed, Param, Probe

PARAMS = (
    Param("within", "duration", default=14 * 86400, help="What expires within this time is in expiring."),
    Param("users", "list", elements="str", help="Only these accounts."),
)

EXAMPLES = """
- password_expiry: {within: 14d}
  register: passwords
"""

_DAY = 86400
_NEVER = 99999  # days: what chage and useradd write for it
_FILE = "/etc/shadow"


def kind(params):
    return Expiry


class Expiry(Probe):
    def read(self):
        if os.geteuid() != 0:
            raise Failed("the ages of passwords are root's to read; add become: true", cause="permission")
        try:
            with open(_FILE, "rb") as file:
                lines = file.read().decode("utf-8", "surrogateescape").splitlines()
        except FileNotFoundError:
            lines = []
        today = time.time() / _DAY
        ends = [each for each in (_ends(line.split(":"), today) for line in lines) if each]
        if self.params["users"] is not None:
            ends = [each for each in ends if each["user"] in self.params["users"]]
        ends.sort(key=lambda each: (each["days"], each["user"]))
        limit = self.params["within"] / float(_DAY)
        return {"accounts": ends, "expiring": [each for each in ends if each["days"] < limit]}


def _ends(fields, today):
    """Return when an account's password or the account itself ends, None where neither does (shadow(5))."""
    if len(fields) < 8:
        return None
    user, secret = fields[:2]
    changed, _, most, _, _, account = (int(each) if each.strip("-").isdigit() else -1 for each in fields[2:8])
    usable = secret != "" and secret[0] not in "!*"
    password = changed + most if usable and changed > 0 and 0 <= most < _NEVER else None
    if usable and changed == 0:
        what, end = "change", int(today)
    elif password is not None and (account < 0 or password <= account):
        what, end = "password", password
    elif account >= 0:
        what, end = "account", account
    else:
        return None
    return {
        "user": user,
        "uid": _uid(user),
        "password_expires": None if password is None else _date(password),
        "account_expires": None if account < 0 else _date(account),
        "what": what,
        "days": round(end - today, 1),
        "expired": end <= today,
    }


def _uid(user):
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _date(days):
    return time.strftime("%Y-%m-%d", time.gmtime(min(days, 2932896) * _DAY))  # the year 9999
