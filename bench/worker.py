"""What the peers' workers share: a process that runs one model when told to.

    worker_X.py prepare VARIANT SOURCE TARGET          does once what a user does once
    worker_X.py serve VARIANT MODEL INPUTS.npz THREADS

`prepare` answers with a line of JSON: the files that a deployment needs. `serve`
answers lines of JSON with lines of JSON: first, unasked, what loading cost;
then, for {"slice": SECONDS}, the time of each run in a slice; for {"save":
PATH}, nothing but the outputs in that file.
"""

import ctypes
import json
import os
import pathlib
import signal
import sys
import time

import numpy as np

PR_SET_PDEATHSIG = 1


def memory():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {"rss_bytes": int(fields["VmRSS"].split()[0]) * 1024,
            "peak_rss_bytes": int(fields["VmHWM"].split()[0]) * 1024}


def read_weights(path):
    """(config, read): an encoder's config, and a function from a name to its array."""
    archive = np.load(path)
    return json.loads(str(archive["config"])), archive.__getitem__


def fused_qkv(read, layer):
    """Query, key and value as one dense layer: (weight [in, 3 * out], bias)."""
    parts = [f"layer.{layer}.{part}" for part in ("query", "key", "value")]
    return (np.concatenate([read(f"{part}.weight") for part in parts], axis=1),
            np.concatenate([read(f"{part}.bias") for part in parts]))


def main(load, prepare=None):
    """`load(variant, model, inputs, threads)` gives (run, version) and `run()` outputs by name.

    `prepare(variant, source, target)` gives the facts that it answers.
    """
    # A runner that is killed must not leave a stopped process behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # What libraries print must not get between the answers.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message):
        print(json.dumps(message), file=channel, flush=True)

    command, variant, *arguments = sys.argv[1:]
    if command == "prepare":
        answer(prepare(variant, *map(pathlib.Path, arguments)))
    else:
        serve(lambda *given: load(variant, *given), answer, *arguments)


def serve(load, answer, model, inputs, threads):
    with np.load(inputs) as archive:
        inputs = {name: archive[name] for name in archive.files}
    start = time.perf_counter()
    run, version = load(pathlib.Path(model), inputs, int(threads))
    loaded = time.perf_counter()
    run()
    first = time.perf_counter()
    answer({"version": version, "load_s": loaded - start, "first_s": first - start, **memory()})
    for line in sys.stdin:
        command = json.loads(line)
        if "slice" in command:
            times, end, cpu = [], time.perf_counter() + command["slice"], time.process_time()
            while not times or time.perf_counter() < end:
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            answer({"times": times, "cpu_s": time.process_time() - cpu, **memory()})
        elif "save" in command:
            np.savez(command["save"], **{name: np.asarray(value, np.float32) for name, value in run().items()})
            answer({})
