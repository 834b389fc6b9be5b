"""The table and the JSON: ratios first, absolute figures beside them, each the median over the rounds."""

import statistics

# What ratios are formed to, each round with its own.
BESIDE = ("direct", "nginx")
# Of which figures the table shows ratios; the others stand beside them.
RATIOS = ("rate", "us", "p50", "p99", "p99.9", "MB/s", "cpu s", "rest", "kB each", "ms")


def document(results):
    """Everything, for programs: medians, ratios and the rounds' own figures."""
    return {
        measure: {
            contender: {
                "median": {name: median(rounds, name) for name in rounds[0]},
                **{f"to {other}": ratios(by_contender, contender, other) for other in BESIDE if other in by_contender},
                "rounds": rounds,
            }
            for contender, rounds in by_contender.items()
        }
        for measure, by_contender in results.items()
    }


def table(results):
    """One table for people."""
    rows = [["measure", "contender", "figure", "to direct", "to nginx", "absolute"]]
    for measure, by_contender in results.items():
        for contender, rounds in by_contender.items():
            beside = [ratios(by_contender, contender, other) for other in BESIDE]
            for name in rounds[0]:
                of_name = [number(each.get(name)) if name in RATIOS else "" for each in beside]
                rows.append([measure, contender, name, *of_name, number(median(rounds, name))])
    return "\n".join(lines(without_repeats(rows)))


def without_repeats(rows):
    """The rows, with the name of a measure or contender only where it begins."""
    for above, row in zip([["", ""]] + rows, rows):
        same = 2 if above[:2] == row[:2] else 1 if above[:1] == row[:1] else 0
        yield [""] * same + row[same:]


def lines(rows):
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        texts = [cell.ljust(width) for cell, width in zip(row[:3], widths)]
        numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:])]
        yield "  ".join(texts + numbers).rstrip()


def ratios(by_contender, contender, other):
    """The median over the rounds of each figure's ratio to that of another contender in the same round."""
    pairs = list(zip(by_contender[contender], by_contender.get(other, [])))
    found = {}
    for name in by_contender[contender][0]:
        of_rounds = [mine[name] / its[name] for mine, its in pairs if mine.get(name) and its.get(name)]
        if of_rounds:
            found[name] = statistics.median(of_rounds)
    return found


def median(rounds, name):
    values = [figures[name] for figures in rounds if figures.get(name) is not None]
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
