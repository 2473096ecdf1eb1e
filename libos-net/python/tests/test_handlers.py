"""What a handler takes and returns, by the harness."""

import functools
import json
import threading

import hacher
import pytest
from hacher.testing import Call


def test_the_body_is_bytes_and_what_is_returned_is_the_record():
    def shout(body: bytes) -> bytes:
        assert type(body) is bytes
        return body.upper()

    assert Call().body(b"hello").run(shout).body == b"HELLO"


def test_a_parameter_without_annotation_is_bytes():
    assert Call().body(b"ab").run(lambda body: body * 2).body == b"abab"


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        (None, b"", None),
        (b"bytes", b"bytes", None),
        ("ünïcode", "ünïcode".encode(), "text/plain; charset=utf-8"),
        (bytearray(b"array"), b"array", None),
        (memoryview(b"view")[1:], b"iew", None),
    ],
)
def test_all_kinds_of_bodies_can_be_returned(returned, body, content_type):
    record = Call().body(b"").run(lambda _: returned).port()
    assert (record.body, record.content_type) == (body, content_type)


@pytest.mark.parametrize("returned", [5, [1, 2], {"a": 1}, object()])
def test_nothing_else_is_a_body(returned):
    reply = Call().body(b"").run(lambda _: returned)
    assert isinstance(reply.exception, TypeError) and reply.port() is None
    assert reply.reason == "the handler raised TypeError"


def test_text_is_decoded_and_what_is_no_text_fails_for_good():
    def double(text: str) -> str:
        return text * 2

    assert Call().body("ü".encode()).run(double).body == "üü".encode()
    reply = Call().body(b"\xff").run(double)
    assert (reply.reason, reply.is_transient) == ("the handler raised UnicodeDecodeError", False)


def test_annotations_as_text_are_understood():
    def of_view(body: "memoryview") -> "bytes":
        assert type(body) is memoryview
        return bytes(body)

    def of_input(input: "hacher.Input") -> "str":
        return input.method

    assert Call().body(b"seen").run(of_view).body == b"seen"
    assert Call().body(b"").method("PUT").run(of_input).body == b"PUT"


def test_methods_objects_partials_and_wrapped_functions_are_handlers():
    class Counter:
        def __init__(self):
            self.count = 0

        def handle(self, body: bytes) -> str:
            self.count += 1
            return str(self.count)

        def __call__(self, input, output):
            output.send(self.handle(input.body))

    counter = Counter()
    assert Call().body(b"").run(counter.handle).body == b"1"
    assert Call().body(b"").run(counter).body == b"2"

    def greet(body: bytes, greeting: str = "hello ") -> bytes:
        return greeting.encode() + body

    assert Call().body(b"you").run(greet).body == b"hello you"
    assert Call().body(b"you").run(functools.partial(greet, greeting="bye ")).body == b"bye you"

    @functools.wraps(greet)
    def wrapped(*arguments, **named):
        return greet(*arguments, **named)

    assert Call().body(b"you").run(wrapped).body == b"hello you"


def test_what_is_no_handler_is_refused_before_anything_runs():
    for wrong in (lambda: b"", lambda a, b, c: b"", lambda number: b"", 7):
        if callable(wrong) and wrong.__code__.co_varnames == ("number",):
            wrong.__annotations__ = {"number": int}
        with pytest.raises(TypeError):
            Call().body(b"").run(wrong)
    with pytest.raises(TypeError):
        hacher.function(lambda: b"")


def test_a_marked_function_stays_what_it_is():
    @hacher.function
    def marked(body: bytes) -> bytes:
        return body

    assert marked(b"called") == b"called"
    with pytest.raises(TypeError, match="handlers are marked"):
        hacher.function(lambda body: body)
        from hacher._function import the_function

        the_function()


def test_everything_of_the_request_is_there():
    def facts(input, output):
        output.send(
            json.dumps(
                [
                    input.method,
                    input.path,
                    input.query,
                    input.content_type,
                    input.header("X-Own"),
                    input.capture("id"),
                    input.upstream,
                    input.attempt,
                    len(input.invocation),
                    input.secret("KEY").decode(),
                    input.secret("OTHER"),
                    input.env("MODE"),
                    0 < input.remaining() <= 60,
                    input.is_cancelled(),
                    input.is_join,
                    ("x-own", "2") in input.headers,
                ]
            )
        )

    call = Call().body(b"").method("PUT").path("/a").query("b=c").content_type("text/csv")
    call = call.header("x-own", "1").header("x-own", "2").capture("id", "7").attempt(3)
    reply = call.secret("KEY", b"value").env("MODE", "fast").run(facts)
    assert json.loads(reply.body) == [
        "PUT", "/a", "b=c", "text/csv", "1", "7", "ingress", 3, 32, "value", None, "fast", True, False, False, True,
    ]  # fmt: skip


def test_a_join_gives_its_parts_and_has_no_body_of_its_own():
    def merge(input, output):
        first, second = input.part("left"), input.part("right", "rest")
        assert input.is_join and input.part("nobody") is None and input.part("right", "out") is None
        assert [part.upstream for part in input.parts] == ["left", "right"]
        assert (second.port, second.content_type, second.header("Content-Type")) == ("rest", "a/b", "a/b")
        with pytest.raises(hacher.Permanent):
            input.body
        output.send(first.body + bytes(second.view()))

    call = Call().input("left", b"1").input("right", b"2", "rest").content_type("a/b")
    assert call.run(merge).body == b"12"


