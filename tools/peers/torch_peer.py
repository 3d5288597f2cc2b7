#!/usr/bin/python3
"""One work in PyTorch, timed: torch_peer.py NETWORK BATCH SIZE THREADS REPEAT f32|bf16   (tools/bench_peers runs it)"""
import contextlib
import json
import sys
import time
from pathlib import Path

import torch

import networks


def call_of(name, batch, size, dtype):
    if name == "demo":
        parts = [part.to(dtype) for part in networks.demo()]
        return lambda: networks.demo_picture(*parts, *networks.demo_inputs())
    network = networks.full_size(name).to(dtype)
    arguments = networks.inputs(name, batch, size // 8, size // 8)
    return lambda: network(*arguments)


def peak_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def main():
    name, batch, size, threads, repeat, dtype = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # Weights in bfloat16, and inputs as well: autocast turns what still comes in float32, as the time's embedding does.
    low = torch.autocast("cpu", dtype=torch.bfloat16) if dtype == "bf16" else contextlib.nullcontext()
    with torch.no_grad(), low:
        call = call_of(name, int(batch), int(size), torch.bfloat16 if dtype == "bf16" else torch.float32)
        call()
        seconds, cpu_begin = [], time.process_time()
        for _ in range(int(repeat)):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        cpu = (time.process_time() - cpu_begin) / len(seconds)
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
