"""The figures that were set as targets, and whether a run reaches them."""

import operator
import statistics
from typing import Callable, NamedTuple

OURS = "docker-proxy-acl"


class Target(NamedTuple):
    """How much a figure of a measure has to be, as it stands or beside another."""

    title: str
    measure: str
    figure: str
    beside: Callable
    bound: str
    target: float


def itself():
    """The figure as it is."""
    return lambda results, target: [mine[target.figure] for mine in rounds(results, target.measure)]


def to(*others):
    """Its ratio to the best of other contenders, in the same round."""
    return lambda results, target: [
        mine[target.figure] / best(target, its) for mine, *its in beside(results, target.measure, others)
    ]


def more_than(other):
    """How much more it is than another contender's, in the same round."""
    return lambda results, target: [
        mine[target.figure] - its[target.figure] for mine, its in beside(results, target.measure, [other])
    ]


def to_measure(other):
    """Its ratio to that of another measure, in the same round."""
    return with_measure(other, operator.truediv)


def more_than_measure(other):
    """How much more it is than that of another measure, in the same round."""
    return with_measure(other, operator.sub)


def with_measure(other, both):
    """What `both` makes of it and of another measure's, in the same round."""
    return lambda results, target: [
        both(mine[target.figure], its[target.figure])
        for mine, its in zip(rounds(results, target.measure), rounds(results, other))
    ]


def crowd(title, measure):
    """What is to be reached with any number of connections."""
    both = to("nginx", "haproxy")
    return [
        Target(f"{title}: requests/s to the better of nginx and haproxy", measure, "rate", both, "at least", 1.1),
        Target(f"{title}: us of processor to the better of both", measure, "us", both, "at most", 0.95),
    ]


TARGETS = [
    *crowd("1 version", "1 version"),
    *crowd("1 version, 100 connections", "1 version, 100 connections"),
    *crowd("1 version, 1,000 connections", "1 version, 1000 connections"),
    *crowd("1 version, 10,000 connections", "1 version, 10000 connections"),
    Target("2 list of 50 kB: requests/s to direct", "2 containers", "rate", to("direct"), "at least", 0.48),
    Target("2 to the better of nginx and haproxy", "2 containers", "rate", to("nginx", "haproxy"), "at least", 1.3),
    Target("3 p99 to nginx", "3 latency", "p99", to("nginx"), "at most", 1),
    Target("3 p99.9 to nginx", "3 latency", "p99.9", to("nginx"), "at most", 1),
    Target("4 export of 1 GiB: MB/s to direct", "4 export", "MB/s", to("direct"), "at least", 0.85),
    Target("4 to haproxy", "4 export", "MB/s", to("haproxy"), "at least", 1.4),
    Target("5 fresh connections: requests/s to nginx", "5 fresh", "rate", to("nginx"), "at least", 1),
    Target("6 1,000 watchers: p99 to nginx", "6 events, 1000 watchers", "p99", to("nginx"), "at most", 1),
    Target("6 kB for a watcher", "6 events, 1000 watchers", "kB each", itself(), "at most", 16),
    Target("7 kB for an idle client", "7 idle", "kB each", itself(), "at most", 4),
    Target("7 kB at rest, metrics and access log on", "W idle, both", "rest", itself(), "at most", 3500),
    Target("E inspect of dockerd: p50, us more than nginx", "E inspect", "p50", more_than("nginx"), "at most", 0),
    Target("E inspect: p99, us more than nginx", "E inspect", "p99", more_than("nginx"), "at most", 0),
    Target("E list of dockerd: p50 to direct", "E list", "p50", to("direct"), "at most", 1.05),
    Target("9 TLS handshakes/s to nginx", "9 TLS, handshakes", "rate", to("nginx"), "at least", 1.05),
    Target("9 TLS requests/s to nginx", "9 TLS, version", "rate", to("nginx"), "at least", 1.05),
    Target("9 TLS export: MB/s to nginx", "9 TLS, export", "MB/s", to("nginx"), "at least", 1.05),
    Target(
        "V list of 50 kB that stays the same: requests/s to those without",
        "V list of 50 kB, redacted", "rate", to_measure("V list of 50 kB"), "at least", 0.7,
    ),
    Target(
        "V the same, every item another each time",
        "V changing list of 50 kB, redacted", "rate", to_measure("V changing list of 50 kB"), "no target", 0,
    ),
    Target("V list of 2 MB: MB/s", "V list of 2 MB, redacted", "MB/s", itself(), "at least", 300),
    Target(
        "V its first byte: us more than without",
        "V list of 2 MB, redacted", "first byte, us", more_than_measure("V list of 2 MB"), "at most", 2000,
    ),
    Target(
        "V memory that it adds: kB more than without",
        "V list of 2 MB, redacted", "kB more", more_than_measure("V list of 2 MB"), "at most", 256,
    ),
    Target("V event: us more than without", "V event", "more", itself(), "at most", 20),
    Target("F requests/s, file to flags", "F version, file", "rate", to_measure("F version"), "at least", 1),
    Target("F start with 50 listeners: ms", "F start, file", "ms", itself(), "at most", 50),
]  # fmt: skip


def table(results):
    """A line for each target that this run measured."""
    lines = []
    for target in TARGETS:
        figures = target.beside(results, target)
        if figures:
            lines.append(f"{target.title}: {said(statistics.median(figures), target)}")
    return "\n".join(["", *lines]) if lines else ""


def said(figure, target):
    if target.bound == "no target":
        return f"{figure:.4g}"
    reached = figure >= target.target if target.bound == "at least" else figure <= target.target
    return f"{figure:.4g} ({target.bound} {target.target}: {'reached' if reached else 'not reached'})"


def rounds(results, measure, contender=OURS):
    return results.get(measure, {}).get(contender, [])


def beside(results, measure, others):
    """Our figures of each round and those of others in it; none where one of them did not take part."""
    return zip(rounds(results, measure), *(rounds(results, measure, other) for other in others))


def best(target, theirs):
    figures = [its[target.figure] for its in theirs]
    return max(figures) if target.bound == "at least" else min(figures)
