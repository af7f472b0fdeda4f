"""`python -m bench`: measure, print a table and verdicts, keep the figures in bench/results/."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import cost, report
from .databases import Databases
from .delay import delayed
from .hosts import BenchError, Host, fleet, needs
from .measure import Failed
from .servers import install
from .speed import PLAY, Speed, changes, rounds_for, say
from .tools import HERE, NAMES, Tool, inventories, make

PARTS = ("speed", "cost", "databases")
DATABASE_ROUNDS = 5


def numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="one part of it; default: all")
    parser.add_argument("--tools", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument("--hosts", type=numbers, default="1,10,50", help="default: %(default)s")
    parser.add_argument("--rtt", type=numbers, default="0,50", help="round trips in ms, default: %(default)s")
    parser.add_argument(
        "--rounds", type=int, help="default: 5 on 1 host and of databases, 3 on up to 10, else 1"
    )
    parser.add_argument("--only", choices=PARTS, help="the same as the part alone")
    parser.add_argument("--budget", type=float, default=60, metavar="MINUTES", help="start no round after it")
    chosen = parser.parse_args()
    chosen.parts = [chosen.part or chosen.only] if chosen.part or chosen.only else list(PARTS)
    chosen.tools = list(dict.fromkeys(chosen.tools.split(",")))
    if unknown := set(chosen.tools) - set(NAMES):
        parser.error(f"--tools: no tool {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if min(chosen.hosts) < 1 or min(chosen.rtt) < 0 or (chosen.rounds is not None and chosen.rounds < 1):
        parser.error("--hosts and --rounds start at 1, --rtt at 0")
    return chosen


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder that goes whatever happens."""
    work = Path(tempfile.mkdtemp(prefix="remedy-bench-"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def measure_speed(chosen: argparse.Namespace, speed: Speed, hosts: list[Host], stack: ExitStack) -> None:
    key = speed.work / "id"
    ports = {0: [host.port for host in hosts]}
    for rtt in chosen.rtt:
        if rtt:
            upstreams = [("127.0.0.1", host.port) for host in hosts]
            ports[rtt] = stack.enter_context(delayed(upstreams, rtt / 1000)).ports
    near = inventories(speed.work / "warm-up", key, [(hosts[0], hosts[0].port)])
    speed.warm_up(hosts[:1], near)
    for count in chosen.hosts:
        for rtt in chosen.rtt:
            pairs = zip(hosts[:count], ports[rtt], strict=False)
            folder = inventories(speed.work / f"{count}-{rtt}", key, pairs)
            speed.measure(hosts[:count], rtt / 1000, folder, chosen.rounds or rounds_for(count))


def measure_cost(tools: list[Tool], hosts: list[Host], work: Path, found: dict[str, float]) -> None:
    """Put into `found` what was measured → the figure; on one host and on all of them."""
    pairs = [(host, host.port) for host in hosts]
    folders = {n: inventories(work / f"cost-{n}", work / "id", pairs[:n]) for n in {1, len(hosts)}}
    for tool in tools:
        if tool.name not in ("remedy", "bare"):
            continue
        home = work / tool.name
        home.mkdir(exist_ok=True)
        if tool.name == "remedy":
            found["remedy --help, CPU seconds"] = cost.help_cpu(tool, home)
        for count, folder in folders.items():
            say(f"memory of {tool.name}, {report.plural(count)}")
            peak = cost.controller_rss(tool, hosts[:count], folder, home)
            found[f"{tool.name}, controller's peak MiB, {report.plural(count)}"] = peak
        if tool.name == "remedy":
            agent = cost.agent_memory(hosts[0], folders[1], home)
            found["remedy, agent's PSS in MiB while a task sleeps"] = agent.pss
            found["remedy, of that private"] = agent.private
    idle = cost.idle_python()
    found["an idle Python of the hosts, PSS in MiB"] = idle.pss
    found["an idle Python of the hosts, of that private"] = idle.private


def bench(chosen: argparse.Namespace) -> int:
    if missing := needs():
        raise BenchError(f"the bench needs {', '.join(missing)}")
    if "databases" in chosen.parts:
        install()  # now: not after half an hour of measuring
    with ExitStack() as stack:
        work = stack.enter_context(workplace())
        tools = [make(name, work, PLAY) for name in chosen.tools] if chosen.parts != ["databases"] else []
        measured = [f"{tool.name} ({tool.version})" for tool in tools] or ["databases"]
        say("measuring " + ", ".join(measured))
        say(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        hosts = stack.enter_context(fleet(max(chosen.hosts), work))
        speed = Speed(tools, work, time.monotonic() + chosen.budget * 60)
        databases = Databases(work, chosen.rounds or DATABASE_ROUNDS, speed.until)
        costs: dict[str, float] = {}
        try:
            if "speed" in chosen.parts:
                measure_speed(chosen, speed, hosts, stack)
            if "cost" in chosen.parts:
                measure_cost(tools, hosts, work, costs)
            if "databases" in chosen.parts:
                databases.measure(hosts)
        except Failed as problem:
            speed.failures.append(str(problem))
            say(str(problem))
        finally:  # what was measured before Ctrl-C is still worth having
            fine = publish(chosen, tools, speed, costs, databases)
    return 0 if fine else 1


def publish(
    chosen: argparse.Namespace,
    tools: list[Tool],
    speed: Speed,
    costs: dict[str, float],
    databases: Databases,
) -> bool:
    found = report.verdicts(speed.rows, changes())
    if speed.rows:
        print(f"{report.table(speed.rows, chosen.tools)}\n\n{report.lines(found)}\n")
    if databases.costs:
        print(f"{databases.table()}\n\n{report.lines(databases.verdicts())}\n")
        found += databases.verdicts()
    if costs:
        print("| cost | |\n| --- | ---: |")
        print("\n".join(f"| {what} | {figure:.2f} |" for what, figure in costs.items()))
    for failure in speed.failures:
        print(f"FAIL  {failure}")
    if speed.rows or costs or databases.costs:
        used = {tool.name: tool for tool in (*tools, *databases.tools.values())}
        versions = {name: {"version": tool.version, "packages": tool.freeze} for name, tool in used.items()}
        document = {
            "tools": versions,
            "cost": costs,
            "failures": speed.failures,
            "databases": databases.told(),
        }
        say(f"kept in {report.keep(HERE / 'results', document, speed.rows, found)}")
    return not speed.failures and all(ok for ok, _ in found)


def main() -> int:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(signum: int, frame: object) -> None:
        for number in signals:  # a second Ctrl-C would cut the cleaning up short
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, stop)
    try:
        return bench(arguments())
    except BenchError as problem:
        say(f"bench: {problem}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
