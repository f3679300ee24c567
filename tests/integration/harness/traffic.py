# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that tell whom they saw, and clients that ask them.

A server answers with its own label, the source address it saw and the port at which it was reached: what a test asserts
is what was on the wire. Sockets are opened inside a stack and served from here, so no helper process is needed.
"""

from __future__ import annotations

import collections
import json
import selectors
import socket
import threading
import time

from .enter import in_netns

# Long enough for a first packet (neighbour lookup and all) on a busy machine; short enough for a check that
# nothing answers. Checks of the second kind always stand beside one of the first.
PATIENCE = 3.0
SILENCE = 0.4

Answer = collections.namedtuple("Answer", "label seen seen_port port")


class NoAnswer(Exception):
    """Nobody answered: the reason is the text."""


class _Reactor:
    """One thread that serves every socket of this test process."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain)
        self._todo = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _drain(self):
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            pass

    def call(self, function):
        """Run function in the reactor's thread and wait for it."""
        done = threading.Event()
        with self._lock:
            self._todo.append((function, done))
        self._wake_write.send(b"x")
        done.wait(5)

    def watch(self, sock, callback):
        sock.setblocking(False)
        self.call(lambda: self._selector.register(sock, selectors.EVENT_READ, callback))

    def watch_here(self, sock, callback):
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, callback)

    def forget_here(self, sock):
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass
        sock.close()

    def forget(self, sock):
        self.call(lambda: self.forget_here(sock))

    def _serve(self):
        while True:
            for key, _events in self._selector.select():
                try:
                    key.data()
                except OSError:
                    self.forget_here(key.fileobj)
            with self._lock:
                todo, self._todo = self._todo, []
            for function, done in todo:
                try:
                    function()
                finally:
                    done.set()


_reactor = None


def reactor():
    global _reactor
    if _reactor is None:
        _reactor = _Reactor()
    return _reactor


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def kind_of(proto):
    return {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[proto]


class Server:
    """A listener inside a stack; it remembers who came (`seen`)."""

    def __init__(self, stack, address, port, proto, label):
        self.label = label
        self.port = port
        self.proto = proto
        self.seen = []
        self._connections = []

        def listen():
            sock = socket.socket(family_of(address), kind_of(proto))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family_of(address) == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            if proto == "tcp":
                sock.listen(64)
            return sock

        self._sock = in_netns(stack.netns_path, listen)
        reactor().watch(self._sock, self._accept if proto == "tcp" else self._datagram)

    def _who(self, peer):
        self.seen.append(peer[0])
        told = {"label": self.label, "seen": peer[0], "seen_port": peer[1], "port": self.port}
        return json.dumps(told).encode() + b"\n"

    def _accept(self):
        sock, peer = self._sock.accept()
        self._connections.append(sock)
        reactor().watch_here(sock, lambda: self._echo(sock))
        sock.send(self._who(peer))

    def _echo(self, sock):
        data = sock.recv(65536)
        if not data:
            reactor().forget_here(sock)
        else:
            sock.send(data)

    def _datagram(self):
        _data, peer = self._sock.recvfrom(65536)
        self._sock.sendto(self._who(peer), peer)

    def close(self):
        for sock in self._connections:
            reactor().forget(sock)
        reactor().forget(self._sock)


class Connection:
    """A TCP connection that stays open: `answer` is how it was greeted, echo() proves that it is alive."""

    def __init__(self, sock):
        self._sock = sock
        self._file = sock.makefile("rb")
        line = self._file.readline()
        if not line:
            raise NoAnswer("closed without a word")
        self.answer = Answer(**json.loads(line))
        self._count = 0

    def echo(self):
        self._count += 1
        data = b"still here %d\n" % self._count
        self._sock.sendall(data)
        return self._file.readline() == data

    def close(self):
        self._file.close()
        self._sock.close()


class UdpFlow:
    """A UDP socket that keeps its source port: the same flow for the kernel, ask after ask."""

    def __init__(self, sock, address, port):
        self._sock = sock
        self._to = (address, port)

    def ask(self, timeout=PATIENCE):
        # Answers to earlier questions are not the answer to this one.
        self._sock.setblocking(False)
        try:
            while True:
                self._sock.recv(65536)
        except OSError:
            pass
        end = time.monotonic() + timeout
        reason = "timed out"
        while time.monotonic() < end:
            self._sock.settimeout(min(0.3, max(0.01, end - time.monotonic())))
            try:
                self._sock.sendto(b"who?", self._to)
                data, peer = self._sock.recvfrom(65536)
            except socket.timeout:
                continue
            except OSError as exc:
                reason = exc.strerror
                time.sleep(0.1)
                continue
            if peer[0] != self._to[0] or peer[1] != self._to[1]:
                raise NoAnswer("answered by %s port %s" % peer[:2])
            return Answer(**json.loads(data))
        raise NoAnswer(reason)

    def close(self):
        self._sock.close()


class Talk:
    """What a stack can say and hear; mixed into every stack."""

    def serve(self, address, *ports, proto="tcp", label=None):
        """Listen at address and each of the ports; return the server (a list when there are several ports)."""
        servers = [Server(self, address, port, proto, label or self.label) for port in ports]
        for server in servers:
            self.on_close(server.close)
        return servers[0] if len(servers) == 1 else servers

    def _client(self, address, proto, source, source_port):
        def make():
            sock = socket.socket(family_of(address), kind_of(proto))
            if source_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source or source_port:
                sock.bind((source or ("::" if ":" in address else "0.0.0.0"), source_port))
            return sock

        return in_netns(self.netns_path, make)

    def connect(self, address, port, source=None, timeout=PATIENCE, source_port=0):
        """Open a TCP connection and keep it."""
        sock = self._client(address, "tcp", source, source_port)
        sock.settimeout(timeout)
        try:
            sock.connect((address, port))
            connection = Connection(sock)
        except OSError as exc:
            sock.close()
            raise NoAnswer(exc.strerror or "timed out") from exc
        self.on_close(connection.close)
        return connection

    def flow(self, address, port, source=None, source_port=0):
        """A UDP flow to address and port."""
        flow = UdpFlow(self._client(address, "udp", source, source_port), address, port)
        self.on_close(flow.close)
        return flow

    def ask(self, address, port, proto="tcp", source=None, timeout=PATIENCE):
        """Ask the server at address and port; return its Answer or raise NoAnswer."""
        if proto == "udp":
            flow = self.flow(address, port, source)
            try:
                return flow.ask(timeout)
            finally:
                flow.close()
        connection = self.connect(address, port, source, timeout)
        connection.close()
        return connection.answer

    def reaches(self, address, port, proto="tcp", source=None, timeout=SILENCE):
        """Whether anybody answers at address and port: for checks that nobody does."""
        try:
            self.ask(address, port, proto, source, timeout)
        except NoAnswer:
            return False
        return True
