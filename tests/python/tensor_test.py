"""Tensors: every type, shape and layout, against NumPy, ml_dtypes and the safetensors package."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import slipway

TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
    "C64": np.complex64, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}  # fmt: skip
SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 4, 5)]


def make(dtype, shape):
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    raw = np.random.default_rng(count).integers(0, 2 if dtype == np.bool_ else 256, count * dtype.itemsize, np.uint8)
    return raw.view(dtype).reshape(shape)


def same(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_type_and_shape_comes_back(store, name, shape):
    array = make(TYPES[name], shape)
    assert store.put_tensor("t", array)
    tensor = store.get_tensor("t")
    assert tensor.dtype == name and tensor.shape == shape and tensor.nbytes == array.nbytes
    assert same(tensor.numpy(), array)
    assert same(store.get_tensor("t", copy=False).numpy(), array)
    target = np.zeros_like(array)
    store.get_tensor_into("t", target)
    assert same(target, array)


@pytest.mark.parametrize("name", TYPES)
def test_what_get_returns_is_a_safetensors_file(store, name):
    array = make(TYPES[name], (3, 4))
    store.put_tensor("t", array)
    file = store.get("t")
    (length,) = struct.unpack("<Q", file[:8])
    header = json.loads(file[8 : 8 + length])
    assert (8 + length) % 64 == 0 and file[8:9] == b"{"
    (tensor,) = [value for key, value in header.items() if key != "__metadata__"]
    assert tensor == {"dtype": name, "shape": [3, 4], "data_offsets": [0, array.nbytes]}
    assert file[8 + length :] == array.tobytes()
    # The package's own reader checks the rest of the format's rules.
    (entry,) = safetensors.deserialize(file)
    assert entry[1]["dtype"] == name and entry[1]["shape"] == [3, 4] and bytes(entry[1]["data"]) == array.tobytes()


def test_safetensors_reads_it_as_numpy(store):
    array = make(np.float32, (5, 6))
    store.put_tensor("t", array)
    (loaded,) = safetensors.numpy.load(store.get("t")).values()
    assert same(loaded, array)


def test_a_file_of_the_package_is_a_tensor(store):
    array = make(np.int16, (4, 9))
    store.put("t", safetensors.numpy.save({"weights": array}))
    assert same(store.get_tensor("t").numpy(), array)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2],
        lambda a: a[:, ::-1],
        lambda a: a[1:3, 2:5],
        lambda a: np.broadcast_to(a[0], (7, a.shape[1])),
        lambda a: a.reshape(2, 3, 8).transpose(2, 0, 1),
        lambda a: np.asfortranarray(a),
    ],
)
def test_any_layout_is_put_in_order(store, view):
    array = view(make(np.int32, (6, 8)))
    store.put_tensor("t", array)
    assert same(store.get_tensor("t").numpy(), np.ascontiguousarray(array))


def test_a_strided_target_is_filled(store):
    array = make(np.int32, (6, 8))
    store.put_tensor("t", array)
    target = np.zeros((8, 6), dtype=np.int32).T
    store.get_tensor_into("t", target)
    assert same(np.ascontiguousarray(target), array)


def test_a_target_that_does_not_fit_is_refused(store):
    store.put_tensor("t", make(np.int32, (6, 8)))
    for target in (np.zeros((8, 6), np.int32), np.zeros((6, 8), np.float32), np.zeros(48, np.int32)):
        with pytest.raises(ValueError) as raised:
            store.get_tensor_into("t", target)
        assert raised.value.status is slipway.Status.E_NOT_TENSOR and not target.any()


def test_bytes_are_no_tensor(store):
    store.put("key", b"not a tensor at all")
    with pytest.raises(slipway.Error) as raised:
        store.get_tensor("key")
    assert raised.value.status is slipway.Status.E_NOT_TENSOR


def test_dlpack_both_ways(store):
    array = make(np.float64, (3, 4))
    store.put_tensor("t", array)
    tensor = store.get_tensor("t")
    assert tensor.__dlpack_device__() == (1, 0)
    imported = np.from_dlpack(tensor)
    assert same(imported, array) and np.shares_memory(imported, tensor.numpy())
    assert store.put_tensor("again", tensor) and store.get("again") == store.get("t")


def test_a_capsule_that_nobody_takes_is_freed(store):
    store.put_tensor("t", make(np.float64, (3, 4)))
    tensor = store.get_tensor("t")
    for version in (None, (1, 0)):
        for _ in range(100):
            tensor.__dlpack__(max_version=version)
    with pytest.raises(BufferError, match="read-only"):
        store.get_tensor("t", copy=False).__dlpack__()


def test_batches_of_tensors(store):
    arrays = [make(np.float32, (n, 3)) for n in range(4)]
    keys = [f"t{n}" for n in range(4)]
    assert store.batch_put_tensor(keys, arrays) == [slipway.Status.OK] * 4
    assert store.batch_upsert_tensor(keys[:2], arrays[2:]) == [slipway.Status.OK] * 2
    got = store.batch_get_tensor([*keys, "none"])
    assert got[4] is None
    for tensor, array in zip(got[:4], [arrays[2], arrays[3], arrays[2], arrays[3]], strict=True):
        assert same(tensor.numpy(), array)


def test_arrays_outlive_the_store():
    with slipway.Store(__import__("conftest").store_config()) as store:
        store.put_tensor("t", np.arange(1000))
        array = store.get_tensor("t", copy=False).numpy()
    assert (array == np.arange(1000)).all() and not array.flags.writeable
