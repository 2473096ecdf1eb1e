"""The native half of the package."""

from typing import Any, Callable, Iterator, Optional, Union

from typing_extensions import Self

Body = Union[bytes, bytearray, memoryview, str, None]

def serve(function: Callable[..., Any], form: str) -> int:
    """Serves `function` until the service stops; the exit code of the process."""

def current_run() -> Optional[tuple[str, int]]:
    """The request (its last 16 digits, as the service names it) and the attempt that are run; `None` between two runs."""

class Input:
    """The input of one run, valid until the handler returns, for the thread that it runs on."""

    @property
    def body(self) -> bytes:
        """The whole body of the record, waited for. Raises `Permanent` of a join, whose parts have bodies."""

    def view(self) -> memoryview:
        """The whole body where it was opened, without a copy of it; over a mapped edge, a copy that is made once.

        It is released when the handler returns, and reading it then raises `ValueError`. A run fails for good if anything that
        was made of a view (a slice, an array) outlives it.
        """

    def chunks(self) -> Chunks:
        """The body as it arrives, in pieces of up to 64 KiB, once in a run. What was read is held nowhere."""

    def __iter__(self) -> Chunks:
        """As `chunks()`."""

    @property
    def method(self) -> str:
        """The method of the request, in upper case."""

    @property
    def path(self) -> str:
        """The path of the request behind the chain's name, `""` if there is nothing; percent-encoded."""

    @property
    def query(self) -> Optional[str]:
        """The query of the request, as the client encoded it."""

    @property
    def content_type(self) -> Optional[str]:
        """What the sender says the record is; `None` of a join."""

    @property
    def client_address(self) -> Optional[str]:
        """The address that the request came from, as the gateway saw it; the first functions of a chain alone have it."""

    @property
    def upstream(self) -> Optional[str]:
        """The function that sent the record, `ingress` for the client's request; `None` of a join."""

    def header(self, name: str) -> Optional[str]:
        """The first value of a header of the record. Of a join, one that speaks of the whole request."""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers of the record, names in lower case; empty of a join, whose parts have theirs."""

    def capture(self, name: str) -> Optional[str]:
        """What the chain's route has captured as `{name}`."""

    @property
    def is_join(self) -> bool:
        """Whether this run joins several records."""

    @property
    def parts(self) -> list[Part]:
        """All records, in the order in which the chain file names their functions."""

    def part(self, function: str, port: Optional[str] = None) -> Optional[Part]:
        """The record that came from `function`, by `port` if several of its ports lead here."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt on this record."""

    @property
    def invocation(self) -> str:
        """Which request this run belongs to: 32 digits, the same in every function and attempt."""

    def remaining(self) -> float:
        """Seconds until the process is ended, because of `timeout` or the request's deadline."""

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the result any more."""

    def secret(self, name: str) -> Optional[bytes]:
        """A secret that the chain file gives to this function."""

    def env(self, name: str) -> Optional[str]:
        """A variable of the function's environment; in a test, of the call."""

class Chunks(Iterator[bytes]):
    """Iterates over a body as it arrives."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...

class Part:
    """One record of the input."""

    @property
    def upstream(self) -> str:
        """The function that sent it."""

    @property
    def port(self) -> str:
        """The port that it was sent by."""

    @property
    def content_type(self) -> Optional[str]:
        """What its sender says it is."""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers, names in lower case."""

    def header(self, name: str) -> Optional[str]:
        """The first value of a header."""

    @property
    def body(self) -> bytes:
        """Its whole body."""

    def view(self) -> memoryview:
        """Its whole body where it was opened; as `Input.view`."""

class Output:
    """The output of one run. Nothing leaves before the handler returns, unless a port is told to stream."""

    def send(
        self,
        body: Body,
        port: str = "out",
        *,
        content_type: Optional[str] = None,
        status: Optional[int] = None,
        headers: Optional[list[tuple[str, str]]] = None,
    ) -> None:
        """Sends the one record of a port, whole. `str` is sent as UTF-8, with that content type."""

    def port(self, name: str = "out") -> Port:
        """What writes the record of a port, piece by piece. Asking again goes on with the same record."""

    def set_status(self, status: int) -> None:
        """Chooses the status of the reply that the record on the port `out` makes, 200 to 599."""

