#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who lives in a network namespace of the demo: a server that says whom it sees, and a client.

usage: agent.py [PORT...]

Serves HTTP on these ports, both families; the answer is the address of whoever asked. Orders come as JSON lines on
stdin and are answered on stdout; the agent ends with its stdin. An order is a URL's host and port, and an optional
address to ask from. `keep` holds the connection open under that name and uses it again the next time.
"""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import socket
import sys
import threading

PATIENCE = 2.0


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.client_address[0].replace("::ffff:", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)


class Client:
    def __init__(self):
        self.kept = {}

    def ask(self, address, port, source=None, keep=None, patience=PATIENCE):
        """What the server saw, or why there was no answer."""
        connection = self.kept.get(keep)
        try:
            if connection is None:
                origin = (source, 0) if source else None
                connection = http.client.HTTPConnection(address, port, timeout=patience, source_address=origin)
                connection.connect()
                connection.auto_open = 0  # a lost connection must show
            connection.request("GET", "/")
            return {"saw": connection.getresponse().read().decode(), "from": connection.sock.getsockname()[0]}
        except (OSError, http.client.HTTPException) as error:
            timed_out = isinstance(error, (TimeoutError, socket.timeout))
            return {"error": "no answer" if timed_out else getattr(error, "strerror", None) or repr(error)}
        finally:
            if keep:
                self.kept[keep] = connection
            elif connection is not None:
                connection.close()


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the story
    for port in sys.argv[1:]:
        threading.Thread(target=Server(("::", int(port)), Answer).serve_forever, daemon=True).start()
    client = Client()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(client.ask(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
