"""The store from Python: bytes under keys."""

import ctypes
import gc

import numpy as np
import pytest

import slipway
from conftest import store_config
from slipway import Status


def address(array):
    return array.ctypes.data


def test_a_value_comes_back(store):
    assert store.put("greeting", b"hello")
    assert store.get("greeting") == b"hello"
    assert "greeting" in store and store.size("greeting") == 5
    assert store.list("gr") == ["greeting"]


def test_a_key_keeps_its_value_until_it_is_upserted(store):
    assert store.put("key", b"first")
    assert not store.put("key", b"second")
    assert store.get("key") == b"first"
    with pytest.raises(slipway.ExistsError):
        store.put("key", b"second", if_exists="error")
    assert store.upsert("key", b"third, and longer")
    assert store.get("key") == b"third, and longer"


def test_what_is_not_there(store):
    with pytest.raises(KeyError) as raised:
        store.get("nothing")
    assert raised.value.status is Status.E_NOT_FOUND
    with pytest.raises(slipway.NotFoundError):
        store.remove("nothing")
    assert "nothing" not in store and store.get_batch(["nothing"]) == [None]


def test_an_empty_value_is_a_value(store):
    store.put("empty", b"")
    assert store.get("empty") == b"" and "empty" in store and store.size("empty") == 0
    store.put_parts("no parts", [])
    assert store.get("no parts") == b""
    assert store.put_from("null", 0, 0) and store.get("null") == b""


def test_parts_follow_one_another(store):
    store.put_parts("joined", [b"ab", bytearray(b"cd"), np.frombuffer(b"ef", dtype=np.uint8)])
    assert store.get("joined") == b"abcdef"
    store.upsert_parts("joined", [memoryview(b"xyz")])
    assert store.get("joined") == b"xyz"


def test_a_batch_gives_a_status_a_key(store):
    store.put("b", b"old")
    assert store.put_batch(["a", "b", "c"], [b"1", b"2", b"3"]) == [Status.OK, Status.EXISTS, Status.OK]
    assert store.get_batch(["a", "b", "x", "c"]) == [b"1", b"old", None, b"3"]
    assert store.upsert_batch(["a", "b"], [b"4", b"5"]) == [Status.OK, Status.OK]
    assert store.get_batch(["a", "b"]) == [b"4", b"5"]


def test_from_and_to_addresses(store):
    source = np.arange(1000, dtype=np.uint8)
    assert store.put_from("key", address(source), source.nbytes)
    target = np.zeros(1000, dtype=np.uint8)
    assert store.get_into("key", address(target), target.nbytes) == 1000
    assert (target == source).all()
    assert store.batch_put_from(["k1", "k2"], [address(source)] * 2, [10, 20]) == [Status.OK] * 2
    statuses, lengths = store.batch_get_into(["k1", "k2", "k3"], [address(target)] * 3, [1000] * 3)
    assert statuses == [Status.OK, Status.OK, Status.E_NOT_FOUND] and lengths[:2] == [10, 20]
    assert store.batch_upsert_from(["k1"], [address(source)], [30]) == [Status.OK]
    assert store.size("k1") == 30


def test_many_buffers_make_one_value(store):
    source = np.arange(100, dtype=np.uint8)
    base = address(source)
    statuses = store.batch_put_from_multi_buffers(["a", "b"], [[base, base + 50], [base + 90]], [[10, 5], [10]])
    assert statuses == [Status.OK] * 2
    assert store.get("a") == bytes(range(10)) + bytes(range(50, 55)) and store.get("b") == bytes(range(90, 100))
    target = np.zeros(100, dtype=np.uint8)
    base = address(target)
    statuses, lengths = store.batch_get_into_multi_buffers(["a"], [[base, base + 20]], [[8, 7]])
    assert statuses == [Status.OK] and lengths == [15]
    assert bytes(target[:8]) + bytes(target[20:27]) == store.get("a")


def test_upserts_from_addresses_take_any_size(store):
    source = np.arange(100, dtype=np.uint8)
    base = address(source)
    for size in (10, 0, 100, 1):
        assert store.upsert_from("key", base, size)
        assert store.get("key") == bytes(range(size))
        statuses = store.batch_upsert_from_multi_buffers(["key", "two"], [[base], [base, base + 50]], [[size], [size, 3]])
        assert statuses == [Status.OK] * 2
        assert store.get_batch(["key", "two"]) == [bytes(range(size)), bytes(range(size)) + bytes((50, 51, 52))]
    assert store.list() == ["key", "two"]


