"""A gateway as the reference's are, for our user client to drive.

Written from the protocol's description: `req` holds one of ten threads until its `hello`, unknown and
duplicate uids raise and so become UNKNOWN, `update` starts to forward. The faults that tests need are
switched on from the command line.

It prints `control HOST:PORT` when it listens, then one line per call: `req UID`, `hello UID ROLE`,
`update UID TARGETS`, `released UID`.
"""

import argparse
import concurrent.futures
import socket
import threading

import grpc
import scistream_pb2
import scistream_pb2_grpc

HELLO_TIMEOUT = 180
SAYING = threading.Lock()


def say(*words):
    """Print one whole line; print() alone lets the lines of two threads run into each other."""
    with SAYING:
        print(*words, flush=True)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            end.close()


def relay(downstream, target):
    host, _, port = target.rpartition(":")
    try:
        upstream = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
    except OSError:
        downstream.close()
        return
    upstream.settimeout(None)
    threading.Thread(target=pump, args=(downstream, upstream), daemon=True).start()
    pump(upstream, downstream)


class Session:
    def __init__(self, count, address):
        self.greeted = threading.Event()
        self.targets = []
        self.prod_listeners = []
        self.sockets = [socket.create_server((address, 0)) for _ in range(count)]
        self.listeners = ["%s:%d" % s.getsockname()[:2] for s in self.sockets]

    def start(self, targets):
        fresh = not self.targets
        self.targets = targets
        if fresh:
            for index, listening in enumerate(self.sockets):
                threading.Thread(target=self.accept, args=(index, listening), daemon=True).start()

    def accept(self, index, listening):
        while True:
            try:
                downstream, _ = listening.accept()
            except OSError:
                return
            target = self.targets[index]
            threading.Thread(target=relay, args=(downstream, target), daemon=True).start()

    def close(self):
        for listening in self.sockets:
            # A thread that waits in accept() is woken by this, and not by close() alone.
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()


class Control(scistream_pb2_grpc.ControlServicer):
    def __init__(self, options):
        self.options = options
        self.sessions = {}
        self.lock = threading.Lock()

    def authenticate(self, context):
        if not self.options.token:
            return
        given = dict(context.invocation_metadata()).get("authorization")
        if not given:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication token is missing for scope test")
        if given != self.options.token:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication token is invalid for scope test")

    def session(self, name, uid):
        if self.options.stall == name:
            threading.Event().wait()
        if self.options.fail == name:
            raise RuntimeError(f"{name} fails as it was told to")
        with self.lock:
            if uid not in self.sessions:
                raise LookupError(f"{name} request invalid, entry not found for uid '{uid}'")
            return self.sessions[uid]

    def req(self, request, context):
        self.authenticate(context)
        if self.options.fail == "req":
            raise RuntimeError("req fails as it was told to")
        with self.lock:
            if request.uid in self.sessions:
                raise LookupError("Entry already found for uid")
            session = Session(request.num_conn, self.options.listener_ip)
            self.sessions[request.uid] = session
        say("req", request.uid, request.role, request.num_conn, request.rate)
        if not session.greeted.wait(HELLO_TIMEOUT):
            self.remove(request.uid)
            raise TimeoutError("Hello not received within the timeout period")
        return scistream_pb2.Response(listeners=session.listeners, prod_listeners=session.prod_listeners)

    def hello(self, request, context):
        self.authenticate(context)
        session = self.session("hello", request.uid)
        say("hello", request.uid, request.role)
        if request.role == "PROD":
            session.prod_listeners = list(request.prod_listeners)
            answer = scistream_pb2.AppResponse(message="Sending Prod listeners...")
        else:
            answer = scistream_pb2.AppResponse(message="Sending listeners...", listeners=session.listeners)
        session.greeted.set()
        return answer

    def update(self, request, context):
        self.authenticate(context)
        session = self.session("update", request.uid)
        given = list(request.remote_listeners)
        targets = [given[index % len(given)] for index in range(len(session.sockets))]
        session.start(targets)
        say("update", request.uid, ",".join(targets))
        return scistream_pb2.Response(listeners=session.listeners, prod_listeners=targets)

    def release(self, request, context):
        self.authenticate(context)
        self.session("release", request.uid)
        self.remove(request.uid)
        return scistream_pb2.Response()

    def remove(self, uid):
        with self.lock:
            session = self.sessions.pop(uid)
        session.close()
        say("released", uid)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listener_ip", default="127.0.0.1")
    parser.add_argument("--control", default="127.0.0.1:0")
    parser.add_argument("--server_crt")
    parser.add_argument("--server_key")
    parser.add_argument("--token", default="")
    parser.add_argument("--fail", default="", help="this call raises")
    parser.add_argument("--stall", default="", help="this call never answers")
    options = parser.parse_args()

    pool = concurrent.futures.ThreadPoolExecutor(max_workers=10)
    control = grpc.server(pool)
    scistream_pb2_grpc.add_ControlServicer_to_server(Control(options), control)
    host = options.control.rpartition(":")[0]
    if options.server_crt:
        with open(options.server_key, "rb") as key, open(options.server_crt, "rb") as certificate:
            pair = (key.read(), certificate.read())
        port = control.add_secure_port(options.control, grpc.ssl_server_credentials([pair]))
    else:
        port = control.add_insecure_port(options.control)
    control.start()
    say(f"control {host}:{port}")
    control.wait_for_termination()


if __name__ == "__main__":
    main()
