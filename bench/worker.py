"""What the peers' workers share: a process that runs one model when told to.

A worker is started as `worker_X.py MODEL INPUTS.npz THREADS` and answers lines
of JSON on its standard input with lines of JSON: first, unasked, what loading
cost; then, for {"slice": SECONDS}, the time of each run in a slice; for
{"save": PATH}, nothing but the outputs in that file.
"""

import json
import pathlib
import sys
import time

import numpy as np


def resident_bytes():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmRSS"].split()[0]) * 1024


def serve(load):
    """`load(model, inputs, threads)` gives (run, version); `run()` gives outputs by name."""
    model, inputs, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with np.load(inputs) as archive:
        inputs = {name: archive[name] for name in archive.files}
    before, start = resident_bytes(), time.perf_counter()
    run, version = load(model, inputs, threads)
    loaded = time.perf_counter()
    run()
    first = time.perf_counter()
    answer({
        "version": version, "load_s": loaded - start, "first_s": first - start,
        "rss_bytes": resident_bytes() - before,
    })
    for line in sys.stdin:
        command = json.loads(line)
        if "slice" in command:
            times, end = [], time.perf_counter() + command["slice"]
            while not times or time.perf_counter() < end:
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            answer({"times": times, "rss_bytes": resident_bytes() - before})
        elif "save" in command:
            np.savez(pathlib.Path(command["save"]), **run())
            answer({})


def answer(message):
    print(json.dumps(message), flush=True)
