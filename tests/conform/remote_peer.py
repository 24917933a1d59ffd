"""Peers of slipway-conform on another host, for the profile's "peer_command".

    remote_peer.py serve ADDRESS PORT CONFORM     there: starts a peer for every connection; says "ready PORT"
    remote_peer.py connect ADDRESS PORT           here: descriptor 3 is the runner's socket, and goes to a peer there

When the side here is killed, its connection ends, and with it the peer.
"""
import os
import selectors
import signal
import socket
import sys

RUNNER_FD = 3


def serve(address, port, conform):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server((address, port)) as server:
        print("ready", server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if os.fork() == 0:
                number = os.dup(connection.fileno())  # it may be descriptor 3 already, or the server's may
                os.dup2(number, RUNNER_FD, inheritable=True)
                os.closerange(RUNNER_FD + 1, 64)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.execv(conform, ["slipway-conform", "__peer"])
            connection.close()


def connect(address, port):
    runner = socket.socket(fileno=RUNNER_FD)
    peer = socket.create_connection((address, port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with selectors.DefaultSelector() as selector:
        selector.register(runner, selectors.EVENT_READ, peer)
        selector.register(peer, selectors.EVENT_READ, runner)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 16)
                if not data:
                    return
                key.data.sendall(data)


if __name__ == "__main__":
    verb, where, number, *rest = sys.argv[1:]
    if verb == "serve":
        serve(where, int(number), *rest)
    else:
        connect(where, int(number))
