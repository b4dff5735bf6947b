"""Slices that take turns, each between two peak probes, and what they say.

A shared machine's speed changes for seconds at a time, so a figure counts only
beside the machine's own speed at that moment: slices whose probes disagree, or
beside which other programs ran, are dropped, and the rest scaled by their probes.
"""

import contextlib
import dataclasses
import json
import os
import select
import signal
import statistics
import subprocess
import time

import numpy as np

PROBE_MICROSECONDS = 4000
PAUSE = 0.25
# A pause is repeated, so many times in all, while other programs keep the machine busy.
MOST_PAUSES = 8
STEADY = 0.15
# What other programs may use of a CPU, and how finely the kernel counts it.
FOREIGN, FOREIGN_TICKS = 0.1, 0.05
# Rounds are added, up to so many times those asked for, while a peer has too
# few steady slices.
MOST_ROUNDS = 3


class Failed(Exception):
    """A peer that cannot go on; the text says why."""


class Worker:
    """A peer's process. It is stopped except when asked something, so that its
    threads cannot spin on beneath a probe or another peer's slice."""

    def __init__(self, command, log, env=None, timeout=900):
        self.log, self.timeout, self.rest = log, timeout, b""
        begin = time.perf_counter()
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env,
                start_new_session=True)
        try:
            self.start = self.read()
            self.start["process_s"] = time.perf_counter() - begin
            self.stop()
        except BaseException:
            self.close()
            raise

    def ask(self, **command):
        self.signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.read()
        self.stop()
        return answer

    def read(self):
        end = time.monotonic() + self.timeout
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Failed(f"no answer in {self.timeout:.0f} s")
            some = os.read(self.process.stdout.fileno(), 1 << 16)
            if not some:
                raise Failed(reason(self.log, self.process.wait()))
            self.rest += some
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self):
        """Returns when every thread has stopped."""
        self.signal(signal.SIGSTOP)
        # WNOWAIT leaves an exit to be collected by Popen.
        state = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if state.si_code != os.CLD_STOPPED:
            raise Failed(reason(self.log, self.process.wait()))
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def close(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def reason(log, code):
    lines = [line.strip() for line in open(log, errors="replace") if line.strip()]
    return lines[-1][:300] if lines else f"stopped with code {code}"


class Probe:
    """The speed that the machine reaches just now on registers alone."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def gflops(self, threads):
        self.process.stdin.write(f"{threads} {PROBE_MICROSECONDS}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def busy_seconds():
    """CPU time that was spent since boot on all CPUs."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def pause():
    """Waits, longer while another program uses the machine: every worker is stopped."""
    for _ in range(MOST_PAUSES):
        busy = busy_seconds()
        time.sleep(PAUSE)
        if busy_seconds() - busy <= max(FOREIGN * PAUSE, FOREIGN_TICKS):
            return


@dataclasses.dataclass
class Slice:
    times: list
    before: float
    after: float
    wall: float = 0
    foreign: float = 0  # CPU time that other programs used meanwhile

    def steady(self):
        return (abs(self.before - self.after) <= STEADY * max(self.before, self.after)
                and self.foreign <= max(FOREIGN * self.wall, FOREIGN_TICKS))

    def scaled(self, peak):
        """The slice's median, as if the machine had been at its peak."""
        return statistics.median(self.times) * (self.before + self.after) / 2 / peak

    def summary(self):
        return {"before_gflops": self.before, "after_gflops": self.after, "runs": len(self.times),
                "median_s": statistics.median(self.times), "wall_s": self.wall, "foreign_s": self.foreign,
                "steady": self.steady()}


def take(worker, probe, threads, seconds):
    pause()
    before = probe.gflops(threads)
    start, busy = time.perf_counter(), busy_seconds()
    answer = worker.ask(slice=seconds)
    wall, foreign = time.perf_counter() - start, busy_seconds() - busy - answer["cpu_s"]
    return Slice(answer["times"], before, probe.gflops(threads), wall, max(0.0, foreign))


def measure(workers, probe, threads, rounds, seconds):
    """({peer: slices}, {peer: why it stopped}); the first round only warms up."""
    slices, failed = {name: [] for name in workers}, {}
    enough = max(1, (rounds + 1) // 2)
    for turn in range(MOST_ROUNDS * rounds + 1):
        # The order turns too, so that no peer always follows the same other.
        names = list(workers)
        names = names[turn % len(names):] + names[:turn % len(names)]
        if turn > rounds:
            names = [name for name in names if sum(s.steady() for s in slices[name]) < enough]
        names = [name for name in names if name not in failed]
        if not names:
            break
        for name in names:
            try:
                taken = take(workers[name], probe, threads, seconds)
            except (Failed, OSError) as problem:
                failed[name] = str(problem)
                continue
            if turn:
                slices[name].append(taken)
    return slices, failed


def summarise(slices, peak):
    """A peer's figures; without a steady slice there is no scaled one."""
    scaled = [s.scaled(peak) for s in slices if s.steady()]
    times = [t for s in slices for t in s.times]
    middle = statistics.median(scaled) if scaled else None
    return {
        "best_s": min(times), "median_s": statistics.median(times),
        "p95_s": float(np.percentile(times, 95)), "p99_s": float(np.percentile(times, 99)),
        "scaled_median_s": middle,
        "spread": float(np.subtract(*np.percentile(scaled, [75, 25]))) / middle if scaled else None,
        "slices": len(slices), "dropped": len(slices) - len(scaled), "warmup": 1, "runs": len(times),
        "samples": [s.summary() for s in slices],
    }
