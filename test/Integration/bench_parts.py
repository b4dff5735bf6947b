"""The benchmark's parts, without a peer installed.

    bench_parts.py WORK

Statistics on made-up slices, a worker that is stopped while nothing is asked of
it, the schema's refusals, the plot, the weights read back from a model.
"""

import copy
import pathlib
import sys
import time
import xml.etree.ElementTree

import numpy as np
import onnx

import harness

sys.path.insert(0, str(harness.TEST.parent / "bench"))
import cases
import interleave
import models
import plot
import report
import run
from interleave import Slice

SPINNER = """
import json, sys, threading
threading.Thread(target=lambda: exec("while True: pass"), daemon=True).start()
print(json.dumps({}), flush=True)
for line in sys.stdin:
    if "die" in line:
        sys.exit("it was told to")
    print(json.dumps({"times": [0.01], "cpu_s": 0}), flush=True)
"""


def measured(**given):
    slices = [Slice([0.010, 0.012, 0.011], 100, 100), Slice([0.020], 100, 50)]
    return {
        "status": "measured", "dtype": "f32", "version": "1.0", "error": 1e-6, "cosine": 1.0, "load_s": 0.1,
        "first_s": 0.2, "process_s": 0.3, "rss_bytes": 1 << 20, "peak_rss_bytes": 1 << 21, "model_bytes": 1 << 19,
        "tokens_per_s": 10.0, "share_of_peak": 0.5, **interleave.summarise(slices, 100),
        "ratio": {"against": "joinery", "scaled": 1.0, "best": 1.0, "median": 1.0}, **given}


def example():
    left_out = {"status": "unavailable", "dtype": "bf16", "reason": "not | built"}
    case = {
        "model": "bert-base", "batch": 1, "length": 128, "ragged": False, "tokens": 128, "threads": 2, "gflop": 22.3,
        "peers": {"joinery": measured(), "onnxruntime": measured(scaled_median_s=0.022), "joinery-bf16": left_out}}
    return {
        "machine": {"cpu": "a CPU", "flags": ["avx2"], "cores": 2, "kernel": "6", "peak_gflops": {"2": 100.0}},
        "versions": {"joinery": "1", "onnxruntime": "1", "numpy": "2", "onnx": "1"},
        "method": {"rounds": 2, "slice_s": 0.3, "pause_s": 0.25, "probe_s": 0.004, "steady": 0.15, "foreign": 0.1},
        "cases": [case], "compile": [], "first_answer": None}


def statistics(check):
    check.check(Slice([1], 100, 86).steady() and Slice([1], 86, 100).steady(), "14 % apart is steady")
    check.check(not Slice([1], 100, 84).steady() and not Slice([1], 84, 100).steady(), "16 % apart is not")
    check.check(Slice([3, 1, 2], 100, 100).scaled(200) == 1.0, "at half the peak, time counts half")
    check.check(Slice([1], 100, 100, wall=2, foreign=0.19).steady(), "others may use a tenth of a CPU")
    check.check(not Slice([1], 100, 100, wall=2, foreign=0.21).steady(), "and no more")
    # The same program on a machine that halves its speed for two slices.
    fast, slow = Slice([0.01, 0.011, 0.012], 200, 200), Slice([0.02, 0.022, 0.024], 100, 100)
    torn = Slice([0.5], 200, 100)
    got = interleave.summarise([fast, slow, torn, fast, slow], 200)
    check.check(abs(got["scaled_median_s"] - 0.011) < 1e-9, "scaled", got["scaled_median_s"])
    check.check(got["spread"] < 1e-9, "the spread of equal slices", got["spread"])
    check.check((got["slices"], got["dropped"], got["runs"]) == (5, 1, 13), "counts", got)
    check.check(got["best_s"] == 0.01, "best", got["best_s"])
    none = interleave.summarise([torn], 200)
    check.check(none["scaled_median_s"] is None and none["dropped"] == 1, "no steady slice, no scaled figure")


class Shaky:
    """A probe whose first answers disagree."""

    def __init__(self, unsteady):
        self.calls, self.unsteady = 0, unsteady

    def gflops(self, threads):
        self.calls += 1
        return 50.0 if self.calls <= self.unsteady and self.calls % 2 else 100.0


class Told:
    def __init__(self, fails_at=None):
        self.asked, self.fails_at = 0, fails_at

    def ask(self, slice):
        self.asked += 1
        if self.asked == self.fails_at:
            raise interleave.Failed("told to")
        return {"times": [0.01], "cpu_s": 0.5}


def turns(check):
    interleave.PAUSE = 0
    interleave.busy_seconds = lambda: 0.0
    workers = {"a": Told(), "b": Told(fails_at=2)}
    slices, failed = interleave.measure(workers, Shaky(0), 1, 4, 0.1)
    check.check(len(slices["a"]) == 4 and workers["a"].asked == 5, "a round warms up", len(slices["a"]))
    check.check(failed == {"b": "told to"}, "a peer that fails is left out", failed)
    slices, _ = interleave.measure({"a": Told()}, Shaky(10), 1, 4, 0.1)
    check.check(len(slices["a"]) == 6, "rounds are added until half are steady", len(slices["a"]))
    slices, _ = interleave.measure({"a": Told()}, Shaky(1000), 1, 4, 0.1)
    check.check(len(slices["a"]) == 12, "and end", len(slices["a"]))
    clock = iter(range(1000))
    interleave.busy_seconds = lambda: float(next(clock))
    slices, _ = interleave.measure({"a": Told()}, Shaky(0), 1, 1, 0.1)
    check.check({s.foreign for s in slices["a"]} == {0.5}, "the time of other programs", slices["a"])
    check.check(not any(s.steady() for s in slices["a"]), "slices beside which they ran are kept")


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def stopping(check, work):
    worker = interleave.Worker([sys.executable, "-c", SPINNER], work / "spinner.txt", timeout=60)
    try:
        worker.ask(slice=0.01)
        before = cpu_ticks(worker.process.pid)
        time.sleep(0.2)
        check.check(cpu_ticks(worker.process.pid) == before, "a thread spins on after its slice")
        try:
            worker.ask(die=True)
            check.fail("a worker that exits goes unnoticed")
        except interleave.Failed as problem:
            check.check("it was told to" in str(problem), "the reason is", problem)
    finally:
        worker.close()


