"""Compare the sandbox with pytest-postgresql, and the plugin with plain pytest: ``make bench`` (``python -m ci.bench``).

It installs the peers. It takes about 25 minutes; run nothing else in the meantime. ``make bench ONE=concurrency`` runs one
topic of ``TOPICS``; ``growth`` compares the work for an input with that for a larger one.
"""

from __future__ import annotations

import shutil
import sys
from statistics import median

from ci.bench import (
    allure,
    concurrency,
    deployments,
    evaluating,
    growth,
    imports,
    isolation,
    merging,
    redaction,
    starts,
)

ROUNDS = 3
MANY_ROUNDS = 6
"""rounds for small differences on a noisy machine"""


def main(topics: list[str]) -> int:
    """Measure these topics, by default all, in alternating rounds, and print the results. Return 1 if a target is missed."""
    if unknown := set(topics) - set(TOPICS):
        print(f"unknown topic {', '.join(sorted(unknown))}; choose from: {', '.join(TOPICS)}", file=sys.stderr)
        return 4
    met = [each for topic in topics or TOPICS for each in TOPICS[topic]()]
    return 0 if all(met) else 1


def _starts() -> list[bool]:
    first, cached = starts.rounds(ROUNDS)
    print(f"start of the sandbox, median of {ROUNDS}")
    return [
        _line("ready, nothing cached", median(each.ready for each in first), "s", at_most=1.0),
        _line("ready, from the cache", median(each.ready for each in cached), "s", at_most=0.35),
        _line("one more stack", 1000 * median(each.stack for each in cached), "ms", at_most=50),
        _line("stopped and cleaned up", 1000 * median(each.stop for each in cached), "ms"),
    ]


def _isolation() -> list[bool]:
    ways = {way.name: way for way in isolation.contenders()}
    for _ in range(ROUNDS):
        for way in ways.values():
            way.run()
    print(f"\ncost of one test, from the best of {ROUNDS} runs")
    for way in ways.values():
        _line(way.name, way.cost, "ms")
    if missing := isolation.peer_is_missing():
        print(f"  no ratio: {missing}")
        return []
    peer = ways["pytest-postgresql"].cost
    return [
        _line("pytest-postgresql / rollback", peer / ways["rollback"].cost, "x", at_least=20),
        _line("pytest-postgresql / own database", peer / ways["own database"].cost, "x"),
    ]


def _plugin() -> list[bool]:
    print("\nwhat the plugin adds to a run without Gaia")
    met = [_line("added to a run of one test", imports.added_milliseconds(), "ms", at_most=10)]
    if shutil.which("valgrind"):
        met.append(_line("added to its instructions", imports.added_percent(), "%", at_most=3))
    return met


def _command_line() -> list[bool]:
    print("\nthe command line, CPU time relative to `import typer`")
    seconds = imports.command_seconds()
    base = seconds.pop("import typer")
    return [_line(name, value / base, "x", at_most=2) for name, value in seconds.items()]


def _evaluating() -> list[bool]:
    tests, expectations = evaluating.FILES * evaluating.TESTS, evaluating.EXPECTATIONS
    print(f"\n{tests} tests under {expectations} expectations, CPU time, best of {MANY_ROUNDS} runs")
    ways = evaluating.rounds(MANY_ROUNDS)
    for way in ways.values():
        _line(f"{way.name}: collection", way.collection, "s")
        _line(f"{way.name}: run", way.run, "s")
    plain, evaluated = ways["plain pytest"], ways["judged"]
    used, peer = max(evaluated.memory), max(plain.memory)
    _line("noise: plain again, run", 100 * (ways["plain pytest again"].run / plain.run - 1), "%")
    met = [
        _line("evaluated: added to collection", evaluated.collection - plain.collection, "s", at_most=0.5),
        _line("evaluated: memory a test", 1024 * (used - peer) / tests, "KB", at_most=4),
    ]
    seconds = 100 * (evaluated.run / plain.run - 1)
    if not shutil.which("valgrind"):
        return [*met, _line("evaluated: added to the run", seconds, "%", at_most=5)]
    # Seconds vary by more than the target.
    _line("evaluated: added to the run", seconds, "%")
    return met + _counted(tests)


def _counted(tests: int) -> list[bool]:
    print(f"\nthe same in instructions; a fifth of it: {tests // 5} tests under {evaluating.EXPECTATIONS // 5} rules")
    plain, evaluated = evaluating.counted()
    less_plain, less_evaluated = evaluating.counted(0.2)
    run, less = evaluated.run - plain.run, less_evaluated.run - less_plain.run
    collection = evaluated.collection - plain.collection
    less_collection = less_evaluated.collection - less_plain.collection
    _line("plain pytest: collection", plain.collection / 1e6, "M")
    _line("plain pytest: run", plain.run / 1e6, "M")
    _line("evaluated: added to collection", collection / 1e6, "M")
    _line("... a fifth of it", less_collection / 1e6, "M")
    _line("evaluated: added to the run", run / 1e6, "M")
    _line("... a fifth of it", less / 1e6, "M")
    return [
        _line("evaluated: added to the run", 100 * run / plain.run, "%", at_most=5),
        # The cost of a start weighs more in the smaller run. Only growth would not be linear.
        _line("all / five times the fifth: collection", collection / less_collection / 5, "x", at_most=1.1),
        _line("all / five times the fifth: run", run / less / 5, "x", at_most=1.1),
    ]


def _allure() -> list[bool]:
    alone, bridged = allure.rounds(MANY_ROUNDS)
    print(f"\n{allure.TESTS} tests for Allure, CPU time, best of {MANY_ROUNDS} runs")
    _line("allure-pytest alone: run", alone, "s")
    _line("with the bridge: run", bridged, "s")
    return [_line("added by the bridge to a test", 1000 * (bridged - alone) / allure.TESTS, "ms", at_most=0.15)]


