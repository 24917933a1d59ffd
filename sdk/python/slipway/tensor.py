"""Tensors as NumPy arrays and memoryviews. NumPy is imported when it is asked for, not before."""

import ctypes

from slipway import _core


def memory_of(owner, address, length):
    """A memoryview of [address, address + length), which keeps `owner`."""
    run = (ctypes.c_ubyte * length).from_address(address) if length else (ctypes.c_ubyte * 0)()
    run.owner = owner
    view = memoryview(run).cast("B")
    return view.toreadonly() if owner.read_only else view


def to_numpy(tensor):
    """The same memory as an array."""
    import numpy

    name = _core.numpy_names[tensor.dtype]
    try:
        dtype = numpy.dtype(name)
    except TypeError:  # NumPy itself has no such type
        import ml_dtypes

        dtype = numpy.dtype(getattr(ml_dtypes, name))
    return numpy.frombuffer(tensor.data, dtype=numpy.uint8).view(dtype).reshape(tensor.shape)


def to_array(tensor, dtype, copy):
    """As NumPy's asarray asks for it."""
    array = to_numpy(tensor)
    if dtype is not None and dtype != array.dtype:
        if copy is False:
            raise ValueError("another dtype needs a copy")
        return array.astype(dtype)
    return array.copy() if copy else array
