"""The handler of the module that FUNCTION names, which says how long it took.

Each way of calling serves this one, so what is taken off a call is measured alike: eight bytes behind what the handler
made, nanoseconds, little-endian. Copying the two into one counts as part of the call.
"""

import importlib
import os
from time import perf_counter_ns

_handler = importlib.import_module(os.environ["FUNCTION"]).handler


def handler(body: bytes) -> bytes:
    began = perf_counter_ns()
    made = _handler(body)
    took = perf_counter_ns() - began
    return made + took.to_bytes(8, "little")
