"""The benchmark's report: what it must say, and how it reads.

    report.py REPORT.json      checks it and prints it as Markdown
"""

import json
import sys

# A figure without these can be neither believed nor repeated.
MACHINE = ("cpu", "flags", "cores", "kernel", "peak_gflops")
VERSIONS = ("joinery", "onnxruntime", "numpy", "onnx")
CASE = ("model", "batch", "length", "ragged", "tokens", "threads", "dtype", "gflop", "error", "ratio", "peers")
RATIO = ("scaled", "best", "median")
PEER = ("best_s", "median_s", "scaled_median_s", "p95_s", "p99_s", "slices", "dropped", "warmup", "load_s",
        "first_s", "rss_bytes")


class Incomplete(Exception):
    pass


def require(part, fields, where):
    missing = [field for field in fields if part.get(field) in (None, "", [], {})]
    if missing:
        raise Incomplete(f"{where} does not say: {', '.join(missing)}")


def check(report):
    """Refuses a report that leaves out what its figures depend on."""
    require(report, ("machine", "versions", "cases"), "the report")
    require(report["machine"], MACHINE, "its machine")
    require(report["versions"], VERSIONS, "its list of versions")
    for case in report["cases"]:
        where = f"the case {case.get('model')} at {case.get('threads')} threads"
        require(case, CASE, where)
        require(case["ratio"], RATIO, where)
        for name in ("joinery", "onnxruntime"):
            require(case["peers"], [name], where)
            require(case["peers"][name], PEER, f"{where}, {name},")
    return report


def markdown(report):
    machine, versions = report["machine"], report["versions"]
    lines = [
        "# Joinery and ONNX Runtime, interleaved", "",
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['flags'])}; Linux {machine['kernel']}. "
        f"Measured peak, f32: {', '.join(f'{p:.0f} GFLOP/s at {t} threads' for t, p in machine['peak_gflops'].items())}. "
        + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", "",
        "Times are of whole runs in milliseconds; `scaled` is by the peak probes beside each slice. "
        "A ratio above 1 says that Joinery is faster. The error is the largest difference from ONNX Runtime "
        "over the output's range, on kept rows.", "",
        "| model | batch x length | threads | dtype | Joinery best / median / p99 | ONNX Runtime best / median / p99 "
        "| ratio scaled | best | median | share of peak | slices (dropped) | error |",
        "|" + "---|" * 12,
    ]
    for case in report["cases"]:
        ours, theirs = case["peers"]["joinery"], case["peers"]["onnxruntime"]
        peak = machine["peak_gflops"].get(str(case["threads"]))
        share = f"{100 * case['gflop'] / ours['best_s'] / peak:.0f} %" if peak else ""
        times = [" / ".join(f"{1e3 * p[key]:.2f}" for key in ("best_s", "median_s", "p99_s")) for p in (ours, theirs)]
        ratios = " | ".join(f"{case['ratio'][key]:.2f}" for key in RATIO)
        lines.append(
            f"| {case['model']} | {case['batch']}x{case['length']}{' ragged' if case['ragged'] else ''} "
            f"| {case['threads']} | {case['dtype']} | {times[0]} | {times[1]} | {ratios} | {share} "
            f"| {ours['slices']} ({ours['dropped']}), {theirs['slices']} ({theirs['dropped']}) | {case['error']:.1e} |")
    lines += ["", "| model | threads | load ms: Joinery, ONNX Runtime | first answer ms | memory MB |", "|---|---|---|---|---|"]
    for case in report["cases"]:
        peers = (case["peers"]["joinery"], case["peers"]["onnxruntime"])
        cells = [", ".join(f"{scale * p[key]:.1f}" for p in peers)
                 for key, scale in (("load_s", 1e3), ("first_s", 1e3), ("rss_bytes", 1e-6))]
        lines.append(f"| {case['model']} | {case['threads']} | {' | '.join(cells)} |")
    if report.get("compile"):
        lines += ["", "| compiled | seconds | peak anonymous memory MB | model file MB | of the file |", "|---|---|---|---|---|"]
        lines += [
            f"| {c['model']} | {c['seconds']:.1f} | {c['anonymous_bytes'] / 1e6:.0f} | {c['file_bytes'] / 1e6:.0f} "
            f"| {c['anonymous_bytes'] / c['file_bytes']:.2f} |" for c in report["compile"]]
    if report.get("first_answer"):
        first = report["first_answer"]
        lines += ["", f"First answer of the demo program, 1 thread, from process start: best {first['best_ms']:.1f} ms, "
                      f"median {first['median_ms']:.1f} ms of {first['runs']}."]
    return "\n".join(lines) + "\n"


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
