"""Makes layers functions, and these one plan again; compares with the recorded
outputs what the algebra's definition gives.

    layers.py NAME...
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import harness

sys.path.insert(0, str(harness.TEST / "Import"))
import agree


def main():
    models = {m["name"]: m for m in json.loads((harness.ZOO / "index.json").read_text())}
    report = harness.Report("layers")
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            calls, plan = pathlib.Path(folder) / "calls.mlir", pathlib.Path(folder) / "plan.mlir"
            model = harness.ZOO / name / "model.onnx"
            code, text = harness.joinery("compile", model, "--compile-to=optimize", "--layers=functions")
            if not report.check(code == harness.DONE and "call @layer" in text, name, harness.first_lines(text)):
                continue
            calls.write_text(text)
            inlined = subprocess.run([harness.tool("joinery-opt"), "--rel-inline-layers", calls, "-o", plan])
            if not report.check(inlined.returncode == 0 and "call @" not in plan.read_text(), name, "not inlined"):
                continue
            worst = agree.check(harness.tool("joinery-import-test"), str(harness.ZOO), models[name], str(plan))
            report.check(worst <= agree.TOLERANCE, name, worst)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
