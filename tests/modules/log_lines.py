"""Services in a lab host that write numbered lines, and what became of the lines."""

WRITER = """
import os, signal, sys, time
path, rate, mode = sys.argv[1], float(sys.argv[2]), sys.argv[3]
def opened():
    return os.open(path, os.O_WRONLY | os.O_CREAT | (0 if mode == "odd" else os.O_APPEND), 0o640)
def reopen(*_):
    new = opened()
    os.dup2(new, log)
    os.close(new)
log, number = opened(), 0
if mode == "told":
    signal.signal(signal.SIGHUP, reopen)
open("/run/%s.ready" % os.path.basename(path), "w").close()
while True:
    number += 1
    os.write(log, b"%012d a line that must not get lost\\n" % number)
    time.sleep(1 / rate)
"""
COUNT = """
import glob, gzip, re, sys
seen = []
for path in glob.glob(sys.argv[1] + "*"):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        seen += map(int, re.findall(sys.argv[2].encode(), file.read(), re.MULTILINE))
print(max(seen), max(seen) - len(set(seen)), len(seen) - len(set(seen)))
"""


def sh(lab, host, script):
    """Run a shell script in the host."""
    return lab.run(host, ["sh", "-ec", script], timeout=60).stdout


def write(lab, host, name, mode, rate=2000, folder="/var/log/app", user="root", fill=0):
    """Start the unit w-NAME, which writes NAME.log: told (SIGHUP opens it anew), deaf, or odd (it does not append)."""
    lab.put(host, "/run/numbered.py", WRITER.encode())
    log = f"{folder}/{name}.log"
    sh(lab, host, f"rm -f /run/{name}.log.ready; mkdir -p {folder}; chmod 777 /run; "
                  f"[ {fill} = 0 ] || {{ head -c {fill} /dev/zero | tr '\\0' x; echo; }} >> {log}; "
                  f"[ {fill} = 0 ] || chown {user}:{user} {log}; "
                  f"systemd-run -q --unit=w-{name} --uid={user} python3 /run/numbered.py {log} {rate} {mode}; "
                  f"until test -e /run/{name}.log.ready; do :; done")  # fmt: skip
    return log


def lines(lab, host, log, number=r"^(\d{12}) "):
    """Return (lines written, lines missing, lines twice) of a log and all that was rotated from it.

    `number` is a regular expression for the number of a line.
    """
    lab.put(host, "/run/count.py", COUNT.encode())
    written, missing, twice = sh(lab, host, f"python3 /run/count.py {log} '{number}'").split()
    return int(written), int(missing), int(twice)
