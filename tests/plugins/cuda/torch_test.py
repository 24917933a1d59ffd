"""PyTorch and Slipway in one process, whichever comes first: CUDA tensors go out and come back, in order with PyTorch's
own streams, with nothing preloaded. Skipped (77) where there is no PyTorch, or no device that it can use.

usage: torch_test.py --library libslipway.so --plugins FOLDER
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys

MEM_CUDA = 1 << 1
READ, WRITE = 1, 2
SKIP = 77


class Request(ctypes.Structure):
    _fields_ = [("op", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("local", ctypes.c_void_p),
                ("length", ctypes.c_uint64), ("segment", ctypes.c_void_p), ("offset", ctypes.c_uint64),
                ("reserved", ctypes.c_uint64)]


class Span(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("length", ctypes.c_uint64)]


class SubmitOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("priority", ctypes.c_uint32), ("timeout_ms", ctypes.c_uint64),
                ("on_complete", ctypes.c_void_p), ("user", ctypes.c_void_p), ("stream_kind", ctypes.c_uint64),
                ("stream", ctypes.c_void_p)]


class Engine:
    def __init__(self, library, plugins):
        self.c = ctypes.CDLL(library)
        text = json.dumps({"plugin_path": [plugins], "transports": [{"name": "local-memcpy", "required": True}],
                           "memory_providers": [{"name": "cuda", "required": True}]}).encode()
        self.handle = ctypes.c_void_p()
        self.must(self.c.slipway_engine_create_from_json(text, ctypes.c_size_t(len(text)), ctypes.byref(self.handle), None))

    def must(self, status):
        if status != 0:
            self.c.slipway_status_name.restype = ctypes.c_char_p
            raise RuntimeError(self.c.slipway_status_name(status).decode())

    def publish(self, tensor, name):
        span = Span(tensor.data_ptr(), tensor.numel() * tensor.element_size())
        self.must(self.c.slipway_segment_publish(self.handle, name.encode(), ctypes.byref(span), ctypes.c_size_t(1),
                                                 ctypes.c_uint32(12), None))
        segment = ctypes.c_void_p()
        self.must(self.c.slipway_segment_open(self.handle, b"/" + name.encode(), ctypes.c_uint64(10000),
                                              ctypes.byref(segment), None))
        return segment

    def run(self, op, tensor, segment, stream=None):
        request = Request(op, 0, tensor.data_ptr(), tensor.numel() * tensor.element_size(), segment, 0, 0)
        options = SubmitOptions(ctypes.sizeof(SubmitOptions), 0, 0, None, None, 0, None)
        if stream is not None:
            options.stream_kind, options.stream = MEM_CUDA, stream.cuda_stream
        batch = ctypes.c_void_p()
        self.must(self.c.slipway_submit(self.handle, ctypes.byref(request), ctypes.c_size_t(1), ctypes.byref(options),
                                        ctypes.byref(batch), None))
        self.must(self.c.slipway_batch_wait(batch, ctypes.c_uint64(60000)))
        self.must(self.c.slipway_batch_release(batch))

    def close(self, segment):
        self.c.slipway_segment_close(segment)
        self.c.slipway_engine_destroy(self.handle)


def move(torch, engine):
    device = torch.cuda.device_count() - 1
    torch.cuda.set_device(device)
    host = torch.zeros(1 << 22, dtype=torch.float32)
    segment = engine.publish(host, "host")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        x = torch.rand(1 << 22, device="cuda")
        big = torch.rand(4096, 4096, device="cuda")
        for _ in range(20):  # keeps the stream busy, so that a copy out of order would be seen
            big = big @ big
            big /= big.max()
        x = x + 1 + 0 * big.sum()
    engine.run(WRITE, x, segment, stream)
    assert torch.equal(host, x.cpu()), "what arrived is not what the stream made"
    host += 1
    y = torch.empty_like(x)
    engine.run(READ, y, segment, torch.cuda.current_stream())
    assert torch.equal(y.cpu(), host), "what came back is not what lay in the segment"
    assert torch.cuda.current_device() == device, "the current device is another"
    assert torch.allclose((y - 1), x), "PyTorch goes on"
    engine.close(segment)
    z = torch.rand(1024, 1024, device="cuda")
    assert torch.isfinite(z @ z).all(), "PyTorch goes on without the engine"


def child(order, library, plugins):
    if order == "torch-first":
        import torch
        torch.rand(8, device="cuda").sum().item()
        engine = Engine(library, plugins)
    else:
        engine = Engine(library, plugins)
        import torch
    move(torch, engine)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True)
    parser.add_argument("--plugins", required=True)
    parser.add_argument("--order", choices=("torch-first", "slipway-first"))
    arguments = parser.parse_args()
    if arguments.order:
        child(arguments.order, arguments.library, arguments.plugins)
        return 0
    probe = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"
    if subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode != 0:
        print("no PyTorch here, or no device that it can use")
        return SKIP
    if "LD_PRELOAD" in os.environ:
        print("something is preloaded, which is what must not be needed")
        return 1
    for order in ("torch-first", "slipway-first"):
        subprocess.run([sys.executable, __file__, "--order", order, "--library", arguments.library, "--plugins",
                        arguments.plugins], check=True, timeout=120)
        print(order, "ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