class Port:
    """Writes the record of one port; has what libraries ask of a file that is written in order."""

    @property
    def name(self) -> str:
        """The port."""

    def set_header(self, name: str, value: str) -> None:
        """Sets a header, replacing all earlier values."""

    def append_header(self, name: str, value: str) -> None:
        """Adds a header after earlier values of the name."""

    def remove_header(self, name: str) -> None:
        """Removes all values of a header, inherited ones too."""

    def remove_explanation(self) -> None:
        """Removes what an `error` port says of why a record was given up."""

    def set_content_type(self, content_type: str) -> None:
        """Says what the body is."""

    def set_status(self, status: int) -> None:
        """Chooses the status of the reply that this record makes, 200 to 599."""

    def describe_as(self, part: Part) -> None:
        """Says that the body is what the body of `part` is: takes over its type and coding."""

    def stream(self) -> Self:
        """Makes the record leave as it is written. Headers are set before."""

    def write(self, body: Body) -> int:
        """Appends to the body; how many bytes."""

    def flush(self) -> None:
        """Of a streamed record, passes on what was written so far."""

class Call:
    """One call of a handler, in the making."""

    def __init__(self) -> None: ...
    def body(self, body: bytes) -> Self:
        """The body of a single record, from `ingress`."""

    def input(self, function: str, body: bytes, port: str = "out") -> Self:
        """A record from a port of `function`; several make a join."""

    def error_input(self, function: str, body: bytes, reason: str = "", attempts: int = 1) -> Self:
        """A record that `function` gave up, from its port `error`, with the headers that say so."""

    def segment_bytes(self, len_bytes: int) -> Self:
        """Has the record that was added last arrive in pieces of this size."""

    def breaks_off(self) -> Self:
        """Has the sender of the record that was added last give up before its end."""

    def header(self, name: str, value: str) -> Self:
        """Adds a header to the record that was added last."""

    def content_type(self, value: str) -> Self:
        """Says what the record that was added last is."""

    def method(self, method: str) -> Self:
        """The method of the client's request; `POST` unless said otherwise."""

    def path(self, path: str) -> Self:
        """The path of the client's request, below `/chains/NAME`."""

    def query(self, query: str) -> Self:
        """The query of the client's request, encoded."""

    def capture(self, name: str, value: str) -> Self:
        """What the chain's route has captured."""

    def ports(self, *names: str) -> Self:
        """The output ports, instead of the one port `out`."""

    def held(self, port: str) -> Self:
        """Says that a reader of this port does not stream."""

    def outbox_bytes(self, len_bytes: int) -> Self:
        """Bounds the records that leave at once."""

    def secret(self, key: str, value: bytes) -> Self:
        """Gives the handler a secret."""

    def env(self, name: str, value: str) -> Self:
        """Sets a variable that `Input.env` reads; `os.environ` does not have it."""

    def attempt(self, attempt: int) -> Self:
        """Which attempt this is."""

    def deadline(self, seconds: float) -> Self:
        """How long the request may still take."""

    def timeout(self, seconds: float) -> Self:
        """How long this attempt may take."""

    def cancelled(self, looks: int = 0) -> Self:
        """Makes `is_cancelled` answer `True`, once the handler has asked `looks` times."""

    def _run(self, function: Callable[..., Any], form: str) -> Reply: ...

class Reply:
    """What a handler did."""

    @property
    def reason(self) -> Optional[str]: ...
    @property
    def is_transient(self) -> Optional[bool]: ...
    @property
    def exception(self) -> Optional[BaseException]: ...
    def port(self, name: str = "out") -> Optional[Record]: ...
    def partial(self, name: str = "out") -> Optional[Record]: ...

class Record:
    """A record that a handler wrote."""

    @property
    def body(self) -> bytes:
        """The body."""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers, names in lower case."""

    def header(self, name: str) -> Optional[str]:
        """The first value of a header."""

    @property
    def content_type(self) -> Optional[str]:
        """What the handler says the body is."""

    @property
    def status(self) -> int:
        """The status of the reply that the record makes."""

    @property
    def segments(self) -> int:
        """How many segments it left in."""