def test_a_value_of_another_size_is_kept(store):
    source = np.arange(100, dtype=np.uint8)
    base = address(source)
    store.put("key", b"old")
    assert not store.put_parts("key", [b"longer than that"]) and not store.put_from("key", base, 100)
    assert store.batch_put_from(["key", "new"], [base, base], [1, 2]) == [Status.EXISTS, Status.OK]
    assert store.batch_put_from_multi_buffers(["key"], [[base, base]], [[1, 2]]) == [Status.EXISTS]
    assert not store.put_tensor("key", source)
    assert store.get("key") == b"old" and store.get("new") == b"\0\1"


def test_nothing_at_all_is_found_and_read_back(store):
    source = np.arange(2, dtype=np.uint8)
    base = address(source)
    for put in (store.batch_put_from, store.batch_upsert_from):
        assert put(["a", "b"], [0, base], [0, 0]) == [Status.OK] * 2
        assert store.get_batch(["a", "b"]) == [b"", b""] and store.list() == ["a", "b"]
        assert store.batch_get_into(["a", "b"], [0, base], [0, 2]) == ([Status.OK] * 2, [0, 0])
        store.remove_all()
    for put in (store.batch_put_from_multi_buffers, store.batch_upsert_from_multi_buffers):
        assert put(["a", "b", "c"], [[], [0, 0], [0, base]], [[], [0, 0], [0, 1]]) == [Status.OK] * 3
        assert store.get_batch(["a", "b", "c"]) == [b"", b"", b"\0"]
        store.remove_all()
    assert store.put_batch(["a", "b"], [b"", b"x"]) == [Status.OK] * 2
    assert store.upsert_batch(["a", "b"], [b"y", b""]) == [Status.OK] * 2
    assert store.get_batch(["a", "b"]) == [b"y", b""]


def test_ranges_of_a_value(store):
    store.put("key", bytes(range(100)))
    target = np.zeros(10, dtype=np.uint8)
    store.get_into_ranges("key", [address(target), address(target) + 5], [5, 5], [90, 10])
    assert bytes(target) == bytes(range(90, 95)) + bytes(range(10, 15))
    with pytest.raises(slipway.InvalidError):
        store.get_into_ranges("key", [address(target)], [10], [95])


def test_too_small_a_buffer_says_what_is_needed(store):
    store.put("key", b"x" * 100)
    target = np.zeros(99, dtype=np.uint8)
    with pytest.raises(slipway.Error, match="100") as raised:
        store.get_into("key", address(target), 99)
    assert raised.value.status is Status.E_BUFFER_TOO_SMALL and not target.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.put_from("key", 0, 10),
        lambda store: store.put_from("key", 4096, 2**64 - 1),
        lambda store: store.put("", b"x"),
        lambda store: store.put("k" * 5000, b"x"),
        lambda store: store.put_batch(["key", "key"], [b"a", b"b"]),
        lambda store: store.put_batch(["key"], [b"a", b"b"]),
        lambda store: store.batch_put_from(["key"], [1, 2], [1]),
        lambda store: store.batch_put_from_multi_buffers(["key"], [[1, 2]], [[1]]),
        lambda store: store.batch_upsert_from(["key"], [1], [1, 2]),
        lambda store: store.batch_upsert_from_multi_buffers(["key", "other"], [[1]], [[1]]),
        lambda store: store.batch_upsert_from_multi_buffers(["key"], [[0]], [[1]]),
        lambda store: store.batch_put_from_multi_buffers(["key"], [[4096, 4096]], [[2**63, 2**63]]),
        lambda store: store.batch_put_from(["key"], [4096], [2**64 - 4096]),
        lambda store: store.batch_put_from(["key"], [0], [1]),
        lambda store: store.upsert_from("key", 0, 1),
        lambda store: store.upsert_batch(["key", "key"], [b"a", b"b"]),
        lambda store: store.batch_upsert_from(["key", "key"], [4096, 4096], [0, 0]),
        lambda store: store.upsert_batch(["key"], []),
        lambda store: store.put("key", b"x", keep="for ever"),
        lambda store: store.put("key", np.zeros((4, 4))[:, 1]),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(store, call):
    with pytest.raises(ValueError):
        call(store)
    assert store.list() == []


def test_negative_and_overflowing_sizes_are_refused(store):
    for size in (-1, 2**64):
        with pytest.raises(TypeError):
            store.put_from("key", 4096, size)
    with pytest.raises(TypeError):
        store.put("key", b"x", unheard_of=1)
    assert store.list() == []