def paths(value, path=()):
    if isinstance(value, dict):
        for key, part in value.items():
            yield path + (key,)
            yield from paths(part, path + (key,))
    elif isinstance(value, list) and value:
        yield from paths(value[0], path + (0,))


def refusals(check, work):
    whole = example()
    report.check(whole)
    # What may be missing: what has no fixed names, and what is an extra.
    free = {("cases", 0, "peers", name) for name in whole["cases"][0]["peers"]} | {("compile",), ("first_answer",)}
    for path in paths(whole):
        if path in free:
            continue
        for change in ("delete", "empty"):
            broken = copy.deepcopy(whole)
            part = broken
            for key in path[:-1]:
                part = part[key]
            if change == "delete":
                del part[path[-1]]
            elif path[-1] == "ragged":
                continue
            else:
                part[path[-1]] = ""
            try:
                report.check(broken)
                check.fail("a report is accepted that lacks", *path, change)
            except report.Incomplete:
                check.check(True)
    text = report.markdown(whole)
    check.check("| bert-base 1x128, 2T | 1.00 |" in text, "the summary", text)
    check.check("| joinery-bf16 | unavailable | all | not / built |" in text, "what was left out", text)
    plot.write(whole, work / "plot.svg")
    drawn = (work / "plot.svg").read_text()
    xml.etree.ElementTree.fromstring(drawn)
    check.check("<script" not in drawn and "bert-base 1x128, 2T" in drawn, "the plot")
    # Twice as slow is half as far.
    check.check(plot.speed(report.measured(whole["cases"][0]), "onnxruntime") == 0.5, "the bars")


def weights(check, work):
    """Every parameter is found once, under make_bert's names."""
    for name in {"tiny", models.REAL} & set(models.names()):
        path, shape = work / f"{name}.onnx", models.MODELS[name]
        models.write(name, path)
        check.check(len(onnx.load(path).graph.output) == 1, name, "has one output, the hidden states")
        found = models.weights(shape, path)
        check.check(found["layer.1.down.weight"].shape == (shape.inner, shape.hidden), name, "down is [in, out]")
        check.check(found["layer.1.up.weight"].shape == (shape.hidden, shape.inner), name, "up is [in, out]")
        distinct = {array.tobytes() for array in found.values()}
        check.check(len(distinct) == len(found) == 16 * shape.layers + 5, name, "parameters", len(distinct), len(found))


def shapes(check):
    drawn = models.lengths(32, 128, ragged=True)
    check.check(drawn.max() == 128 and drawn.min() >= 1 and 0.3 < drawn.mean() / 128 < 0.55, "lengths", drawn)
    dense = models.gflop("bert-base", [128]) * 1e9
    want = 12 * (2 * 128 * (4 * 768**2 + 2 * 768 * 3072) + 4 * 128**2 * 768)
    check.check(np.isclose(dense, want), "flops", dense, want)
    check.check(np.isclose(models.gflop("tiny", [3, 5]), models.gflop("tiny", [3]) + models.gflop("tiny", [5])), "sum")
    for name in cases.SETS:
        check.check(cases.of_set(name), "an empty set", name)
    text = "minilm-l6:32x128r:2"
    check.check(str(cases.Case.parse(text)) == text, "a case's text")


def verification(check):
    want = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    keep, got = np.array([[1, 1, 0], [1, 0, 0]]) != 0, want.copy()
    got[~keep] = 7
    check.check(np.allclose(run.compare(got, want, keep), (0, 1)), "padding does not count")
    got[0, 0] = -got[0, 0]
    error, cosine = run.compare(got, want, keep)
    check.check(error > max(run.LIMITS.values()) and cosine < 0, "a wrong row counts", error, cosine)
    check.check(run.compare(got, want, None)[0] >= error, "all rows")
    try:
        run.compare(got[:1], want, None)
        check.fail("an output of another shape is accepted")
    except interleave.Failed as problem:
        check.check("(1, 3, 4), not (2, 3, 4)" in str(problem), problem)
    peers = {name: measured(dtype=run.PEERS[name].dtype, scaled_median_s=seconds) for name, seconds in (
        ("joinery", 0.02), ("joinery-bf16", 0.01), ("openvino-bf16", 0.03), ("openvino-int8", 0.03), ("openvino", None))}
    against = {name: (run.ratio(peers, name)["against"], run.ratio(peers, name)["scaled"]) for name in peers}
    check.check(against["openvino-bf16"] == ("joinery-bf16", 3), "bf16 against bf16", against)
    check.check(against["openvino-int8"] == ("joinery", 1.5), "int8 against f32", against)
    check.check(against["openvino"] == ("joinery", None), "no steady slice, no ratio", against)


def main():
    work = pathlib.Path(sys.argv[1])
    check = harness.Report("bench-parts")
    statistics(check)
    turns(check)
    stopping(check, work)
    refusals(check, work)
    weights(check, work)
    shapes(check)
    verification(check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