def _redaction() -> list[bool]:
    print("\nmasking, CPU time: a million characters, and the ratio to half of them")
    met = []
    for text in redaction.hostile():
        _line(text.name, text.seconds, "s")
        met.append(_line("... the whole / the half", text.seconds / text.half, "x", at_most=3))
    few, many = redaction.learning(redaction.FEW), redaction.learning(redaction.MANY)
    _line(f"{redaction.MANY} tokens registered", many, "s")
    growth = redaction.MANY / redaction.FEW
    return [
        *met,
        _line(f"... {redaction.MANY} / {growth:g} times {redaction.FEW}", many / few / growth, "x", at_most=1.5),
    ]


def _concurrency() -> list[bool]:
    if concurrency.newman() is None:
        print(f"\n{concurrency.NEWMAN}: not available, because npx cannot install it here")
    met = []
    for table in concurrency.suites():
        _table(table)
        name = "--gaia-concurrency=16"
        met.append(_line(f"{name}: marginal / bare", table.marginal(name), "x", at_most=1.6))
    met += [
        _line(f"{name}: sequential / this", table.faster(name), "x", at_least=5),
        _line(f"{name}: this / bare", table.to_bare(name), "x", at_most=1.6),
    ]
    table, name = concurrency.synthetic(), "--gaia-concurrency=100"
    _table(table)
    return [*met, _line(f"{name}: sequential / this", table.faster(name), "x", at_least=25)]


def _deployments() -> list[bool]:
    print(f"\ngaia deploy local and docker compose up --detach --wait, median of {deployments.ROUNDS} rounds")
    if missing := deployments.available():
        print(f"  not measured: {missing}")
        return []
    met = []
    for size in deployments.measure():
        name = f"{size.services} services" if size.services > 1 else "1 service"
        for state, times, most in (("unchanged", size.unchanged, 3), ("all changed", size.changed, 2)):
            _line(f"{name}, {state}: compose", median(times.compose), "s")
            _line("... gaia", median(times.gaia), "s")
            if size.services == 1 and state == "unchanged":
                met.append(_line("... gaia - compose", times.added, "s", at_most=1.5))
            else:
                met.append(_line("... gaia / compose", times.ratio, "x", at_most=most))
    return met


def _growth() -> list[bool]:
    print("\ngrowth with the input, CPU time, best of several runs")
    print(f"  {'':36}{'size':>6}{'ms':>9}{'size':>7}{'ms':>9}{'ratio':>8}")
    met = []
    for row in growth.rows():
        (small, large), (less, more) = row.sizes, row.times
        met.append(row.ratio <= row.at_most)
        print(f"  {row.what:36}{small:>6}{1000 * less:9.2f}{large:>7}{1000 * more:9.2f}{row.ratio:8.2f}", end="")
        print(f"  at most {row.at_most:g}  {'ok' if met[-1] else 'MISSED'}", flush=True)
    return met


def _merging() -> list[bool]:
    tests = merging.SHARDS * merging.TESTS
    print(f"\ngaia merge: {tests} tests in {merging.SHARDS} shards, median of {ROUNDS} rounds")
    costs = merging.rounds(ROUNDS)
    met = []
    for name, cost in (
        ("gaia --version", costs.version),
        ("decoding the files once", costs.decoding),
        ("decoding and copying them once", costs.copying),
        ("gaia merge", costs.printing),
        ("gaia merge --output", costs.writing),
    ):
        _line(f"{name}: wall", median(cost.wall), "s")
        _line("... CPU", median(cost.cpu), "s")
    for name, cost, least in (
        ("merge / (version + decoding)", costs.printing, costs.decoding),
        ("--output / (version + copying)", costs.writing, costs.copying),
    ):
        met.append(_line(name, costs.ratio(cost, least, wall=True), "x", at_most=2))
        met.append(_line("... CPU time", costs.ratio(cost, least, wall=False), "x", at_most=2))
        met.append(_line("... memory", cost.memory, "MB", at_most=300))
    _line("--output / (version + decoding)", costs.ratio(costs.writing, costs.decoding, wall=False), "x")
    (small, less), (large, more) = merging.replayed(2), merging.replayed(8)
    print(f"gaia replay: results logs of {small:.0f} and {large:.0f} MB, with 2 and 8 exchanges for each test")
    met.append(_line("memory for the larger / smaller log", more / less, "x", at_most=1.2))
    return met


def _table(table: concurrency.Table) -> None:
    print(f"\n{table.title}, median of {concurrency.ROUNDS} rounds")
    print(f"  {'':30}{'wall s':>9}{'user s':>9}{'sequential / this':>20}{'this / bare':>13}{'marginal':>10}")
    for name, way in table.ways.items():
        print(f"  {name:30}{way.wall:9.2f}{way.user:9.2f}{table.faster(name):20.2f}", end="")
        print(f"{table.to_bare(name):13.2f}" if way.bare else "", end="")
        print(f"{table.marginal(name):10.2f}" if way.bare and way.one else "", flush=True)


def _line(what: str, value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None) -> bool:
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    target = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}" if at_least is not None else ""
    verdict = "" if not target else "  ok" if met else "  MISSED"
    print(f"  {what:36}{value:9.2f} {unit:3} {target:14}{verdict}")
    return met


TOPICS = {
    "starts": _starts,
    "isolation": _isolation,
    "plugin": _plugin,
    "commands": _command_line,
    "evaluating": _evaluating,
    "allure": _allure,
    "redaction": _redaction,
    "concurrency": _concurrency,
    "deployments": _deployments,
    "growth": _growth,
    "merging": _merging,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
