"""A Lambda handler in Python, which knows nothing of chains: the event says in `do` what it does."""

import os
import sys
import time

EVENTS = 0

if os.environ.get("INITIALISE") == "error":
    raise KeyError("secret-message")


class Own(Exception):
    pass


def handler(event, context):
    global EVENTS
    EVENTS += 1
    if not isinstance(event, dict):
        return [type(event).__name__, len(event)]
    what = event.get("do")
    if what == "fail":
        raise Own(event["message"])
    if what == "exit":
        os._exit(event["code"])
    if what == "sleep":
        time.sleep(event["millis"] / 1000)
        return "awake"
    if what == "large":
        return "x" * event["len"]
    if what == "stream":
        return iter(["a", "b"])
    if what == "bytes":
        return b"\x00\xff"
    if what == "deep":
        return deep(event["depth"])
    if what == "tell":
        return {
            "request_id": context.aws_request_id,
            "left_millis": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn,
            "trace": os.environ.get("_X_AMZN_TRACE_ID"),
            "function": context.function_name,
            "memory": int(context.memory_limit_in_mb),
            "version": context.function_version,
            "folder": os.getcwd(),
            "count": EVENTS,
            "python": sys.version,
        }
    return event


def deep(depth):
    """An error whose stack is long, as the runtime reports it in a header."""
    if depth == 0:
        raise Own("secret-message")
    return deep(depth - 1)
