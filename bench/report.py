"""The benchmark's report: what it must say, and how it reads.

    report.py REPORT.json      checks it and prints it as Markdown
"""

import json
import sys

import jsonschema

from paths import HERE


class Incomplete(Exception):
    pass


def check(report):
    """Refuses a report that leaves out what its figures depend on."""
    schema = json.loads((HERE / "report.schema.json").read_text())
    problems = list(jsonschema.Draft202012Validator(schema).iter_errors(report))
    if problems:
        first = jsonschema.exceptions.best_match(problems)
        where = "/".join(map(str, first.absolute_path)) or "the report"
        raise Incomplete(f"{where}: {first.message[:200]}")
    for case in report["cases"]:
        if str(case["threads"]) not in report["machine"]["peak_gflops"]:
            raise Incomplete(f"machine/peak_gflops: no figure for {case['threads']} threads")
    return report


def measured(case):
    return {name: peer for name, peer in case["peers"].items() if peer["status"] == "measured"}


def title(case):
    ragged = " ragged" if case["ragged"] else ""
    return f"{case['model']} {case['batch']}x{case['length']}{ragged}, {case['threads']}T"


def row(cells):
    return f"| {' | '.join(map(str, cells))} |"


def table(header, rows):
    return [row(header), "|" + "---|" * len(header), *map(row, rows), ""]


def number(value, form=".2f", scale=1):
    return "–" if value is None else f"{scale * value:{form}}"


def summary(report):
    """One row a case, one column a peer: how many times faster Joinery is."""
    columns = list(dict.fromkeys(name for case in report["cases"] for name in measured(case)
                                 if not name.startswith("joinery")))
    rows = []
    for case in report["cases"]:
        peers = measured(case)
        rows.append([title(case)] + [
            number(peers[name]["ratio"]["scaled"]) if name in peers else "" for name in columns])
    return table(["scaled ratio"] + columns, rows)


def details(case):
    header = ["peer", "dtype", "best / median / p99 ms", "scaled ms (spread)", "ratio scaled", "best", "median",
              "tokens/s", "of f32 peak", "slices (dropped)", "error", "cosine", "load ms", "first answer ms",
              "from start ms", "memory MB", "peak MB", "model MB"]
    rows = []
    for name, peer in measured(case).items():
        ratio = peer["ratio"]
        rows.append([
            name, peer["dtype"], " / ".join(number(peer[key], scale=1e3) for key in ("best_s", "median_s", "p99_s")),
            f"{number(peer['scaled_median_s'], scale=1e3)} ({number(peer['spread'], '.0f', 100)} %)",
            *(number(ratio[key]) for key in ("scaled", "best", "median")), number(peer["tokens_per_s"], ".0f"),
            f"{number(peer['share_of_peak'], '.0f', 100)} %", f"{peer['slices']} ({peer['dropped']})",
            number(peer["error"], ".1e"), number(peer["cosine"], ".4f"),
            *(number(peer[key], ".1f", 1e3) for key in ("load_s", "first_s", "process_s")),
            *(number(peer[key], ".0f", 1e-6) for key in ("rss_bytes", "peak_rss_bytes")),
            number(peer["model_bytes"], ".1f", 1e-6)])
    return [f"### {title(case)} ({case['tokens']} tokens, {case['gflop']:.2f} GFLOP)", "", *table(header, rows)]


def netsdb(report):
    """The comparison of the NetsDB encoder paper: inference time and model size."""
    models = ("netsdb", "bert-base")
    cases = [case for case in report["cases"] if case["model"] in models and case["batch"] == 1]
    if not any(case["model"] == "netsdb" for case in cases):
        return []
    names = list(dict.fromkeys(name for case in cases for name in measured(case)))
    header = ["peer"] + [f"{title(case)}: ms, model MB" for case in cases]
    rows = []
    for name in names:
        cells = [measured(case).get(name) for case in cases]
        rows.append([name] + [
            f"{number(p['scaled_median_s'], '.3f', 1e3)}, {number(p['model_bytes'], '.2f', 1e-6)}" if p else ""
            for p in cells])
    return ["## Inference time and model size", "",
            "The two-block encoder of the NetsDB encoder paper (10 vectors of 64, 4 heads, inner width 16) and "
            "BERT-base, one sequence at a time; times are scaled.", "", *table(header, rows)]


def left_out(report):
    cases = {}
    for case in report["cases"]:
        for name, peer in case["peers"].items():
            if peer["status"] != "measured":
                cases.setdefault((name, peer["status"], peer["reason"]), []).append(title(case))
    if not cases:
        return []
    rows = [(name, status, "all" if len(where) == len(report["cases"]) else "; ".join(where),
             reason.replace("|", "/")) for (name, status, reason), where in cases.items()]
    return ["## Not measured", "", *table(["peer", "", "cases", "why"], rows)]


def markdown(report):
    machine, versions, method = report["machine"], report["versions"], report["method"]
    peaks = ", ".join(f"{peak:.0f} GFLOP/s at {threads} threads" for threads, peak in machine["peak_gflops"].items())
    lines = [
        "# Joinery and its peers, interleaved", "",
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['flags'])}; Linux {machine['kernel']}. "
        f"Measured peak, f32: {peaks}. " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
        f"{method['rounds']:.0f} rounds of slices of {method['slice_s']:g} s. Times are of whole runs; `scaled` is by "
        "the peak probes beside each slice, and the spread is that of the slices' quartiles. A ratio above 1 says "
        "that Joinery is faster: the Joinery of the same dtype where there is one, else f32. The error is the "
        "largest difference from ONNX Runtime's f32 over the output's range, the cosine the smallest of a token's, "
        "both on kept rows. Memory is that of the whole process.", "",
        *summary(report), *netsdb(report), *left_out(report), "## Cases", ""]
    for case in report["cases"]:
        lines += details(case)
    if report.get("compile"):
        lines += table(
            ["compiled", "precision", "seconds", "peak anonymous memory MB", "of the model file"],
            [(c["model"], c["dtype"], number(c["seconds"], ".1f"), number(c["anonymous_bytes"], ".0f", 1e-6),
              number(c["anonymous_bytes"] / c["source_bytes"])) for c in report["compile"]])
    if report.get("first_answer"):
        first = report["first_answer"]
        lines += [f"First answer of the demo program, 1 thread, from process start: best {first['best_ms']:.1f} ms, "
                  f"median {first['median_ms']:.1f} ms of {first['runs']}.", ""]
    return "\n".join(lines)


def main():
    with open(sys.argv[1]) as file:
        report = json.load(file)
    try:
        check(report)
    except Incomplete as problem:
        print(f"report.py: {sys.argv[1]}: {problem}", file=sys.stderr)
        return 1
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
