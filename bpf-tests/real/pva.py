"""EPICS PVAccess: `serve` publishes counted frames whose every byte is known, `monitor` checks them.

`serve` prints `port N`, of 127.0.0.2; `monitor` finds the variable by TCP through EPICS_PVA_NAME_SERVERS, as behind
gateways no broadcast gets through, and prints `frames N` when it has seen as many as it was told. The port in
the answer to a search is the one that `serve` listens on, and `monitor` dials it at the address it
asked: so the gateway must listen on that same port.
"""

import sys
import threading
import time

import numpy
from p4p.client.thread import Context
from p4p.nt import NTNDArray, NTScalar
from p4p.server import Server
from p4p.server.thread import SharedPV

NAME = "scistream:frame"
SIDE = 512
PATIENCE = 60


def frame(count):
    """Begins with its own number."""
    pixels = (numpy.arange(SIDE * SIDE, dtype=numpy.uint32) + count).astype(numpy.uint8)
    pixels[:8] = numpy.frombuffer(count.to_bytes(8, "big"), dtype=numpy.uint8)
    return pixels.reshape(SIDE, SIDE)


def serve():
    variable = SharedPV(nt=NTNDArray(), initial=frame(0))
    answer = SharedPV(nt=NTScalar("i"), initial=0)

    @answer.put
    def put(pv, operation):
        pv.post(operation.value() * 2)
        operation.done()

    conf = {"EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.2", "EPICS_PVAS_SERVER_PORT": "0",
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO", "EPICS_PVAS_BEACON_ADDR_LIST": ""}
    with Server([{NAME: variable, NAME + ":answer": answer}], conf=conf, useenv=False) as serving:
        print("port", serving.conf()["EPICS_PVAS_SERVER_PORT"], flush=True)
        count = 0
        while True:
            count += 1
            variable.post(frame(count))
            time.sleep(0.01)


def monitor(gateway, wanted):
    seen = threading.Semaphore(0)
    wrong = []

    def check(value):
        if isinstance(value, Exception):
            return
        pixels = numpy.asarray(value)
        count = int.from_bytes(pixels.ravel()[:8].tobytes(), "big")
        if not numpy.array_equal(pixels, frame(count)):
            wrong.append(count)
        seen.release()

    conf = {"EPICS_PVA_NAME_SERVERS": gateway, "EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_ADDR_LIST": ""}
    with Context("pva", conf=conf, useenv=False) as context:
        context.put(NAME + ":answer", 21, timeout=PATIENCE)
        assert context.get(NAME + ":answer", timeout=PATIENCE) == 42
        subscription = context.monitor(NAME, check, notify_disconnect=True)
        for _ in range(wanted):
            assert seen.acquire(timeout=PATIENCE), "no further frame came"
        subscription.close()
    assert not wrong, f"frames {wrong} are not as they were sent"
    print("frames", wanted, flush=True)


if sys.argv[1] == "serve":
    serve()
else:
    monitor(sys.argv[2], int(sys.argv[3]))
