"""The figures that were set as targets for redaction, and whether a run reaches them."""

import statistics

OURS = "docker-proxy-acl"


def ratio(redacted, plain, name):
    return redacted[name] / plain[name]


def more(redacted, plain, name):
    return redacted[name] - plain[name]


def itself(redacted, _plain, name):
    return redacted[name]


# What it is; the measure without redaction; the figure of it; how both become one; at least or at most; how much.
# Without a target it is there to compare.
TARGETS = [
    ("list of 50 kB that stays the same: requests/s to those without", "V list of 50 kB", "rate", ratio, "at least", 0.7),
    ("the same, every item another each time", "V changing list of 50 kB", "rate", ratio, "no target", None),
    ("list of 2 MB: MB/s", "V list of 2 MB", "MB/s", itself, "at least", 300),
    ("its first byte: us more than without", "V list of 2 MB", "first byte, us", more, "at most", 2000),
    ("memory that it adds: kB more than without", "V list of 2 MB", "kB more", more, "at most", 256),
    ("event: us more than without", "V event", "more", itself, "at most", 20),
]


def table(results):
    """A line for each target that this run measured."""
    lines = []
    for title, measure, name, both, bound, target in TARGETS:
        plain = results.get(measure, {}).get(OURS)
        redacted = results.get(f"{measure}, redacted", {}).get(OURS, plain)
        if not plain:
            continue
        figure = statistics.median(both(mine, its, name) for mine, its in zip(redacted, plain))
        lines.append(f"{title}: {figure:.4g} ({said(figure, bound, target)})")
    return "\n".join(["", *lines]) if lines else ""


def said(figure, bound, target):
    if target is None:
        return bound
    reached = figure >= target if bound == "at least" else figure <= target
    return f"{bound} {target}: {'reached' if reached else 'not reached'}"
