"""Measures Joinery against ONNX Runtime, interleaved in one run.

    run.py [--build DIR] [--case MODEL:BATCHxLENGTH[r][:THREADS]]... [--rounds N] [--quick]

Each peer lives in its own process with the same weights, inputs and threads.
Slices take turns, with a pause between them, and each stands between two peak
probes: a slice whose probes differ by more than 15 % is dropped, the others are
scaled by their probes. Writes report.json and report.md to DIR/bench.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime
import psutil

import make_bert
import report

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test" / "Integration"))
import harness

PROBE_MICROSECONDS = 4000
PAUSE = 0.25
STEADY = 0.15
CASES = ("bert-base:1x128:1", "bert-base:1x128:2", "bert-base:8x128r:2", "minilm-l6:1x128:1", "minilm-l6:1x16:1")


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    batch: int
    length: int
    ragged: bool
    threads: int

    @staticmethod
    def parse(text):
        found = re.fullmatch(r"([\w-]+):(\d+)x(\d+)(r?)(?::(\d+))?", text)
        if not found or found[1] not in make_bert.SHAPES:
            raise argparse.ArgumentTypeError(
                f"'{text}' is no MODEL:BATCHxLENGTH[r][:THREADS] with MODEL one of {', '.join(make_bert.SHAPES)}")
        return Case(found[1], int(found[2]), int(found[3]), bool(found[4]), int(found[5] or 1))


class Worker:
    def __init__(self, script, *arguments, env=None):
        self.process = subprocess.Popen(
            [sys.executable, HERE / script, *map(str, arguments)], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.start = self.read()

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: {self.process.args[1].name} stopped with code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Probe:
    def __init__(self, build):
        self.process = subprocess.Popen(
            [build / "bench" / "joinery-probe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def gflops(self, threads):
        self.process.stdin.write(f"{threads} {PROBE_MICROSECONDS}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


@dataclasses.dataclass
class Slice:
    times: list
    before: float
    after: float

    def steady(self):
        return abs(self.before - self.after) <= STEADY * max(self.before, self.after)

    def scaled(self, peak):
        """The slice's median, as if the machine had been at its peak."""
        return statistics.median(self.times) * (self.before + self.after) / 2 / peak


def measure(workers, probe, threads, rounds, seconds):
    """{peer: slices}, taken in turns; the first round only warms up."""
    slices = {name: [] for name in workers}
    for round in range(rounds + 1):
        # The order turns too, so that no peer always follows the same other.
        names = list(workers)
        for name in names[round % len(names):] + names[:round % len(names)]:
            time.sleep(PAUSE)
            before = probe.gflops(threads)
            times = workers[name].ask(slice=seconds)["times"]
            after = probe.gflops(threads)
            if round:
                slices[name].append(Slice(times, before, after))
    return slices


def summarise(slices, worker, peak):
    steady = [s for s in slices if s.steady()]
    times = sorted(t for s in slices for t in s.times)
    return {
        "best_s": times[0], "median_s": statistics.median(times),
        "p95_s": float(np.percentile(times, 95)), "p99_s": float(np.percentile(times, 99)),
        "scaled_median_s": statistics.median(s.scaled(peak) for s in steady or slices),
        "slices": len(slices), "dropped": len(slices) - len(steady), "warmup": 1, "runs": len(times),
        "load_s": worker.start["load_s"], "first_s": worker.start["first_s"],
        "rss_bytes": worker.start["rss_bytes"],
    }


