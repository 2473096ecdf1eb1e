//! The stable codes of diagnostics, each with a title and an explanation.
//!
//! A code never changes its meaning and is never used again. `E` stops a chain, `W` does not.
//! The hundreds group them: 01 text, 02 keys and values, 03 flow lines, 04 the graph, 05 the machine
//! (found by the caller, which has a file system), 06 warnings.

use std::fmt;

/// Whether a diagnostic stops the chain from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The chain cannot be used.
    Error,
    /// The chain can be used, but it is probably not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

macro_rules! codes {
    ($($name:ident $code:literal $title:literal $explanation:literal)*) => {
        /// The stable code of a kind of diagnostic.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $code, "`: ", $title, ".")] $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it is printed, such as `E0201`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What this kind of diagnostic says, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Why this is refused and what to do, in a few sentences.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation,)* }
            }
        }
    };
}

codes! {
    FileTooLarge "E0101" "the file is too large"
        "A chain file holds at most 1 MiB of text. A larger one is refused unread."
    TomlSyntax "E0102" "the text is not TOML"
        "The file could not be read as TOML. Often a quote, a bracket or an equals sign is missing; \
         sizes and durations are strings and stand in quotes, as in `memory = \"256MiB\"`. While a \
         file has such an error, only what can be judged on its own is checked further."
    DuplicateKey "E0103" "a key is written twice"
        "A key may be written once in its table, and a table may be opened once. Two functions cannot \
         have the same name."
    NotUtf8 "E0104" "the file is not UTF-8"
        "A chain file is text in UTF-8, with or without a byte-order mark, its lines ended by a line feed or \
         by a carriage return and a line feed. Save a file in another encoding, such as UTF-16 or Latin-1, \
         as UTF-8."
    UnknownKey "E0201" "an unknown key"
        "Every key that is accepted is honoured, so a key that means nothing is an error: it is usually \
         a slip, or stands in the wrong table. Keys that belong to the whole file stand above the first \
         `[table]` line."
    MissingKey "E0202" "a key is missing"
        "`chain`, `flow`, and in each function one of `exec`, `python`, `http` and `lambda` have no default and must be written."
    WrongType "E0203" "a value of the wrong type"
        "The value has another type than its key expects. Sizes and durations are strings with a unit; \
         `flow` and `ports` are arrays of strings."
    BadSize "E0204" "not a size"
        "A size is a whole number followed by B, KiB, MiB, GiB or TiB, in quotes: `\"32MiB\"`. A KiB is \
         1024 bytes. Decimal units such as MB are not accepted, so that no reader has to guess."
    BadDuration "E0205" "not a duration"
        "A duration is a whole number followed by us, ms, s, m or h, in quotes: `\"250ms\"`."
    OutOfRange "E0206" "a value out of range"
        "The value has the right type but lies outside the bounds of its key. Every bound is in the \
         JSON Schema of the file too."
    BadName "E0207" "a name with characters that it cannot have"
        "Names of chains, functions and ports are one to 63 characters: a lower-case letter first, then \
         lower-case letters, digits, `-` and `_`. Names in `env` and `secrets` begin with a letter or \
         `_` and hold letters, digits and `_`."
    ReservedName "E0208" "a reserved name"
        "`ingress` and `egress` are the ends of the chain and `gateway` is the trustlet that serves them, \
         so no function can have these names. The port `error` exists on each function without being \
         declared, and `fault` is kept for later. Environment names beginning with `HACHER_` belong to \
         the system."
    UnknownChoice "E0209" "an unknown word for a key"
        "The key takes one of a few words, and this is none of them."
    BadText "E0210" "a text that cannot be used"
        "The text is empty, too long for its key, or holds a character that cannot be passed on (such as \
         a NUL byte)."
    TooMany "E0211" "too many entries"
        "Each list and table has a bound, so that no file can make the system allocate without one: 64 \
         ports, 64 environment variables, 64 secrets, 64 arguments and 64 files or folders for each function."
    BadSecret "E0212" "a secret that is not a reference"
        "A secret never stands in the chain file. It is a reference that the monitor resolves and hands to this \
         one function: `file:` and an absolute path, or `kbs:///REPOSITORY/TYPE/TAG` for what a key broker releases \
         (`serve --kbs`); or a table with this reference as `from`, and `trim = true` where line breaks at its end \
         are not part of the secret."
    NotBuiltYet "E0213" "not built yet"
        "The language has room for this, but the system does not do it yet. A key that is accepted is \
         honoured, so it is refused rather than ignored."
    DuplicatePort "E0214" "a port is declared twice"
        "A port stands once in the `ports` of its function."
    Contradiction "E0215" "two values that contradict each other"
        "Each value is fine alone, but together they cannot be honoured, such as a longest back-off that \
         is shorter than the first one."
    BadAddress "E0216" "not an address"
        "An address is an IP address, `:` and a port, in quotes: `\"127.0.0.1:9001\"`, or `\"[::1]:9001\"`. Names are not \
         looked up, so that a chain file means the same on each machine."
    PlainText "E0217" "plain HTTP beyond this machine"
        "Plain HTTP is served on loopback only. A gateway that listens on another address needs `tls` with a certificate \
         and its key."
    BadPlace "E0218" "a place where a file cannot be"
        "A function finds each of its `files` at one place, an absolute path without `..`. A path that does not climb, such \
         as `models/small.bin`, says its place itself: `/models/small.bin`; any other needs a table, { from = \"...\", to = \
         \"/...\" }. Places are apart: none is another's folder. `/dev`, `/proc`, `/sys`, `/tmp`, `/image`, \
         `/etc/localtime`, `/usr/share/zoneinfo` and what holds them are taken."
    BadRoute "E0219" "a route that no request can take"
        "A route is a path: it begins with `/`, and each segment is literal, or a capture such as `{size}`, which takes one \
         segment that is not empty; `{*rest}` as the last takes all that follow. /chains, /evidence, /healthz and /readyz are \
         the gateway's."
    BadHeader "E0220" "a header that cannot be carried"
        "`headers` names headers of requests that the first functions of the chain get besides those that every chain \
         carries. Those that speak of one connection or its framing end at the gateway (RFC 9110, section 7.6.1), and names that begin with \
         `hacher-` are the system's: what clients send under them is dropped."
    FlowSyntax "E0301" "a flow line that cannot be read"
        "A flow line is two or more steps joined by `->`. A step is a function, or several joined by `&` \
         (all of them) or, in the first step, by `|` (any of them). `name.port` names an output port."
    AlternativeTarget "E0302" "a choice as a target"
        "`b | c` before an arrow means that whichever arrives goes on. After an arrow it would mean that \
         the system chooses where a record goes, and it never does: the function chooses, in private, by \
         writing to one of its ports. Use ports to choose, or `&` to send to both."
    MixedStep "E0303" "`&` and `|` in one step"
        "A step is either all of its members or any of them. Write several flow lines for several ways \
         into a function: each line is an alternative."
    EachReserved "E0304" "`=>` is not built yet"
        "`=>` is kept for running a function once for each item that another emits. It is not built yet."
    PortNotAllowed "E0305" "a port where none can be"
        "A port names an output, so it stands before an arrow and belongs to a function. The end of a \
         line, `ingress` and `egress` have none."
    IngressAsTarget "E0306" "`ingress` as a target"
        "`ingress` is where requests come in; nothing can be sent to it."
    EgressAsSource "E0307" "`egress` as a source"
        "`egress` is where the answer leaves the chain; nothing comes out of it."
    JoinIntoEgress "E0308" "a join into `egress`"
        "The answer is one record. Several make one where the file says `egress = \"join\"`: the reply is then \
         `multipart/mixed`, with a part for each. Otherwise a function joins them, and sends its output to `egress`."
    PassThrough "E0309" "`ingress` leads straight to `egress`"
        "Such a line would hand each request back as its own answer before any function has run."
    UnknownFunction "E0401" "an unknown function"
        "A flow line names a function that has no `[function.NAME]` table."
    UndeclaredPort "E0402" "an undeclared port"
        "A flow line names a port that its function does not declare. Ports are declared with `ports`; \
         without that key a function has one, `out`. A function named without a port means `out`. The \
         port `error` exists on every function without being declared."
    DuplicateEdge "E0403" "the same edge twice"
        "One port hands its records to one function once. Writing the edge again would run the function \
         twice on the same record."
    UnusedFunction "E0404" "an unused function"
        "A function has a table, but no flow line names it. It would be started and never run."
    Unreachable "E0405" "a function that nothing reaches"
        "A function stands in the flow, but no record that comes in at `ingress` can get to it."
    NoWayOut "E0406" "a function from which nothing leaves"
        "None of the function's own ports leads to `egress`, so a request that goes there is never \
         answered. Its `error` port alone does not count: it carries a record only after a failure."
    Cycle "E0407" "a cycle"
        "Records go round in a circle. A chain is a graph without cycles, so that every request ends \
         after a bounded number of steps; to try again after a failure, use `retry`."
    JoinNeverCompletes "E0408" "a join that can never complete"
        "A join waits for one record of each of its members. If one of them can never come, or only comes \
         when another does not (a function either succeeds or sends to its `error` port, not both), the \
         function behind the join never runs."
    ErrorPortOnJoin "E0409" "an `error` port on a function with a join"
        "`f.error` hands on the one record that failed. A function that waits for several has no such \
         record, so its failure fails the request."
    ChainTooLarge "E0410" "a chain past its limits"
        "A chain holds at most 256 functions and 1,024 edges, and a join waits for at most 64 records. \
         Split a larger one into several chains."
    NoIngress "E0411" "nothing comes in"
        "No flow line begins at `ingress`, so no request ever reaches a function."
    NoEgress "E0412" "nothing goes out"
        "No flow line ends at `egress`, so no request is ever answered."
    UnknownEdge "E0413" "a table for an edge that is not there"
        "`[edge.\"a -> b\"]` says something of one edge of the flow, written as its source (with its port, unless \
         that is `out`), an arrow, and its target. No flow line makes this edge."
    StreamIntoJoin "E0414" "a stream into a join"
        "A function or an edge with `stream = true` is read record by record, as each arrives. A join waits until a record of each \
         of its members is there, so it holds them all, and there is nothing left to stream."
    NothingToJoin "E0415" "a reply that joins nothing"
        "With `egress = \"join\"` the records that a flow line joins before `egress` make one reply: `a & b -> egress`. No flow \
         line does that: each of them leads there alone, and is an alternative of the others."
    ExecMissing "E0501" "an executable that is not there"
        "The file named by `exec` does not exist. The path is relative to the chain file. If it has to \
         be built first, give a `build` command and run with `--build`."
    ExecNotExecutable "E0502" "a file that cannot be executed"
        "The file named by `exec` exists, but is not a regular file that may be executed."
    SecretUnresolvable "E0503" "a secret that cannot be resolved"
        "The file that a secret refers to is missing, cannot be read, is not a regular file, or holds more than \
         8 KiB. It is read when the chain is loaded. What a key broker keeps is not looked at before the chain is served."
    ExecNotUsable "E0504" "an executable that this machine cannot run"
        "The file named by `exec` is not an executable for this machine and operating system."
    FileNotUsable "E0505" "a file or folder that a function cannot be given"
        "Something that `files` names is missing, cannot be read, is too large, holds a link that leads out of it, or is \
         neither file nor folder nor link; or its place in the function is taken by the executable's libraries. Files are \
         read when the chain is loaded, and what happens to them later does not matter."
    PythonNotUsable "E0506" "a function in Python that cannot be loaded"
        "Something that a function in Python needs was not found: its file, the handler in it, the interpreter or its library, \
         the virtual environment, or the package `hacher`; or the interpreter is older than Python 3.9. Nothing of it is run to \
         find that out: the version is that of the folder `lib/pythonX.Y` beside the interpreter."
    AdaptorMissing "E0507" "a program that has no adaptor"
        "A function with `http` or `lambda` is a program that knows nothing of chains. `hacher-adaptor`, which has to lie beside \
         `hacher-fabric`, is the function's executable and starts it."
    TlsNotUsable "E0511" "a TLS file that cannot be used"
        "A file that `tls` names is missing, is no regular file, is empty or too large, is not PEM, holds something else, or \
         the key does not belong to the certificate. An encrypted key cannot be used either: nobody is there to type its \
         passphrase."
    AddressTaken "E0512" "an address that two chains want"
        "Each chain with `listen` has a gateway of its own, and one address leads to one of them. An address without a host, \
         such as `0.0.0.0:9001`, takes the port of every address."
    RouteTaken "E0513" "a route that two chains want"
        "Of the chains that one gateway serves, each has the requests to its route for itself. Where two routes take one path, \
         the one has it that is literal where the other captures, so `/a/b` may stand beside `/a/{x}`; but `/a/{x}` and \
         `/a/{y}` are the same. \
         What begins with /chains, /evidence, /healthz or /readyz is the gateway's, whatever a route such as `/{*rest}` \
         would take besides."
    UnconnectedPort "W0601" "a port that leads nowhere"
        "A port is declared, but no flow line takes from it: a record written there goes no further. \
         Connect it, or drop it from `ports`."
    TimeoutPastDeadline "W0602" "a timeout longer than the deadline"
        "The request's deadline ends the run before the function's own timeout can."
    BodyPastOutbox "W0603" "a body larger than an outbox on its path"
        "A record has to fit into the outbox of the function that sends it. A request with the largest \
         body could not be passed on by this function, nor by its `error` port."
    JoinOfTwoPorts "W0604" "a join that waits for two ports of one function"
        "The join completes only when the function writes to both ports for one record. If it chooses \
         between them, the join never completes."
    JoinPastMemory "W0605" "a join of more than its memory"
        "The function waits for several records, and together they can be larger than its `memory`. The records themselves \
         have memory of their own, up to `max_body` for each, so waiting for them is safe; but a handler that puts them \
         together in one piece needs as much of `memory` again, and would be killed. Raise `memory`, or lower `max_body`, \
         which is what the largest record is taken to be."
    MemoryPastMachine "W0606" "functions that may take more memory than there is"
        "Every function may take as much memory as its `memory` says, and some for the fabric and its outbox, once for each \
         instance. Together that is more than the machine has, or the control group of the service. As long as they do not \
         take it all at the same time, nothing is wrong; if they do, the kernel ends one of them."
    EgressRace "W0607" "several records for one reply"
        "A request has one reply, and more than one record of it may reach `egress`, because nothing in between chooses: no \
         function writes to one port rather than another. (A function with `stream = true` may have several ports open at a \
         time, so its ports choose nothing.) The record that is complete first is the reply, and the others are \
         dropped when they come. If that is meant (two ways of which the faster one counts), write `egress = \"first\"` at the top of the file. \
         To answer with all of them, write `egress = \"join\"` and join them in a flow line (`a & b -> egress`), or let a \
         function join them (`a & b -> pack -> egress`). To answer with one of them, choose by ports."
    StreamHeld "W0608" "a stream that another reader holds"
        "All readers of a port read the same sealed record. One of them has `stream = true` and lets go of what it has \
         read; another needs the whole record until it is done, so the record is held in its producer's outbox as long \
         as that takes, and one that is larger than the outbox is refused. So are the parts of a reply that is joined at \
         `egress`: the gateway holds each until all have come, up to `max_reply` together."
    RouteOverlap "W0609" "a route that takes paths of another chain's route"
        "Two chains that one gateway serves have routes that take the same paths, as `/a/{x}` and `/a/b` do. Each of these \
         paths goes to one of them: to the route that is literal at the first segment where they differ, and of two \
         captures, to `{x}` before `{*rest}`. A chain loses requests where another one is served beside it that it would \
         get alone. If that is not meant, choose routes of which no path is both, or give one of the chains a gateway of \
         its own (`listen`)."
    ProgramLibraryMissing "W0610" "a program among the files that lacks a library"
        "A function with `syscalls = \"program\"` is given an executable whose libraries are neither among its files nor on this \
         machine where its dynamic loader would look, so that it will not start. Give the library with `files`, at a place \
         where the program looks; or start it with `LD_LIBRARY_PATH`, if it is there under another name."
    CertificateDoubtful "W0611" "a certificate that clients will not like"
        "The certificate can be served, but has expired, is not valid yet, or is not for servers, so that clients which check \
         it refuse the connection."
    LibraryMissing "W0612" "a library that an extension module links and that is not here"
        "An extension module of Python links a library that is in none of the folders where the dynamic loader looks. What \
         imports the module fails; if nothing does, nothing is wrong. Otherwise install the library on this machine."
}

impl Code {
    /// The code that is printed as `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether it stops the chain.
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with('W') {
            Severity::Warning
        } else {
            Severity::Error
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The title and explanation of a code such as `E0201`, in any letter case; `None` for an unknown one.
#[must_use]
pub fn explain_code(code: &str) -> Option<String> {
    let code = Code::parse(code)?;
    Some(format!("{code}: {}\n\n{}\n", code.title(), code.explanation()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        let texts: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(texts, sorted);
    }

    #[test]
    fn every_code_explains_itself() {
        for code in Code::ALL {
            assert!(explain_code(code.as_str()).unwrap().contains(code.explanation()));
            assert!(code.explanation().len() > 40, "{code}");
        }
        assert_eq!(explain_code("E9999"), None);
        assert!(explain_code("e0201").is_some());
    }
}
