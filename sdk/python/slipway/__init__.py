"""Slipway: moves bytes between memories, over whatever connects them, and stores them under keys.

    with slipway.Store({"transports": [{"name": "local-memcpy"}],
                        "store": {"segments": [{"name": "main", "bytes": "1GiB"}]}}) as store:
        store.put_tensor("layer.0", tensor)
        tensor = numpy.from_dlpack(store.get_tensor("layer.0"))
"""

from slipway._core import Batch, Engine, Request, Segment, Store, Tensor, View
from slipway._core import version as __version__
from slipway.errors import (
    DeadlineError,
    Error,
    ExistsError,
    InvalidError,
    NoSpaceError,
    NotFoundError,
    PeerError,
    Status,
)

__all__ = [
    "Batch",
    "DeadlineError",
    "Engine",
    "Error",
    "ExistsError",
    "InvalidError",
    "NoSpaceError",
    "NotFoundError",
    "PeerError",
    "Request",
    "Segment",
    "Status",
    "Store",
    "Tensor",
    "View",
    "__version__",
]