def test_ports_headers_and_status():
    def split(input, output):
        even, odd = output.port("even"), output.port("odd")
        even.set_header("X-Kind", "even")
        even.append_header("x-kind", "whole")
        odd.set_status(422)
        odd.set_content_type("text/plain")
        for byte in input.body:
            (odd if byte % 2 else even).write(bytes([byte]))

    reply = Call().body(bytes([1, 2, 3])).ports("even", "odd").run(split)
    even, odd = reply.port("even"), reply.port("odd")
    assert (even.body, odd.body, odd.status) == (b"\2", b"\1\3", 422)
    assert [value for name, value in even.headers if name == "x-kind"] == ["even", "whole"]
    assert odd.content_type == "text/plain" and reply.port("out") is None

    def send(input, output):
        output.send("no", content_type="text/html", status=404, headers=[("x-a", "b")])

    record = Call().body(b"").run(send).port()
    assert (record.body, record.content_type, record.status, record.header("X-A")) == (b"no", "text/html", 404, "b")


def test_what_the_chain_would_refuse_is_refused():
    def wrong_port(input, output):
        output.port("nowhere")

    reply = Call().body(b"").run(wrong_port)
    assert isinstance(reply.exception, hacher.Permanent)
    assert reply.reason == "the handler wrote to a port that the chain file does not declare (`ports`)"
    assert Call().body(b"").run(lambda input, output: None).reason == "the handler produced no output"
    assert Call().body(b"").outbox_bytes(1 << 20).run(lambda _: bytes(2 << 20)).failed

    def twice(input, output):
        output.send(b"1")
        output.send(b"2")

    assert not Call().body(b"").run(twice).is_transient
    assert Call().body(b"").run(lambda input, output: b"returned").reason == "the handler raised TypeError"


def test_a_body_is_read_as_it_arrives():
    sizes = []

    def count(input, output):
        for chunk in input:
            sizes.append(len(chunk))
        with pytest.raises(RuntimeError, match="read in chunks"):
            input.body
        with pytest.raises(RuntimeError, match="once"):
            input.chunks()
        output.send(str(sum(sizes)))

    assert Call().body(bytes(1050)).segment_bytes(100).run(count).body == b"1050"
    assert sizes == [100] * 10 + [50]


def test_a_sender_that_gives_up_is_an_exception_of_the_sdk():
    seen = []

    def read(input, output):
        try:
            list(input)
        except hacher.Retry as error:
            seen.append(str(error))
            raise

    reply = Call().body(b"half").breaks_off().run(read)
    assert (reply.reason, seen) == ("the sender gave up on the input", ["the sender gave up on the input"])


def test_a_streamed_record_leaves_as_it_is_written():
    def stream(input, output):
        out = output.port().stream()
        out.write(b"x" * 100_000)
        out.flush()
        out.write(memoryview(b"end"))
        if input.body == b"fail":
            raise OSError("the disk is full")

    record = Call().body(b"").run(stream).port()
    assert record.body == b"x" * 100_000 + b"end" and record.segments == 3
    reply = Call().body(b"fail").run(stream)
    assert reply.port() is None and reply.partial().segments == 2
    assert (reply.reason, reply.is_transient) == ("the handler raised OSError", True)


def test_input_and_output_end_with_their_run_and_belong_to_its_thread():
    kept = []

    def keep(input, output):
        kept.extend([input, output, output.port(), input.parts[0], iter(input)])
        refused = []

        def elsewhere():
            try:
                input.method
            except RuntimeError as error:
                refused.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        output.send(refused[0])

    assert b"the thread that runs the handler" in Call().body(b"x").run(keep).body
    input, output, port, part, chunks = kept
    for late in (
        lambda: input.body,
        lambda: input.method,
        lambda: output.send(b""),
        lambda: port.write(b""),
        lambda: part.body,
        lambda: next(chunks),
    ):
        with pytest.raises(RuntimeError, match="the run is over"):
            late()


def test_other_threads_go_on_while_a_run_waits_in_the_sdk():
    # The harness gives up the interpreter's lock around the whole call.
    going = threading.Event()

    def wait(body: bytes) -> bytes:
        assert going.wait(10)
        return body

    threading.Timer(0, going.set).start()
    assert Call().body(b"done").run(wait).body == b"done"


def test_a_call_is_run_once():
    call = Call().body(b"")
    call.run(lambda body: body)
    with pytest.raises(RuntimeError, match="once"):
        call.run(lambda body: body)


def test_what_does_not_run_when_it_is_called_is_no_handler():
    async def waits(body):
        return body

    def yields(body):
        yield body

    async def both(body):
        yield body

    def by_name(body, *, more):
        return body

    class Waits:
        async def __call__(self, body):
            return body

    for handler in (waits, yields, both, by_name, Waits(), Waits().__call__, functools.partial(waits)):
        with pytest.raises(TypeError, match="a handler takes"):
            hacher.function(handler)
    assert Call().body(b"x").run(functools.partial(by_name, more=1)).body == b"x"


def test_a_second_record_changes_nothing_of_the_first():
    def twice(given, output):
        output.send(b"one")
        try:
            output.send(b"two", status=404, headers=[("x-two", "2")])
        except hacher.Permanent:
            pass

    record = Call().body(b"").run(twice).port()
    assert (record.body, record.status, record.header("x-two")) == (b"one", 200, None)
