"""Compares the cost model's predictions with measured times, pipeline by pipeline.

    predictions.py --compiler JOINERY [--zoo DIR] [--threads N] [--precision P]

Runs `joinery explain --analyze` over the models of a zoo (DIR/NAME/model.onnx) and
over BERT shapes, and prints the median error of each, of each algorithm and of all.
Models that do not compile, or not run at the default extents, are counted apart.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LINE = re.compile(r"#\d+ (\w+) @.* predicted ([\d.]+) us  measured ([\d.]+) us")
# A time below this is a few readings of the clock.
LEAST_MICROSECONDS = 0.15
SHAPES = [("minilm-l6", 1, 16), ("minilm-l6", 1, 128), ("minilm-l6", 8, 128),
          ("bert-base", 1, 16), ("bert-base", 1, 128), ("bert-base", 8, 128)]


def analyze(arguments, model, extents=""):
    """(algorithm, predicted, measured) of each pipeline, or None."""
    command = [arguments.compiler, "explain", str(model), "--analyze",
               f"--threads={arguments.threads}", f"--precision={arguments.precision}"]
    if extents:
        command += ["--extents", extents]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        return None
    # A pipeline with several readers is printed once with its figures.
    found = [(m[1], float(m[2]), float(m[3])) for m in map(LINE.search, done.stdout.splitlines()) if m]
    return [row for row in found if row[2] >= LEAST_MICROSECONDS]


def median_error(rows):
    return 100 * statistics.median(abs(predicted / measured - 1) for _, predicted, measured in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--zoo", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="f32")
    arguments = parser.parse_args()
    everything, zoo, failed = [], [], 0
    for model in sorted(arguments.zoo.glob("*/model.onnx")) if arguments.zoo else []:
        rows = analyze(arguments, model)
        failed += rows is None
        zoo += rows or []
    if zoo:
        print(f"zoo: {len(zoo)} pipelines, median error {median_error(zoo):.0f} %; {failed} models left out")
    everything += zoo
    with tempfile.TemporaryDirectory() as directory:
        for name, batch, length in SHAPES:
            path = pathlib.Path(directory, name + ".onnx")
            if not path.exists():
                subprocess.run([sys.executable, HERE / "make_bert.py", path, "--shape", name], check=True)
            rows = analyze(arguments, path, f"batch={batch},seq={length}")
            if not rows:
                raise SystemExit(f"predictions.py: {name} {batch}x{length} did not run")
            print(f"{name} {batch}x{length}: {len(rows)} pipelines, median error {median_error(rows):.0f} %")
            everything += rows
    for algorithm in sorted({row[0] for row in everything}):
        rows = [row for row in everything if row[0] == algorithm]
        print(f"{algorithm}: {len(rows)} pipelines, median error {median_error(rows):.0f} %")
    print(f"all: {len(everything)} pipelines, median error {median_error(everything):.0f} %")


if __name__ == "__main__":
    main()
