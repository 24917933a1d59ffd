"""Stores and engines for tests, gone when a test ends."""

import pytest

import slipway

LOCAL = {"transports": [{"name": "local-memcpy"}], "control": {"listen": ""}}


def store_config(bytes="64MiB", **more):
    return {**LOCAL, "store": {"segments": [{"name": "main", "bytes": bytes}], **more}}


@pytest.fixture
def store():
    with slipway.Store(store_config()) as opened:
        yield opened


@pytest.fixture
def engine():
    with slipway.Engine(LOCAL) as opened:
        yield opened
