"""Bodies as memoryviews over the memory that they were opened into."""

import pytest
from hacher.testing import Call

kept = []


@pytest.fixture(autouse=True)
def nothing_is_kept():
    kept.clear()
    yield
    kept.clear()


def test_a_view_reads_the_body_and_cannot_write_it():
    def total(body: memoryview) -> str:
        assert body.readonly and body.nbytes == 70_000
        with pytest.raises(TypeError):
            body[0] = 1
        return str(sum(body))

    assert Call().body(b"\1" * 70_000).run(total).body == b"70000"


def test_a_view_is_released_when_the_run_ends():
    def keep(body: memoryview) -> bytes:
        kept.append(body)
        return bytes(body)

    assert Call().body(b"record").run(keep).body == b"record"
    with pytest.raises(ValueError, match="released"):
        kept[0][0]


@pytest.mark.parametrize("make", [lambda view: view[1:], memoryview, lambda view: view.cast("b")])
def test_a_run_that_leaves_behind_what_was_made_of_a_view_fails_and_the_memory_stays(make):
    def keep(body: memoryview) -> bytes:
        kept.append(make(body))
        return b"done"

    reply = Call().body(b"secret").run(keep)
    assert reply.port() is None and not reply.is_transient
    assert reply.reason == "a view of the body outlives its run"
    assert "outlives its run" in str(reply.exception)
    # Read before anything else is opened, and after.
    before = bytes(kept[0])
    for _ in range(100):
        Call().body(b"XXXXXX").run(lambda body: body)
    assert bytes(kept[0]) == before and before in b"secret"


def test_arrays_over_a_view_are_noticed():
    class Array:
        """As numpy does: holds the buffer of the view itself."""

        def __init__(self, view):
            import ctypes

            # An object whose buffer is taken over another object's.
            self.held = memoryview(view)
            self.ctypes = ctypes

    def keep(body: memoryview) -> bytes:
        kept.append(Array(body))
        return b""

    assert Call().body(b"abc").run(keep).failed


def test_circles_of_objects_do_not_keep_a_view():
    def circle(body: memoryview) -> bytes:
        holder = {"part": body[1:]}
        holder["self"] = holder
        return b"done"

    assert Call().body(b"abc").run(circle).body == b"done"


def test_an_exception_does_not_keep_a_view():
    def fail(body: memoryview) -> bytes:
        part = body[1:]
        raise KeyError(len(part))

    reply = Call().body(b"abc").run(fail)
    assert reply.reason == "the handler raised KeyError"


def test_a_body_that_was_seen_is_the_one_that_is_iterated_over():
    def both(input, output):
        view, body = input.view(), input.body
        assert bytes(view) == body
        assert b"".join(input.chunks()) == body
        output.send(view)

    assert Call().body(bytes(1000)).segment_bytes(64).run(both).body == bytes(1000)


def test_an_empty_body_has_a_view():
    def size(body: memoryview) -> str:
        return str(body.nbytes)

    assert Call().body(b"").run(size).body == b"0"
