"""Serves, by HTTP, one file of known bytes that lies nowhere: `big_file.py BYTES` prints `port N` and
`sha256 HEX`, and takes any number of requests."""

import hashlib
import http.server
import random
import sys

LENGTH = int(sys.argv[1])
BLOCK = random.Random(7).randbytes(1 << 20)


def blocks():
    """Each block differs from the others in its first bytes, so that none can be lost or swapped."""
    left, index = LENGTH, 0
    while left > 0:
        block = index.to_bytes(8, "big") + BLOCK[8:]
        yield memoryview(block)[: min(left, len(block))]
        left -= len(block)
        index += 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(LENGTH))
        self.end_headers()
        for block in blocks():
            self.wfile.write(block)

    def log_message(self, *_):
        pass


digest = hashlib.sha256()
for part in blocks():
    digest.update(part)
serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", serving.server_address[1], flush=True)
print("sha256", digest.hexdigest(), flush=True)
serving.serve_forever()
