"""Measures Joinery against its peers, interleaved in one run.

    run.py [--set NAME | --case MODEL:BATCHxLENGTH[r][:THREADS]...] [--peer NAME]... [--rounds N] [--quick]

Each peer lives in a process of its own with the same weights, inputs and
threads. Its outputs are compared with ONNX Runtime's in f32 before anything is
timed. Writes report.json, report.md and report.svg to BUILD/bench.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

import numpy as np
import onnx
import psutil

import cases
import interleave
import models
import plot
import report
from interleave import Failed, Probe, Worker
from paths import SOURCE, harness
from peers import BASELINE, LIMITS, PEERS, REFERENCE, Unavailable, install

# A worker that starts with less free memory would take the machine down.
FREE_MEMORY = 2e9


class Bench:
    """What the cases of a run share: models, prepared files, the probe, the peaks."""

    def __init__(self, work, build, environments):
        self.work, self.environments = work, environments
        self.pythons, self.models, self.prepared, self.versions = {}, {}, {}, {}
        for folder in ("models", "log"):
            (work / folder).mkdir(parents=True, exist_ok=True)
        self.probe = Probe(build / "bench" / "joinery-probe")
        self.peaks = {}

    def peak(self, threads):
        if threads not in self.peaks:
            self.peaks[threads] = max(self.probe.gflops(threads) for _ in range(20))
        return self.peaks[threads]

    def python(self, name):
        """The Python of an environment, or why there is none; asked for once in a run."""
        if name not in self.pythons:
            try:
                self.pythons[name] = install(name, self.environments)
            except (Unavailable, OSError) as problem:
                self.pythons[name] = str(problem)
        if isinstance(self.pythons[name], str):
            raise Unavailable(self.pythons[name])
        return self.pythons[name]

    def model(self, name):
        """{"onnx": path, "weights": path}, written anew in every run."""
        if name not in self.models:
            path = self.work / "models" / f"{name}.onnx"
            models.write(name, path)
            models.write_weights(name, path, path.with_suffix(".npz"))
            shape = models.MODELS[name]
            path.with_suffix(".json").write_text(json.dumps([shape.heads, shape.hidden]))
            self.models[name] = {"onnx": path, "weights": path.with_suffix(".npz")}
        return self.models[name]

    def log(self, *parts):
        return self.work / "log" / ("-".join(map(str, parts)).replace(":", "-") + ".txt")

    def prepare(self, peer, python, name):
        """What a peer loads, and the facts about it; a user does this once."""
        source = self.model(name)[peer.source]
        if not peer.suffix:
            return source, {"files": [str(source)]}
        target = source.with_name(name + peer.suffix)
        if target not in self.prepared:
            log = self.log("prepare", name, peer.name)
            with open(log, "wb") as errors:
                done = subprocess.run(
                    list(map(str, peer.command(python, "prepare", source, target))),
                    stdout=subprocess.PIPE, stderr=errors, env=environment(1, self.work))
            good = done.returncode == 0
            self.prepared[target] = json.loads(done.stdout) if good else interleave.reason(log, done.returncode)
        facts = self.prepared[target]
        if isinstance(facts, str):
            raise Unavailable(facts)
        return target, facts

    def start(self, peer, case, given):
        python = self.python(peer.env)
        model, facts = self.prepare(peer, python, case.model)
        if psutil.virtual_memory().available < FREE_MEMORY:
            raise Unavailable("not enough free memory")
        worker = Worker(
            peer.command(python, "serve", model, given, case.threads), self.log(case, peer.name),
            env=environment(case.threads, self.work))
        worker.facts = facts
        self.versions[peer.worker] = worker.start["version"]
        return worker


def environment(threads, work):
    """What libraries read their number of threads from, and where they cache."""
    counts = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS")}
    return {**os.environ, **counts, "TF_CPP_MIN_LOG_LEVEL": "2", "TORCHINDUCTOR_CACHE_DIR": str(work / "inductor")}


def size_of(paths):
    """Bytes on disk of files, and of the files in folders."""
    files = [file for path in map(pathlib.Path, paths) for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files)


def outputs_of(worker, path):
    worker.ask(save=str(path))
    with np.load(path) as archive:
        return archive[archive.files[0]]


def compare(got, want, keep):
    """(largest error over the range, smallest cosine of a token), on kept rows."""
    if got.shape != want.shape:
        raise Failed(f"its output is {got.shape}, not {want.shape}")
    got, want = (array[keep] if keep is not None else array.reshape(-1, array.shape[-1]) for array in (got, want))
    lengths = np.linalg.norm(got, axis=-1) * np.linalg.norm(want, axis=-1)
    cosines = (got * want).sum(axis=-1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return harness.relative_error(got, want), float(cosines.min())


def start_all(bench, case, names, given, keep, results):
    """The workers whose outputs are right; the others are noted in `results`."""
    workers, want = {}, None
    try:
        for name in sorted(names | {REFERENCE}, key=lambda name: (name != REFERENCE, list(PEERS).index(name))):
            peer, worker = PEERS[name], None
            results[name] = {"status": "unavailable", "dtype": peer.dtype}
            try:
                worker = bench.start(peer, case, given)
                results[name]["status"] = "failed"
                got = outputs_of(worker, bench.work / "out.npz")
                want = got if name == REFERENCE else want
                error, cosine = compare(got, want, keep)
                if not error <= LIMITS[peer.dtype]:
                    raise Failed(f"its outputs are wrong: error {error:.1e}, and {LIMITS[peer.dtype]:g} is allowed")
            except (Unavailable, Failed, OSError) as problem:
                results[name]["reason"] = str(problem)
                if worker:
                    worker.close()
                if name in (BASELINE, REFERENCE):
                    raise SystemExit(f"bench: {case}: {name}: {problem}")
                print(f"  {name}: {results[name]['status']}: {problem}", file=sys.stderr)
                continue
            results[name].update(error=error, cosine=cosine)
            workers[name] = worker
        if REFERENCE not in names:
            workers.pop(REFERENCE).close()
            del results[REFERENCE]
    except BaseException:
        close(workers)
        raise
    return workers


def close(workers):
    for worker in workers.values():
        worker.close()


def ratio(results, name):
    """How many times faster the Joinery of the same dtype is, else that of f32."""
    same = [ours for ours, peer in PEERS.items() if peer.worker == BASELINE and peer.dtype == PEERS[name].dtype
            and results.get(ours, {}).get("status") == "measured"]
    against = same[0] if same else BASELINE
    theirs, ours = results[name], results[against]

    def over(key):
        return theirs[key] / ours[key] if theirs[key] and ours[key] else None

    return {"against": against, "scaled": over("scaled_median_s"), "best": over("best_s"), "median": over("median_s")}


def run_case(bench, case, names, arguments):
    given = models.inputs(case.model, case.batch, case.length, case.ragged)
    keep, results = models.kept(given), {}
    lengths = keep.sum(axis=1) if keep is not None else np.full(case.batch, case.length)
    tokens, gflop, peak = int(lengths.sum()), models.gflop(case.model, lengths), bench.peak(case.threads)
    np.savez(bench.work / "in.npz", **given)
    workers = start_all(bench, case, names, bench.work / "in.npz", keep, results)
    try:
        slices, failed = interleave.measure(workers, bench.probe, case.threads, arguments.rounds, arguments.seconds)
        for name, worker in workers.items():
            result = results[name]
            if name in failed:
                result["reason"] = failed[name]
                continue
            memory = worker.ask(slice=0)
            result.update(
                interleave.summarise(slices[name], peak), status="measured", version=worker.start["version"],
                model_bytes=size_of(worker.facts["files"]),
                **{key: worker.start[key] for key in ("load_s", "first_s", "process_s")},
                **{key: memory[key] for key in ("rss_bytes", "peak_rss_bytes")})
            scaled = result["scaled_median_s"]
            result["tokens_per_s"] = tokens / scaled if scaled else None
            result["share_of_peak"] = gflop / scaled / peak if scaled else None
    finally:
        close(workers)
    if results[BASELINE]["status"] != "measured":
        raise SystemExit(f"bench: {case}: {BASELINE}: {results[BASELINE]['reason']}")
    for name, result in results.items():
        if result["status"] == "measured":
            result["ratio"] = ratio(results, name)
    return {
        "model": case.model, "batch": case.batch, "length": case.length, "ragged": case.ragged, "tokens": tokens,
        "threads": case.threads, "gflop": gflop, "peers": {name: results[name] for name in PEERS if name in results}}


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


def whole_report(bench, results, arguments):
    with open("/proc/cpuinfo") as info:
        cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    return {
        "machine": {
            "cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(),
            "flags": sorted(f for f in harness.cpu_flags() if re.match(r"avx|amx|fma$", f)),
            "peak_gflops": {str(threads): peak for threads, peak in bench.peaks.items()}},
        "versions": {**bench.versions, "numpy": np.__version__, "onnx": onnx.__version__},
        "method": {"rounds": arguments.rounds, "slice_s": arguments.seconds, "pause_s": interleave.PAUSE,
                   "probe_s": interleave.PROBE_MICROSECONDS * 1e-6, "steady": interleave.STEADY,
                   "foreign": interleave.FOREIGN},
        "cases": results,
        "compile": [
            {"model": path.name.removesuffix(peer.suffix), "dtype": peer.dtype, **facts}
            for path, facts in bench.prepared.items() for peer in PEERS.values()
            if peer.worker == BASELINE and path.name.endswith(peer.suffix) and isinstance(facts, dict)],
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--out", type=pathlib.Path, help="where the report goes (default: BUILD/bench)")
    parser.add_argument("--envs", type=pathlib.Path, default=SOURCE / ".venv-bench",
                        help="where the peers are installed (default: .venv-bench)")
    parser.add_argument("--set", choices=[name for name in cases.SETS if name != "quick"], default="default",
                        help="which cases; full has every peer where no --peer is given")
    parser.add_argument("--case", type=cases.Case.parse, action="append", help="may be given several times")
    parser.add_argument("--peer", choices=[*PEERS, "all"], action="append",
                        help="may be given several times; Joinery is always measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a slice; at least one run")
    parser.add_argument("--quick", action="store_true", help="a tiny model, two rounds, no installs: a test")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.02
        # A test of the runner does not wait for a quiet machine.
        interleave.MOST_PAUSES = interleave.MOST_ROUNDS = 1
        arguments.case = arguments.case or cases.of_set("quick")
        arguments.peer = arguments.peer or [REFERENCE]
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    arguments.build = arguments.build.resolve()
    return arguments


def chosen_peers(arguments):
    everything = "all" in (arguments.peer or []) or (arguments.set == "full" and not arguments.peer)
    if everything or not arguments.peer:
        return {name for name, peer in PEERS.items() if everything or peer.default}
    return {BASELINE, *arguments.peer}


def main():
    arguments = parse_arguments()
    os.environ["JOINERY_TOOLS"] = str(arguments.build / "bin")
    work = (arguments.out or arguments.build / "bench").resolve()
    bench, results = Bench(work, arguments.build, arguments.envs.resolve()), []
    todo = arguments.case or cases.of_set(arguments.set)
    for index, case in enumerate(todo):
        print(f"{case} ({index + 1} of {len(todo)})", file=sys.stderr, flush=True)
        results.append(run_case(bench, case, chosen_peers(arguments), arguments))
        for name, peer in report.measured(results[-1]).items():
            scaled = peer["ratio"]["scaled"]
            print(f"  {name}: ratio {report.number(scaled)}, error {peer['error']:.1e}, "
                  f"{peer['dropped']} of {peer['slices']} slices dropped", file=sys.stderr)
        whole = whole_report(bench, results, arguments)
        # A long run that is cut short leaves the cases that it finished.
        (work / "report.json").write_text(json.dumps(whole, indent=1) + "\n")
    whole["first_answer"] = first_answer(arguments.build)
    (work / "report.json").write_text(json.dumps(whole, indent=1) + "\n")
    try:
        report.check(whole)
    except report.Incomplete as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    (work / "report.md").write_text(report.markdown(whole))
    plot.write(whole, work / "report.svg")
    print(report.markdown(whole), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