def test_a_full_store_evicts_or_says_so():
    with slipway.Store(store_config(bytes="8MiB")) as store:
        for number in range(40):
            assert store.put(f"evictable {number}", bytes(1 << 20))
        assert 0 < len(store.list()) <= 8
        with pytest.raises(MemoryError) as raised:
            store.put("too large", bytes(9 << 20))
        assert raised.value.status is Status.E_TOO_LARGE
        store.remove_all()
        pinned = 0
        with pytest.raises(slipway.NoSpaceError):
            while store.put(f"pinned {pinned}", bytes(1 << 20), keep="pinned"):
                pinned += 1
        assert pinned >= 6 and len(store.list("pinned")) == pinned
        store.remove("pinned 0")
        array = np.zeros(2 << 20, dtype=np.uint8)
        base = address(array)
        statuses = store.batch_upsert_from(["fits", "does not", "cannot"], [base] * 3, [1000, 2 << 20, 9 << 20])
        assert statuses == [Status.OK, Status.E_NO_SPACE, Status.E_TOO_LARGE]
        assert "fits" in store and store.get_batch(["does not", "cannot"]) == [None, None]


def test_a_view_stays_as_it_is(store):
    store.put("key", b"old" * 1000)
    view = store.get_buffer("key")
    assert not view.is_copy and memoryview(view).readonly
    store.upsert("key", b"new")
    store.remove("key")
    assert bytes(view) == b"old" * 1000
    view.release()
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_an_array_over_a_view_keeps_it(store):
    store.put("key", bytes(range(256)))
    array = np.frombuffer(store.get_buffer("key"), dtype=np.uint8)
    store.remove("key")
    gc.collect()
    assert bytes(array) == bytes(range(256))


def test_keys_are_text_or_bytes(store):
    store.put("schlüssel", b"1")
    assert store.get("schlüssel".encode()) == b"1"
    with pytest.raises(TypeError):
        store.put(7, b"1")


def test_stat_and_remove_all(store):
    store.put("a/1", b"x", keep="pinned", checksum=True)
    store.put("a/2", b"xy")
    store.put("b", b"xyz")
    stat = store.stat("a/1")
    assert stat["size"] == 1 and stat["keep"] == "pinned" and stat["checksum"]
    assert store.remove_all("a/") == 2 and store.list() == ["b"]


def test_buffers_are_registered_and_taken_back(store):
    array = np.zeros(1 << 16, dtype=np.uint8)
    store.register_buffer(address(array), array.nbytes)
    store.put_from("key", address(array), array.nbytes)
    store.unregister_buffer(address(array), array.nbytes)
    with pytest.raises(slipway.Error):
        store.unregister_buffer(address(array), array.nbytes)


def test_segments_come_and_go(store, tmp_path):
    store.mount_segment("second", size=4 << 20)
    with pytest.raises(slipway.ExistsError):
        store.mount_segment("second", size=4 << 20)
    store.put("key", b"there", preferred_segments=["second"])
    view = store.get_buffer("key")
    with pytest.raises(slipway.Error) as raised:
        store.unmount_segment("second", timeout=0)
    assert raised.value.status is Status.E_REGION_BUSY
    view.release()
    store.unmount_segment("second")
    assert "key" not in store
    store.mount_segment("file", size=4 << 20, file=str(tmp_path / "segment"))
    assert store.put("key", b"in a file", preferred_segments=["file"]) and store.get("key") == b"in a file"
    store.unmount_segment("file")
    store.mount_segment("shared", size=4 << 20, transport="local-memcpy")
    assert store.put("shared", b"of the transport", preferred_segments=["shared"])
    assert store.get("shared") == b"of the transport"
    store.unmount_segment("shared")
    with pytest.raises(slipway.Error) as raised:
        store.mount_segment("none", size=4 << 20, transport="tcp")
    assert raised.value.status is Status.E_UNSUPPORTED


def test_a_store_over_an_engine_and_a_closed_one(engine):
    with pytest.raises(TypeError):
        slipway.Store({}, engine=engine)
    store = slipway.Store(store_config())
    store.put("key", b"x")
    view = store.get_buffer("key")
    store.close()
    with pytest.raises(slipway.Error) as raised:
        store.get("key")
    assert raised.value.status is Status.E_CLOSED
    assert bytes(view) == b"x"


def test_ctypes_and_plain_integers(store):
    text = ctypes.create_string_buffer(b"abc", 3)
    assert store.put("key", text) and store.get("key") == b"abc"
