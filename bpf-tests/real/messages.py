"""Messages of known bytes by the libraries instruments use: `zmq` (push and pull, request and reply)
and `nng` (which speaks nanomsg's protocol).

`messages.py LIBRARY listen COUNT SIZE` prints `port N`, receives, checks each message and answers the
last one with how many it has seen; `messages.py LIBRARY dial HOST:PORT COUNT SIZE` sends them and
prints that answer as `seen N`.
"""

import random
import sys

PATIENCE = 60_000


def message(index, size):
    return random.Random(index).randbytes(size)


class Zmq:
    def __init__(self):
        import zmq

        self.socket = zmq.Context().socket(zmq.PAIR)
        self.socket.setsockopt(zmq.RCVTIMEO, PATIENCE)
        self.socket.setsockopt(zmq.SNDTIMEO, PATIENCE)
        self.last = zmq.LAST_ENDPOINT

    def listen(self):
        self.socket.bind("tcp://127.0.0.1:0")
        return self.socket.getsockopt_string(self.last).rpartition(":")[2]

    def dial(self, address):
        self.socket.connect(f"tcp://{address}")

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        return self.socket.recv()


class Nng:
    def __init__(self):
        import pynng

        self.socket = pynng.Pair0(recv_timeout=PATIENCE, send_timeout=PATIENCE)
        self.socket.recv_max_size = 0

    def listen(self):
        listener = self.socket.listen("tcp://127.0.0.1:0")
        return str(listener.local_address).rpartition(":")[2]

    def dial(self, address):
        self.socket.dial(f"tcp://{address}", block=True)

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        return self.socket.recv()


def main():
    library, role, *rest = sys.argv[1:]
    end = {"zmq": Zmq, "nng": Nng}[library]()
    if role == "listen":
        count, size = map(int, rest)
        print("port", end.listen(), flush=True)
        for index in range(count):
            assert end.receive() == message(index, size), f"message {index} is not as it was sent"
        end.send(str(count).encode())
        # Until the other end has the answer: closing could take it back.
        end.receive()
    else:
        address, count, size = rest[0], int(rest[1]), int(rest[2])
        end.dial(address)
        for index in range(count):
            end.send(message(index, size))
        print("seen", end.receive().decode(), flush=True)
        end.send(b"seen")


main()
