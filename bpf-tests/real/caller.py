"""A user client as upstream's is: grpcio, one channel per gateway, `req` on a thread that blocks, a
pause, `hello`, `update`; role PROD in the hello to the consumer's gateway; the bare token.

Sets up any number of sessions at once, each with an application of its own behind it, and checks that
what comes out of a session is what its own application says of what went in. Prints one line of JSON.
"""

import argparse
import concurrent.futures
import hashlib
import json
import random
import socket
import threading
import time
import uuid

import grpc
import scistream_pb2
import scistream_pb2_grpc


class Application:
    """Listens, and answers each connection with its own name and the digest of what it read."""

    def __init__(self, name, host):
        self.name = name
        self.listening = socket.create_server((host, 0))
        self.address = "%s:%d" % self.listening.getsockname()[:2]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        digest = hashlib.sha256()
        with connection:
            while data := connection.recv(65536):
                digest.update(data)
            connection.sendall(f"{self.name} {digest.hexdigest()}".encode())


class Caller:
    def __init__(self, options):
        self.options = options
        self.metadata = (("authorization", options.token),)
        self.stubs = {side: self.stub(getattr(options, side)) for side in ("producer", "consumer")}

    def stub(self, address):
        if not self.options.ca:
            return scistream_pb2_grpc.ControlStub(grpc.insecure_channel(address))
        with open(self.options.ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
        return scistream_pb2_grpc.ControlStub(grpc.secure_channel(address, credentials))

    def request(self, side, uid, role, targets, aim):
        """`req` that blocks, a pause, `hello` as PROD whatever the side, `update`."""
        stub, metadata = self.stubs[side], self.metadata
        answers = []
        wanted = scistream_pb2.Request(uid=uid, role=role, num_conn=self.options.num_conn, rate=10000)

        def ask():
            try:
                answers.append(stub.req(wanted, metadata=metadata))
            except grpc.RpcError as error:
                answers.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.5)
        hello = scistream_pb2.Hello(uid=uid, role="PROD", prod_listeners=targets)
        greeting = stub.hello(hello, metadata=metadata)
        assert greeting.message == "Sending Prod listeners...", greeting
        assert not greeting.listeners, greeting
        asking.join()
        if isinstance(answers[0], grpc.RpcError):
            raise answers[0]
        response = answers[0]
        assert len(response.listeners) == self.options.num_conn, response
        if role == "PROD":
            assert list(response.prod_listeners) == targets, response
        aimed = aim or list(response.prod_listeners)
        update = scistream_pb2.UpdateTargets(uid=uid, remote_listeners=aimed, role=role)
        updated = stub.update(update, metadata=metadata)
        expanded = [aimed[index % len(aimed)] for index in range(self.options.num_conn)]
        assert list(updated.listeners) == list(response.listeners), updated
        assert list(updated.prod_listeners) == expanded, updated
        return list(response.listeners)

    def session(self, index):
        application = Application(f"application-{index}", self.options.application_ip)
        uid = str(uuid.uuid1())
        inner = self.request("producer", uid, "PROD", [application.address], None)
        outer = self.request("consumer", uid, "CONS", [application.address], inner)
        for listener in outer:
            self.check(listener, application)
        return {"uid": uid, "producer": inner, "consumer": outer}

    def check(self, listener, application):
        data = random.Random(f"{application.name} {listener}").randbytes(self.options.bytes)
        host, _, port = listener.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while more := connection.recv(65536):
                answer += more
        expected = f"{application.name} {hashlib.sha256(data).hexdigest()}"
        assert answer.decode() == expected, f"{listener}: got {answer!r}, not {expected!r}"

    def release(self, session):
        for stub in self.stubs.values():
            stub.release(scistream_pb2.Release(uid=session["uid"]), metadata=self.metadata)
        for listener in session["producer"] + session["consumer"]:
            host, _, port = listener.rpartition(":")
            try:
                socket.create_connection((host, int(port)), timeout=60).close()
            except ConnectionRefusedError:
                continue
            raise AssertionError(f"{listener} listens after its session was released")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--producer", required=True)
    parser.add_argument("--consumer", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--token", default="INVALID_TOKEN")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--num_conn", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=100_000)
    parser.add_argument("--application-ip", default="127.0.0.1")
    parser.add_argument("--keep", action="store_true", help="do not release")
    options = parser.parse_args()

    caller = Caller(options)
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.sessions) as pool:
        sessions = list(pool.map(caller.session, range(options.sessions)))
        ports = [listener for session in sessions for listener in session["producer"] + session["consumer"]]
        assert len(set(ports)) == len(ports), f"sessions share listeners: {sorted(ports)}"
        if not options.keep:
            list(pool.map(caller.release, sessions))
    print(json.dumps({"sessions": sessions}), flush=True)


if __name__ == "__main__":
    main()
