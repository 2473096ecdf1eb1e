"""Bodies as memoryviews over the memory that they were opened into."""

import pickle
import sys
import weakref

import hacher
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
    def keep(body: memoryview) -> bytes:
        # As numpy does: holds the buffer of the view itself, so the view cannot be released.
        kept.append(pickle.PickleBuffer(body))
        return b""

    reply = Call().body(b"abc").run(keep)
    assert reply.reason == "a view of the body outlives its run"
    assert bytes(kept[0]) == b"abc"


def test_no_view_is_made_while_a_run_ends():
    refs, told = [], []

    def again(given):
        try:
            kept.append(given.view())
        except RuntimeError as error:
            told.append(str(error))

    def keep(given: hacher.Input) -> bytes:
        holder = {"view": given.view()}
        holder["self"] = holder
        refs.append(weakref.ref(given.view(), lambda _: again(given)))
        return b"done"

    assert Call().body(b"abc").run(keep).body == b"done"
    assert not kept and told and told[0].startswith("the run is over")


def test_a_panic_in_a_run_ends_it(capfd):
    def panics(body):
        Call().run(lambda body: body)  # without input

    def keep(body: memoryview) -> bytes:
        kept.append(body)
        kept.append(body[1:])
        panics(body)

    with pytest.raises(BaseException) as caught:
        Call().body(b"secret").run(keep)
    assert type(caught.value).__name__ == "PanicException"
    with pytest.raises(ValueError, match="released"):
        kept[0][0]
    before = bytes(kept[1])
    for _ in range(100):
        Call().body(b"XXXXXX").run(lambda body: body)
    assert bytes(kept[1]) == before


@pytest.mark.parametrize("how", ["from", "context", "group"])
def test_what_an_exception_was_raised_from_keeps_no_view(how, caplog):
    def cut(body):
        part = body[1:]
        raise KeyError(len(part))

    def fail(body: memoryview) -> bytes:
        try:
            cut(body)
        except KeyError as error:
            if how == "from":
                raise OSError from error
            if how == "group":
                raise ExceptionGroup("several", [error])
            raise OSError

    if how == "group" and sys.version_info < (3, 11):
        pytest.skip("exception groups are of Python 3.11")
    reply = Call().body(b"abc").run(fail)
    assert reply.failed and "outlives its run" not in caplog.text


def test_a_view_that_outlives_a_failed_run_is_told_to_the_log(caplog):
    def fail(body: memoryview) -> bytes:
        kept.append(body[1:])
        raise KeyError

    assert Call().body(b"abc").run(fail).reason == "the handler raised KeyError"
    assert "outlives its run" in caplog.text


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
