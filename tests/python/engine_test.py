"""The engine from Python: memory in place, statuses as exceptions, nothing left of what was closed."""

import gc
import threading
import weakref

import numpy as np
import pytest

import slipway


def test_bytes_go_to_a_segment_and_back(engine):
    box = bytearray(1 << 20)
    engine.publish("box", box)
    with engine.open("/box") as segment:
        assert len(segment) == len(box)
        engine.write(segment, 7, b"hello")
        assert box[7:12] == b"hello"
        note = bytearray(5)
        engine.read(segment, 7, note)
        assert note == b"hello"
    engine.withdraw("box")


def test_a_batch_tells_how_each_request_went(engine):
    box = bytearray(100)
    engine.publish("box", box)
    segment = engine.open("/box")
    batch = engine.submit([segment.write(0, b"ab"), segment.write(50, np.arange(3, dtype=np.uint16))])
    assert batch.wait() and batch.done and len(batch) == 2
    assert batch.result(1)["bytes"] == 6 and batch.result(1)["transport"] == "local-memcpy"
    assert box[50:56] == np.arange(3, dtype=np.uint16).tobytes()


def test_a_request_outside_the_segment_is_named(engine):
    engine.publish("box", bytearray(10))
    segment = engine.open("/box")
    with pytest.raises(slipway.InvalidError, match="segment") as raised:
        engine.write(segment, 8, b"abc")
    assert raised.value.status == slipway.Status.E_SEGMENT_RANGE
    assert isinstance(raised.value, ValueError)


def test_what_does_not_exist_is_not_found(engine):
    with pytest.raises(slipway.NotFoundError) as raised:
        engine.open("/nothing")
    assert raised.value.status is slipway.Status.E_NO_SEGMENT


def test_a_bad_configuration_says_where():
    with pytest.raises(slipway.InvalidError, match="transprots"):
        slipway.Engine({"transprots": []})


def test_memory_that_cannot_be_used_is_refused(engine):
    engine.publish("box", bytearray(100))
    segment = engine.open("/box")
    with pytest.raises(ValueError, match="read-only"):
        engine.read(segment, 0, b"constant")
    with pytest.raises(ValueError, match="contiguous"):
        engine.write(segment, 0, np.arange(20)[::2])
    with pytest.raises(ValueError, match="elements of type"):
        engine.write(segment, 0, np.zeros(2, dtype=">i4"))
    with pytest.raises(TypeError, match="buffer protocol"):
        engine.write(segment, 0, 42)


def test_published_memory_stays_while_it_is_published(engine):
    array = np.zeros(1000, dtype=np.uint8)
    gone = weakref.ref(array)
    engine.publish("box", array)
    del array
    gc.collect()
    assert gone() is not None
    engine.withdraw("box")
    gc.collect()
    assert gone() is None


def test_a_batch_keeps_its_memory():
    with slipway.Engine() as engine:
        engine.publish("box", bytearray(8 << 20))
        segment = engine.open("/box")
        source = np.ones(8 << 20, dtype=np.uint8)
        gone = weakref.ref(source)
        batch = engine.submit([segment.write(0, source)])
        del source
        gc.collect()
        assert gone() is not None
        batch.wait()
        del batch
        gc.collect()
        assert gone() is None


def test_a_closed_engine_says_so(engine):
    engine.publish("box", bytearray(10))
    segment = engine.open("/box")
    engine.close()
    for call in (engine.describe, lambda: engine.write(segment, 0, b"x"), lambda: engine.open("/box")):
        with pytest.raises(slipway.Error) as raised:
            call()
        assert raised.value.status == slipway.Status.E_CLOSED


def test_threads_transfer_at_once(engine):
    box = np.zeros((8, 1 << 16), dtype=np.uint8)
    engine.publish("box", box)
    segment = engine.open("/box")

    def fill(number):
        for _ in range(20):
            engine.write(segment, number << 16, np.full(1 << 16, number, dtype=np.uint8))

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (box == np.arange(8, dtype=np.uint8)[:, None]).all()
