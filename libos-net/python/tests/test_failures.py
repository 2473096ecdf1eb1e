"""What becomes of a run whose handler raises."""

import json
import logging
import subprocess
import sys

import hacher
import pytest
from hacher.testing import Call


@pytest.mark.parametrize(
    ("error", "reason", "is_transient"),
    [
        (OSError("/secret"), "the handler raised OSError", True),
        (KeyError("secret"), "the handler raised KeyError", True),
        (MemoryError(), "the handler raised MemoryError", True),
        (ValueError("secret"), "the handler raised ValueError", False),
        (json.JSONDecodeError("secret", "", 0), "the handler raised JSONDecodeError", False),
        (SystemExit(3), "the handler raised SystemExit", True),
    ],
)
def test_an_exception_is_a_failed_attempt_with_its_type_and_never_its_message(error, reason, is_transient):
    def fail(body: bytes):
        raise error

    reply = Call().body(b"").run(fail)
    assert (reply.reason, reply.is_transient, reply.exception) == (reason, is_transient, error)
    with pytest.raises(type(error)):
        reply.body


def test_a_reason_that_is_a_literal_travels():
    def permanent(body: bytes):
        raise hacher.Permanent("no picture")

    def retry(body: bytes):
        error = hacher.Retry("not yet")
        raise error

    reply = Call().body(b"").run(permanent)
    assert (reply.reason, reply.is_transient) == ("no picture", False)
    reply = Call().body(b"").run(retry)
    assert (reply.reason, reply.is_transient) == ("not yet", True)


def test_a_reason_that_was_put_together_does_not():
    def quote(body: bytes):
        raise hacher.Permanent(f"cannot read {body.decode()}")

    def payload(body: bytes):
        raise hacher.Retry(body.decode())

    assert Call().body(b"secret").run(quote).reason == "the handler raised Permanent"
    assert Call().body(b"secret").run(payload).reason == "the handler raised Retry"

    class NoPicture(hacher.Permanent):
        pass

    def subclass(body: bytes):
        raise NoPicture(body)

    reply = Call().body(b"secret").run(subclass)
    assert reply.reason.endswith("NoPicture") and not reply.is_transient


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (hacher.Permanent("".join(["put ", "together"])), "its reason is not a literal"),
        (MemoryError(), "the limit is `memory`"),
        (hacher.Retry(), None),
        (KeyError("x"), None),
    ],
)
def test_the_log_has_what_to_do_about_an_exception(caplog, error, advice):
    def fail(body: bytes):
        raise error

    Call().body(b"").run(fail)
    assert caplog.messages[0] == "the run failed"
    assert len(caplog.messages) == (1 if advice is None else 2)
    assert advice is None or advice in caplog.messages[1]


def test_reasons_of_one_process_are_bounded():
    # Each is kept for good, so in a process of its own.
    code = """
from hacher.testing import Call
for index in range(300):
    def fail(body, kind=type(f"Kind{index}", (Exception,), {})):
        raise kind
    reason = Call().body(b"").run(fail).reason
    if index == 200:
        print(reason)
print(reason)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "the handler raised Kind200\nthe handler raised an exception\n", done.stderr


def test_the_log_has_the_traceback_with_request_and_attempt(caplog):
    from hacher._log import Formatter

    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(Formatter().format(record))

    keep = Keep()
    logging.getLogger().addHandler(keep)

    def fail(body: bytes):
        logging.getLogger("mine").warning("about to")
        raise KeyError("told to the log")

    Call().body(b"").attempt(2).run(fail)
    logging.getLogger().removeHandler(keep)
    assert lines[0] == "WARNING run{invocation=0000000000000001 attempt=2}: mine: about to"
    assert lines[1].startswith("ERROR run{invocation=0000000000000001 attempt=2}: hacher: the run failed\nTraceback")
    assert "KeyError: 'told to the log'" in lines[1] and "in fail" in lines[1]
    assert hacher._log.current_run() is None


def test_what_logs_raise_does_not_change_what_becomes_of_a_run():
    class Raises(logging.Filter):
        def filter(self, record):
            raise KeyError

    raises = Raises()
    logging.getLogger("hacher").addFilter(raises)

    def fail(body: bytes):
        raise hacher.Permanent("no picture")

    try:
        reply = Call().body(b"").run(fail)
    finally:
        logging.getLogger("hacher").removeFilter(raises)
    assert (reply.reason, reply.is_transient) == ("no picture", False)


def test_a_name_that_cannot_be_told_does_not_change_what_becomes_of_a_run():
    class Odd(hacher.Permanent):
        pass

    Odd.__qualname__ = "Odd\udc80"

    def fail(body: bytes):
        raise Odd(body)

    reply = Call().body(b"").run(fail)
    assert (reply.reason, reply.is_transient) == ("the handler raised an exception", False)


def test_a_run_within_a_run_leaves_the_outer_one_noted():
    seen = []

    def outer(body):
        Call().body(b"").attempt(2).run(lambda body: body)
        seen.append(hacher._log.current_run())

    Call().body(b"").attempt(5).run(outer)
    assert seen[0][1] == 5
