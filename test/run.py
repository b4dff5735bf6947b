"""Runs lit and ctest over a build and ends with one line: N passed, N failed.

    run.py --build DIR [--fast] [--jobs N] [--filter REGEX]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
LIT = "/usr/lib/llvm-22/bin/lit"


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def count(self, tests, passed, skipped):
        for name, code in tests:
            if code in passed:
                self.passed += 1
            elif code in skipped:
                self.skipped += 1
            else:
                self.failed += 1

    def line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run_lit(tally, build, arguments):
    results = build / "test" / "lit.json"
    results.unlink(missing_ok=True)
    command = [
        sys.executable, LIT, "-v", "--order=smart", "-j", str(arguments.jobs),
        "-o", str(results), "--param", "suite=" + ("fast" if arguments.fast else "full"),
    ]
    if arguments.filter:
        command += ["--filter", arguments.filter]
    code = subprocess.run(command + [str(build / "test")], stdin=subprocess.DEVNULL).returncode
    tests = json.loads(results.read_text())["tests"] if results.exists() else []
    for test in sorted(tests, key=lambda t: -(t.get("elapsed") or 0))[:5]:
        print(f"{test['elapsed']:7.1f} s  {test['name']}")
    tally.count([(t["name"], t["code"]) for t in tests], {"PASS", "XFAIL", "FLAKYPASS"},
                {"UNSUPPORTED", "SKIPPED"})
    if code and not any(t["code"] not in ("PASS", "XFAIL", "UNSUPPORTED", "EXCLUDED") for t in tests):
        print(f"lit itself failed with code {code}")
        tally.failed += 1


def run_ctest(tally, build, arguments):
    results = build / "test" / "ctest.xml"
    results.unlink(missing_ok=True)
    command = [
        "ctest", "--test-dir", str(build), "--output-junit", str(results), "-j", str(arguments.jobs),
        "--timeout", "900", "--output-on-failure", "--quiet", "--no-tests=ignore",
    ]
    if arguments.fast:
        command += ["-LE", "slow"]
    if arguments.filter:
        command += ["-R", arguments.filter]
    code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    tests = xml.parse(results).getroot().iter("testcase") if results.exists() else ()
    statuses = []
    for test in tests:
        statuses.append((test.get("name"), test.get("status")))
        if test.get("status") == "fail":
            print(f"FAIL: {test.get('name')}")
            print(test.findtext("system-out") or "")
    tally.count(statuses, {"run"}, {"notrun", "disabled"})
    if code and not any(status == "fail" for _, status in statuses):
        print(f"ctest itself failed with code {code}")
        tally.failed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--fast", action="store_true", help="leave out what takes long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--filter", help="only tests whose name matches this expression")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    if not (build / "test").is_dir():
        parser.error(f"{build} holds no tests; run `make build` first")

    start = time.monotonic()
    tally = Tally()
    run_ctest(tally, build, arguments)
    if (build / "test" / "lit.site.cfg.py").exists():
        run_lit(tally, build, arguments)
    print(f"tests took {time.monotonic() - start:.0f} s")
    if tally.passed + tally.failed == 0:
        print("no test was found")
        tally.failed += 1
    print(tally.line(), flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
