"""One request by nng's library, which speaks nanomsg's protocol: prints the reply."""

import sys

import pynng

with pynng.Req0(recv_timeout=60_000, send_timeout=60_000) as asking:
    asking.dial(sys.argv[1], block=True)
    asking.send(sys.argv[2].encode())
    print(asking.recv().decode())