def anonymous_bytes(process):
    """Anonymous memory of a process and its children, now."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            with open(f"/proc/{one.pid}/status") as status:
                found = re.search(r"RssAnon:\s+(\d+)", status.read())
            total += int(found[1]) * 1024 if found else 0
        except OSError:
            pass
    return total


def compile_model(name, path, prefix):
    """Compiles and reports what it cost; memory is polled every 5 ms."""
    start = time.perf_counter()
    with subprocess.Popen([harness.tool("joinery"), "compile", path, "-o", prefix]) as process:
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                peak = max(peak, anonymous_bytes(watched))
            except psutil.Error:
                break
            time.sleep(0.005)
        seconds = time.perf_counter() - start
        if process.wait() != 0:
            raise SystemExit(f"bench: joinery compile {path} stopped with code {process.returncode}")
    return {"model": name, "seconds": seconds, "anonymous_bytes": peak, "file_bytes": path.stat().st_size}


def run_case(case, models, work, probe, arguments, peak):
    shape, (path, prefix) = make_bert.SHAPES[case.model], models[case.model]
    inputs = make_bert.batch(shape, case.batch, case.length, case.ragged)
    given = work / "in.npz"
    np.savez(given, **inputs)
    workers = {
        "onnxruntime": Worker("worker_onnxruntime.py", path, given, case.threads),
        "joinery": Worker("worker_joinery.py", prefix, given, case.threads),
    }
    try:
        outputs = {}
        for name, one in workers.items():
            one.ask(save=str(work / f"{name}.npz"))
            with np.load(work / f"{name}.npz") as archive:
                outputs[name] = {key: archive[key] for key in archive.files}
        keep = inputs["attention_mask"] != 0
        error = max(harness.relative_error(outputs["joinery"][key][keep], want[keep])
                    for key, want in outputs["onnxruntime"].items())
        slices = measure(workers, probe, case.threads, arguments.rounds, arguments.seconds)
        peers = {name: summarise(slices[name], workers[name], peak) for name in workers}
        versions = {name: one.start["version"] for name, one in workers.items()}
    finally:
        for one in workers.values():
            one.close()
    ratio = {short: peers["onnxruntime"][key] / peers["joinery"][key]
             for short, key in (("scaled", "scaled_median_s"), ("best", "best_s"), ("median", "median_s"))}
    return versions, {
        "model": case.model, "batch": case.batch, "length": case.length, "ragged": case.ragged,
        "tokens": int(keep.sum()), "threads": case.threads, "dtype": "f32",
        "gflop": make_bert.flops(shape, case.batch, case.length) * 1e-9,
        "error": error, "ratio": ratio, "peers": peers,
    }


def first_answer(build, runs=20):
    """Milliseconds from process start to the first answer of the demo's program."""
    program = build / "examples" / "semantic_search" / "semantic_search"
    if not program.exists():
        return None
    times = []
    for _ in range(runs):
        done = subprocess.run([program, "--threads", "1"], stdout=subprocess.PIPE, text=True, check=True)
        times.append(float(re.search(r"first answer after ([\d.]+) ms", done.stdout)[1]))
    return {"best_ms": min(times), "median_ms": statistics.median(times), "runs": runs}


def cpu_name():
    with open("/proc/cpuinfo") as info:
        return next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build")
    parser.add_argument("--out", type=pathlib.Path, help="where the report goes (default: BUILD/bench)")
    parser.add_argument("--case", type=Case.parse, action="append", help="may be given several times")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a slice; at least one run")
    parser.add_argument("--quick", action="store_true", help="a tiny model, two rounds: a test of the runner")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.02
    cases = arguments.case or [Case.parse(c) for c in (["tiny:2x16r:1"] if arguments.quick else CASES)]
    build = arguments.build.resolve()
    os.environ["JOINERY_TOOLS"] = str(build / "bin")
    work = (arguments.out or build / "bench").resolve()
    work.mkdir(parents=True, exist_ok=True)

    probe = Probe(build)
    peaks = {t: max(probe.gflops(t) for _ in range(20)) for t in sorted({case.threads for case in cases})}
    version = subprocess.run([harness.tool("joinery"), "--version"], stdout=subprocess.PIPE, text=True).stdout
    version = next(iter(re.findall(r"\d[\w.+-]*", version)), "")
    models, compiled = {}, []
    for name in dict.fromkeys(case.model for case in cases):
        models[name] = (work / f"{name}.onnx", work / name)
        if not models[name][0].exists():
            onnx.save(make_bert.make(make_bert.SHAPES[name]), models[name][0])
        compiled.append(compile_model(name, *models[name]))
        print(f"compiled {name} in {compiled[-1]['seconds']:.1f} s", file=sys.stderr)
    results = []
    for case in cases:
        versions, result = run_case(case, models, work, probe, arguments, peaks[case.threads])
        results.append(result)
        print(f"{case.model} {case.batch}x{case.length}{'r' if case.ragged else ''} {case.threads}T: "
              f"ratio {result['ratio']['scaled']:.2f}, error {result['error']:.1e}", file=sys.stderr)
    whole = {
        "machine": {
            "cpu": cpu_name(), "cores": os.cpu_count(), "kernel": platform.release(),
            "flags": sorted(f for f in harness.cpu_flags() if re.match(r"avx|amx|fma$", f)),
            "peak_gflops": {str(t): p for t, p in peaks.items()},
        },
        "versions": {"joinery": version or versions["joinery"], "onnxruntime": versions["onnxruntime"],
                     "numpy": np.__version__, "onnx": onnx.__version__},
        "cases": results, "compile": compiled, "first_answer": first_answer(build),
    }
    (work / "report.json").write_text(json.dumps(whole, indent=1) + "\n")
    try:
        report.check(whole)
    except report.Incomplete as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    (work / "report.md").write_text(report.markdown(whole))
    print(report.markdown(whole), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
