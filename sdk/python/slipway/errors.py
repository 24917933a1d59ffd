"""Statuses as an enumeration, and failures as exceptions."""

import builtins
import enum

from slipway import _core

Status = enum.IntEnum("Status", _core.status_codes, module=__name__)
Status.__doc__ = "How a call, or one item of a batch, went. OK is 0, failures are below it."


class Error(Exception):
    """What failed, in words; `status` says it for programs."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status

    def __str__(self):
        return f"{self.args[0]} ({self.status.name})"


class NotFoundError(Error, KeyError):
    """The key has no value, the node no such segment, the engine no such region."""


class ExistsError(Error):
    """The key has a value already, and the call said that this is an error."""


class InvalidError(Error, ValueError):
    """Arguments or a configuration that cannot be meant; nothing has changed."""


class DeadlineError(Error, builtins.TimeoutError):
    """The deadline passed; no byte moves any more."""


class NoSpaceError(Error, MemoryError):
    """The store is full of what may not be evicted, or will never have that much room."""


class PeerError(Error, ConnectionError):
    """The other side cannot be reached, went away, or refuses to be talked to."""


_BY_NAME = {
    NotFoundError: "E_NOT_FOUND E_NO_SEGMENT E_NOT_DECLARED",
    ExistsError: "E_EXISTS E_SEGMENT_EXISTS",
    InvalidError: "E_INVALID E_RANGE E_SEGMENT_RANGE E_CONFIG E_CONFIG_SYNTAX E_CONFIG_TYPE E_CONFIG_KEY E_CONFIG_VALUE"
    " E_CONFIG_CONFLICT E_CONFIG_ENV E_PLUGIN_CONFIG E_NOT_TENSOR",
    DeadlineError: "E_DEADLINE E_TIMEOUT E_STAGING_EXHAUSTED",
    NoSpaceError: "E_NO_SPACE E_NOMEM E_TOO_LARGE",
    PeerError: "E_PEER E_UNREACHABLE E_UNAUTHENTICATED E_BAD_REPLY E_TLS E_ADDRESS E_STALE_REMOTE E_PROTOCOL",
}
_CLASSES = {name: kind for kind, names in _BY_NAME.items() for name in names.split()}


def raise_status(code, name, message):
    """Called by the compiled part."""
    try:
        status = Status(code)
    except ValueError:
        status = Status.E_INTERNAL
        message = f"{message} (status {code})"
    raise _CLASSES.get(name, Error)(status, message)
