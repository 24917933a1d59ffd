"""PyTorch's CUDA tensors in and out of the store, in one process, whichever of the two is there first, with nothing
preloaded. Skipped where PyTorch or a device that it can use is missing.
"""

import json
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from conftest import LOCAL, store_config

HERE = pathlib.Path(__file__).resolve().parent
MEGABYTE = 1 << 20


def with_cuda(config, **memory):
    return {**config, "memory_providers": [{"name": "cuda", "required": True}], "memory": memory}


def cuda_config(**memory):
    return with_cuda(store_config("256MiB"), **memory)


def exchange(torch, store):
    """What goes out of a device comes back to it, and PyTorch is as it was."""
    device = torch.cuda.device_count() - 1
    torch.cuda.set_device(device)
    sent = torch.rand(4 * MEGABYTE, device="cuda")
    assert store.put_tensor("t", sent)
    back = torch.zeros_like(sent)
    store.get_tensor_into("t", back)
    assert torch.equal(back, sent)
    assert torch.equal(torch.from_dlpack(store.get_tensor("t")), sent.cpu())
    assert torch.cuda.current_device() == device
    product = sent.view(2048, 2048) @ sent.view(2048, 2048)
    assert torch.isfinite(product).all()


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no device that PyTorch can use")
    return torch


@pytest.fixture(params=["on-demand", "off", "whole-region"])
def store(request):
    import slipway

    with slipway.Store(cuda_config(pin_policy=request.param)) as opened:
        yield opened


ORDERS = {
    "pytorch_first": "import torch; torch.rand(8, device='cuda').sum().item(); import slipway;"
    " store = slipway.Store(config)",
    "slipway_first": "import slipway; import torch; store = slipway.Store(config)",
    "a_store_before_pytorch": "import slipway; store = slipway.Store(config); import torch",
}


@pytest.mark.parametrize("order", ORDERS)
def test_whichever_is_imported_first(torch, order):
    assert "LD_PRELOAD" not in os.environ, "something is preloaded, which is what must not be needed"
    code = (
        f"import json; config = json.loads({json.dumps(json.dumps(cuda_config()))}); {ORDERS[order]};"
        " import torch_cuda_test; torch_cuda_test.exchange(torch, store); store.close()"
    )
    path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-B", "-c", code], check=True, timeout=300, env={**os.environ, "PYTHONPATH": path})


def test_out_and_back(torch, store):
    exchange(torch, store)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float8_e4m3fn", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (129, 257), (2, 3, 4, 5)])
def test_types_and_shapes(torch, store, name, shape):
    sent = torch.randint(0, 2, shape, device="cuda").to(getattr(torch, name))
    store.put_tensor("t", sent)
    tensor = store.get_tensor("t")
    assert tensor.shape == shape and tensor.nbytes == sent.numel() * sent.element_size()
    back = torch.empty_like(sent)
    store.get_tensor_into("t", back)
    assert torch.equal(back.view(torch.uint8), sent.view(torch.uint8))


def test_parts_of_a_tensor_at_odd_places(torch, store):
    whole = torch.randint(0, 256, (3 * MEGABYTE,), dtype=torch.uint8, device="cuda")
    for first, count in [(0, 1), (1, 63), (17, 4097), (4095, 70_001), (5, 2 * MEGABYTE + 3)]:
        key = f"{first}+{count}"
        store.put_tensor(key, whole[first : first + count])
        target = torch.zeros_like(whole)
        store.get_tensor_into(key, target[first : first + count])
        assert torch.equal(target[first : first + count], whole[first : first + count])
        assert int(target[:first].sum()) == 0 and int(target[first + count :].sum()) == 0


def test_addresses_of_a_device(torch, store):
    sent = torch.rand(MEGABYTE, device="cuda")
    torch.cuda.synchronize()
    nbytes = sent.numel() * sent.element_size()
    assert store.put_from("a", sent.data_ptr(), nbytes)
    back = torch.zeros_like(sent)
    torch.cuda.synchronize()
    assert store.get_into("a", back.data_ptr(), nbytes) == nbytes
    assert torch.equal(back, sent)


def test_copies_come_after_the_stream_that_makes_the_tensor(torch, store):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        big = torch.rand(4096, 4096, device="cuda")
        sent = torch.zeros(4 * MEGABYTE, device="cuda")
        for _ in range(20):  # keeps the stream busy, so that a copy out of order would be seen
            big = big @ big
            big /= big.max()
        sent += 1 + 0 * big.sum()
        store.put_tensor("t", sent)
    assert float(torch.from_dlpack(store.get_tensor("t")).min()) == 1


def test_written_again_and_again_it_is_the_last_that_is_read(torch, store):
    back = torch.zeros(4 * MEGABYTE, device="cuda")
    for i in range(12):
        sent = torch.full_like(back, i)
        store.upsert_tensor("t", sent)
        store.get_tensor_into("t", back)
        assert torch.equal(back, sent)


@pytest.mark.parametrize("policy", ["on-demand", "off", "whole-region"])
def test_devices_write_to_one_segment_at_once(torch, policy):
    import slipway

    devices = torch.cuda.device_count()
    if devices < 2:
        pytest.skip("one device alone")
    part = 16 * MEGABYTE
    box = np.zeros(devices * part, dtype=np.uint8)
    torch.cuda.set_device(0)
    sent = [torch.randint(0, 256, (part,), dtype=torch.uint8, device=d) for d in range(devices)]
    back = [torch.zeros_like(tensor) for tensor in sent]
    torch.cuda.synchronize()
    wrong = []

    def write(segment, d):
        torch.cuda.set_device(d)  # PyTorch lends a tensor to others on its own device alone
        for _ in range(5):
            engine.write(segment, d * part, sent[d])
            engine.read(segment, d * part, back[d])
        if torch.cuda.current_device() != d:
            wrong.append(f"the thread of device {d} is on another now")

    with slipway.Engine(with_cuda(LOCAL, pin_policy=policy)) as engine:
        engine.publish("box", box)
        with engine.open("/box") as segment:
            threads = [threading.Thread(target=write, args=(segment, d)) for d in range(devices)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        engine.withdraw("box")
    assert not wrong
    assert torch.cuda.current_device() == 0
    for d in range(devices):
        assert torch.equal(back[d], sent[d])
        assert np.array_equal(box[d * part : (d + 1) * part], sent[d].cpu().numpy())
        with torch.cuda.device(d):
            assert torch.equal(torch.ones(8, device=d) * 2, torch.full((8,), 2.0, device=d)), "PyTorch goes on"
