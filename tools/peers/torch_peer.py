#!/usr/bin/python3
"""One work in PyTorch, timed: torch_peer.py NETWORK BATCH SIZE THREADS REPEAT f32|bf16 jit|plain   (tools/bench_peers runs it)

jit: traced, frozen and optimised for inference, which turns the convolutions' weights over once, before the first call.
REPEAT 0: a small case instead, compared with what the network computes in float32 as it is. Prints JSON.
"""
import ctypes
import functools
import gc
import json
import sys
import time
from pathlib import Path

import torch

import networks

WARM_UP = 2
full_size = functools.lru_cache(networks.full_size)


def form_of(network, arguments, dtype, form):
    """The network in a dtype and a form, ready for arguments like these."""
    if dtype == torch.bfloat16:
        network = network.to(dtype)
        if hasattr(network, "time_embedding"):  # the sinusoid is made in float32
            network.time_embedding.register_forward_pre_hook(lambda part, inputs: (inputs[0].to(dtype),))
    if form == "plain":
        return network
    return torch.jit.optimize_for_inference(torch.jit.trace(network, in_dtype(arguments, dtype), check_trace=False))


def in_dtype(arguments, dtype):
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in arguments)


def demo_call(dtype, form):
    text_encoder, unet, decoder = networks.demo()
    ids, noise = networks.demo_inputs()
    text = text_encoder(ids)
    both = torch.cat([noise, noise]), torch.tensor([500, 500]), torch.cat([text, text])
    parts = [form_of(part, arguments, dtype, form)
             for part, arguments in ((text_encoder, (ids,)), (unet, both), (decoder, (noise,)))]
    return lambda: networks.demo_picture(*parts, ids, noise.to(dtype))


def call_of(name, batch, height, width, dtype, form):
    if name == "demo":
        return demo_call(dtype, form)
    arguments = networks.inputs(name, batch, height, width)
    network = form_of(full_size(name), arguments, dtype, form)
    arguments = in_dtype(arguments, dtype)
    return lambda: network(*arguments)


def compared(name, dtype, form):
    """How far the small case is from the network as it is: {"most", "largest"}."""
    expected, found = (call_of(name, 1, 16, 24, *how)().float() for how in ((torch.float32, "plain"), (dtype, form)))
    return {"most": (found - expected).abs().max().item(), "largest": expected.abs().max().item()}


def peak_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def only_what_is_needed():
    """Gives back what making and tracing the network took, which is more than what its calls take; the peak counts anew."""
    full_size.cache_clear()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def timed(call, repeat):
    only_what_is_needed()
    for _ in range(WARM_UP):
        call()
    seconds, cpu_begin = [], time.process_time()
    for _ in range(repeat):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    cpu = (time.process_time() - cpu_begin) / repeat
    return {"seconds": seconds, "cpu_s": cpu, "peak_bytes": peak_bytes()}


def main():
    name, (batch, size, threads, repeat), form = sys.argv[1], map(int, sys.argv[2:6]), sys.argv[7]
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[sys.argv[6]]
    torch.set_num_threads(threads)
    with torch.no_grad():
        if repeat == 0:
            print(json.dumps(compared(name, dtype, form)))
        else:
            print(json.dumps(timed(call_of(name, batch, size // 8, size // 8, dtype, form), repeat)))


if __name__ == "__main__":
    main()
