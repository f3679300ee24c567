# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that tell whom they saw, and clients that ask them. This file also runs alone, on a host.

usage: answer.py serve LABEL [--http PORT] [PORT...]    TCP and UDP on each PORT, IPv4 and IPv6, all addresses
       answer.py ask [--patience SECONDS] tcp|udp ADDRESS PORT [SOURCE]

The second prints the answer, or "no answer" and exits with 1.

An answer is a line, "LABEL saw ADDRESS port PORT": the source as it was on the wire. A TCP connection stays open, and
what is sent comes back.
"""

from __future__ import annotations

import argparse
import http.server
import socket
import struct
import sys
import threading
import time

# Long enough for a first packet (neighbour lookup and all) on a busy machine.
PATIENCE = 3.0
_IP_PKTINFO = 8  # older Pythons have no name for it
_FAMILIES = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def ask(proto, address, port, source=None, patience=PATIENCE):
    """The answer (str) of the server at address and port, or None if nobody answers within `patience` seconds."""
    end = time.monotonic() + patience
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[proto]
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
        sock.settimeout(patience)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address, int(port)))
        except OSError:
            return None
        while time.monotonic() < end:
            try:
                if proto == "udp":
                    # A first datagram may be lost, to a lookup or to a daemon that is just starting.
                    sock.settimeout(min(0.3, patience))
                    sock.send(b"who?")
                text = sock.recv(4096).decode().strip()
            except socket.timeout:
                continue
            except OSError:
                if proto == "tcp":
                    return None
                time.sleep(0.05)
                continue
            return text or None
    return None


def serve(label, ports, http_ports=()):
    """Serve for ever."""
    for family in _FAMILIES:
        for port in http_ports:
            _start(_http_server(label, family, port).serve_forever)
        for port in ports:
            _start(_serve_tcp, label, _socket(family, socket.SOCK_STREAM, port))
            _start(_serve_udp, label, _socket(family, socket.SOCK_DGRAM, port))
    threading.Event().wait()


def _start(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _line(label, peer):
    return "%s saw %s port %d\n" % (label, peer[0], peer[1])


def _socket(family, kind, port):
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((_FAMILIES[family], port))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    return sock


def _serve_tcp(label, listener):
    while True:
        sock, peer = listener.accept()
        _start(_talk, sock, _line(label, peer).encode())


def _talk(sock, greeting):
    with sock:
        try:
            sock.sendall(greeting)
            while True:
                data = sock.recv(65536)
                if not data:
                    return
                sock.sendall(data)
        except OSError:
            return


def _serve_udp(label, sock):
    # The answer comes from the very address that was asked, not from the one the kernel would choose.
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    while True:
        try:
            _data, told, _flags, peer = sock.recvmsg(4096, 256)
            asked = []
            for level, kind, value in told:
                if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                    value = struct.pack("=i4s4s", 0, value[4:8], b"")
                asked.append((level, kind, value))
            sock.sendmsg([_line(label, peer).encode()], asked, 0, peer)
        except OSError:  # an earlier answer found nobody
            continue


def _http_server(label, family, port):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = _line(label, self.client_address).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = family

        def server_bind(self):
            if family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Without the lookup of its own name that HTTPServer does here.
            self.socket.bind(self.server_address)

    return Server((_FAMILIES[family], port), Handler)


def main(words):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve")
    serving.add_argument("label")
    serving.add_argument("ports", type=int, nargs="*")
    serving.add_argument("--http", type=int, action="append", default=[])
    asking = commands.add_parser("ask")
    asking.add_argument("proto", choices=("tcp", "udp"))
    asking.add_argument("address")
    asking.add_argument("port", type=int)
    asking.add_argument("source", nargs="?")
    asking.add_argument("--patience", type=float, default=PATIENCE)
    chosen = parser.parse_args(words)
    if chosen.command == "serve":
        return serve(chosen.label, chosen.ports, chosen.http)
    answer = ask(chosen.proto, chosen.address, chosen.port, chosen.source, chosen.patience)
    print(answer or "no answer")
    return 0 if answer else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
