//! The table of ratios: what the fabric is held to, then what is merely good to know.

use super::definition::Figure::{
    BytesPerS, BytesPerSOf, Fixed, PerFunction, RecordsPerS, RecordsPerSOfSlowest, Sum, Time,
};
use super::definition::Quantile::{P50, P99};
use super::definition::Target::{AtLeast, AtLeastOr, AtMost, AtMostMore};
use super::definition::{Definition, Figure, Quantile, Select, Target};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const fn row(experiment: &'static str, transport: &'static str) -> Select {
    Select {
        experiment,
        function: None,
        transport,
        protection: None,
        placements: &[],
        touched: None,
        hops: None,
        phase: None,
    }
}

const fn floor(transport: &'static str, placements: &'static [&'static str]) -> Select {
    Select {
        placements,
        ..row("hop", transport)
    }
}

/// What the fabric moves, read by its receivers.
const fn sealed(experiment: &'static str, placements: &'static [&'static str]) -> Select {
    Select {
        protection: Some("sealed"),
        placements,
        touched: Some(true),
        ..row(experiment, "fabric")
    }
}

/// What it moves when its receivers open it, which authenticates every byte, and do not read it again.
const fn opened(experiment: &'static str, placements: &'static [&'static str]) -> Select {
    Select {
        touched: Some(false),
        ..sealed(experiment, placements)
    }
}

const fn chain_of(functions: u32, chain: Select) -> Select {
    Select {
        hops: Some(functions),
        ..chain
    }
}

/// Requests at half the rate that the subject can take.
const fn half_knee(transport: &'static str, functions: u32) -> Select {
    Select {
        hops: Some(functions),
        phase: Some("half-knee"),
        ..row("load", transport)
    }
}

const PACKED: &[&str] = &["packed"];
const SPREAD: &[&str] = &["spread"];
/// Two cores: pinned if that was measured, else left to the scheduler.
const APART: &[&str] = &["spread", "floating"];

const SEAL: Select = floor("aead-seal", &[]);
const OPEN: Select = floor("aead-open", &[]);
/// A hop between two processes of one core cannot cost less than this.
const PACKED_FLOOR: &[Select] = &[floor("eventfd-wake", PACKED), SEAL, OPEN];
/// Nor one between two cores, for a record of one segment.
const SPREAD_FLOOR: &[Select] = &[floor("spin", SPREAD), SEAL, OPEN];
const SEAL_THEN_OPEN: &[Select] = &[SEAL, OPEN];

const FABRIC_CHAIN: Select = sealed("chain", PACKED);
/// As it is placed by default; like what it is compared with then, on as many cores as there are.
const FABRIC_CHAIN_AUTO: Select = sealed("chain", &["auto"]);
const BARE_CHAIN: Select = row("chain", "eventfd-circle");
const MAPPED_UNTOUCHED: Select = Select {
    protection: Some("mapped"),
    placements: SPREAD,
    touched: Some(false),
    ..row("hop", "fabric")
};
const ICEORYX2_BUSY_UNTOUCHED: Select = Select {
    touched: Some(false),
    ..floor("iceoryx2-busy", SPREAD)
};
const ICEORYX2_EVENT: Select = Select {
    touched: Some(true),
    ..floor("iceoryx2-event", PACKED)
};

/// A baseline's chain over the fabric's, of the same length and payload.
const fn faster_chain(
    name: &'static str,
    baseline: Select,
    fabric: Select,
    (functions, payload_bytes): (u32, u64),
    times: Option<f64>,
) -> Definition {
    Definition {
        name,
        numerator: Time(P50, chain_of(functions, baseline)),
        denominator: Time(P50, chain_of(functions, fabric)),
        payloads: payload_bytes..=payload_bytes,
        hops: functions,
        target: match times {
            Some(times) => Some(AtLeast(times)),
            None => None,
        },
    }
}

/// What one function more costs between two lengths of a chain, and these besides.
const fn per_function(chain: Select, (from, to): (u32, u32), besides: &'static [Select]) -> Figure {
    PerFunction {
        chain,
        from,
        to,
        besides,
    }
}

/// The cost of one function more, between two lengths of a packed chain.
const fn one_more_function(from: u32, to: u32) -> Definition {
    Definition {
        name: "one more function in a packed chain, over its floor",
        numerator: per_function(FABRIC_CHAIN, (from, to), &[]),
        denominator: Sum(PACKED_FLOOR),
        payloads: 4 * KIB..=4 * KIB,
        hops: to,
        target: Some(AtMost(1.4)),
    }
}

/// The same over what the same number of processes cost that do nothing but wake each other, sealing and
/// opening besides.
const fn one_more_over_bare(from: u32, to: u32) -> Definition {
    Definition {
        name: "the same, over one more bare process in a circle, sealing and opening",
        denominator: per_function(BARE_CHAIN, (from, to), SEAL_THEN_OPEN),
        target: None,
        ..one_more_function(from, to)
    }
}

/// What bare processes cost more, the more there are: a bound to what can be asked of functions.
const fn one_more_bare(from: u32, to: u32) -> Definition {
    Definition {
        name: "one more bare process in a circle, sealing and opening, over the floor of two",
        numerator: per_function(BARE_CHAIN, (from, to), SEAL_THEN_OPEN),
        target: None,
        ..one_more_function(from, to)
    }
}

/// The cost of one function more where functions take turns over two cores.
const fn one_more_in_turn(from: u32, to: u32) -> Definition {
    Definition {
        name: "one more function in a chain as placed by default, over the same floor",
        numerator: per_function(FABRIC_CHAIN_AUTO, (from, to), &[]),
        target: None,
        ..one_more_function(from, to)
    }
}

const fn hop(
    name: &'static str,
    numerator: Select,
    denominator: Figure,
    payloads: std::ops::RangeInclusive<u64>,
    target: Option<Target>,
) -> Definition {
    Definition {
        name,
        numerator: Time(P50, numerator),
        denominator,
        payloads,
        hops: 1,
        target,
    }
}

/// Requests through the chain over requests that the gateway answers by itself.
const fn gateway(name: &'static str, quantile: Quantile) -> Definition {
    Definition {
        name,
        numerator: Time(quantile, half_knee("fabric", 4)),
        denominator: Time(quantile, half_knee("gateway", 0)),
        payloads: 4 * KIB..=4 * KIB,
        hops: 4,
        target: Some(AtMost(1.5)),
    }
}

/// Requests that are kept from others over plain ones, both on connections of one kind.
const fn kept_from_others(
    name: &'static str,
    (transport, protection): (&'static str, &'static str),
    payload: u64,
    target: Target,
) -> Definition {
    let plain = Select {
        protection: Some("tls1.3"),
        ..row("session", transport)
    };
    Definition {
        name,
        numerator: Time(
            P50,
            Select {
                protection: Some(protection),
                ..plain
            },
        ),
        denominator: Time(P50, plain),
        payloads: payload..=payload,
        hops: 1,
        target: Some(target),
    }
}

/// A baseline's hop over the fabric's, with nothing asked of it.
const fn beside(name: &'static str, baseline: &'static str) -> Definition {
    Definition {
        name,
        numerator: Time(P50, floor(baseline, PACKED)),
        denominator: Time(P50, sealed("hop", PACKED)),
        payloads: 64..=16 * MIB,
        hops: 1,
        target: None,
    }
}

/// What is left of calls of so many handlers in Python when these are taken off.
const fn share(
    function: &'static str,
    functions: u32,
    transport: &'static str,
    placements: &'static [&'static str],
) -> Select {
    Select {
        function: Some(function),
        placements,
        hops: Some(functions),
        phase: Some("share"),
        ..row("functions", transport)
    }
}

/// The fabric's share of a call, over what is asked of it.
const fn python_call(name: &'static str, placements: &'static [&'static str]) -> Definition {
    Definition {
        name,
        numerator: Time(P50, share("noop", 1, "fabric", placements)),
        denominator: Fixed("60 µs", 60_000.0),
        payloads: 16 * KIB..=16 * KIB,
        hops: 1,
        target: Some(AtMost(1.0)),
    }
}

/// Three handlers behind servers over three in a chain, neither with their handlers.
const fn three_in_python(
    name: &'static str,
    servers: &'static [&'static str],
    chain: &'static [&'static str],
) -> Definition {
    Definition {
        name,
        numerator: Time(P50, share("noop", 3, "uvicorn", servers)),
        denominator: Time(P50, share("noop", 3, "fabric", chain)),
        payloads: 16 * KIB..=16 * KIB,
        hops: 3,
        target: Some(AtLeast(3.0)),
    }
}

/// What calling a handler in another way costs, over what it costs in a chain, with nothing asked of it.
const fn called(name: &'static str, function: &'static str, transport: &'static str) -> Definition {
    Definition {
        name,
        numerator: Time(P50, share(function, 1, transport, &["floating"])),
        denominator: Time(P50, share(function, 1, "fabric", &["auto"])),
        payloads: 1..=u64::MAX,
        hops: 1,
        target: None,
    }
}

const fn behind_https(function: &'static str) -> Definition {
    called(
        "a call behind HTTPS keep-alive over one in a chain, handlers excluded",
        function,
        "uvicorn",
    )
}

const fn in_new_process(function: &'static str) -> Definition {
    called(
        "a call in a new process over one in a chain, handlers excluded",
        function,
        "new-process",
    )
}

/// All of them, in the order of reports.
pub(super) const ALL: &[Definition] = &[
    hop(
        "sealed hop, packed, over its floor",
        sealed("hop", PACKED),
        Sum(PACKED_FLOOR),
        64..=64,
        Some(AtMost(1.5)),
    ),
    hop(
        "sealed hop, packed, over its floor",
        sealed("hop", PACKED),
        Sum(PACKED_FLOOR),
        4 * KIB..=64 * KIB,
        Some(AtMost(1.3)),
    ),
    hop(
        "sealed hop, packed, over its floor",
        sealed("hop", PACKED),
        Sum(PACKED_FLOOR),
        64 * KIB + 1..=16 * MIB,
        None,
    ),
    hop(
        "sealed hop, spread, over its floor",
        sealed("hop", SPREAD),
        Sum(SPREAD_FLOOR),
        64..=64,
        Some(AtMost(2.0)),
    ),
    hop(
        "sealed hop, spread, over sealing then opening",
        sealed("hop", SPREAD),
        Sum(SEAL_THEN_OPEN),
        MIB..=16 * MIB,
        Some(AtMost(0.7)),
    ),
    hop(
        "the same, opened and not read again, as the floor is",
        opened("hop", SPREAD),
        Sum(SEAL_THEN_OPEN),
        MIB..=16 * MIB,
        None,
    ),
    hop(
        "sealed hop, packed, over an unencrypted hop of iceoryx2 (event)",
        sealed("hop", PACKED),
        Time(P50, ICEORYX2_EVENT),
        64..=16 * KIB,
        Some(AtMost(1.0)),
    ),
    hop(
        "mapped hop, spread, untouched, over iceoryx2 (busy)",
        MAPPED_UNTOUCHED,
        Time(P50, ICEORYX2_BUSY_UNTOUCHED),
        64..=MIB,
        Some(AtMost(0.8)),
    ),
    faster_chain(
        "chain through NATS with TLS on one core, over sealed as placed by default",
        Select {
            placements: PACKED,
            ..row("chain", "nats-tls")
        },
        FABRIC_CHAIN_AUTO,
        (4, 4 * KIB),
        Some(6.0),
    ),
    faster_chain(
        "the same, over sealed on one core",
        Select {
            placements: PACKED,
            ..row("chain", "nats-tls")
        },
        FABRIC_CHAIN,
        (4, 4 * KIB),
        None,
    ),
    Definition {
        name: "sealed throughput of one edge, over the rate of sealing on one core",
        numerator: BytesPerS(sealed("throughput", SPREAD)),
        denominator: BytesPerSOf(SEAL),
        payloads: 64 * KIB..=16 * MIB,
        hops: 1,
        target: Some(AtLeast(0.8)),
    },
    Definition {
        name: "the same, opened and not read again, as the floor is",
        numerator: BytesPerS(opened("throughput", SPREAD)),
        denominator: BytesPerSOf(SEAL),
        payloads: 64 * KIB..=16 * MIB,
        hops: 1,
        target: None,
    },
    Definition {
        name: "sealed records/s of one edge, over what sealing or opening allows",
        numerator: RecordsPerS(sealed("throughput", SPREAD)),
        denominator: RecordsPerSOfSlowest(SEAL_THEN_OPEN),
        payloads: 64..=64,
        hops: 1,
        target: Some(AtLeastOr {
            ratio: 0.5,
            or_per_s: 3e6,
        }),
    },
    faster_chain(
        "chain over HTTPS keep-alive on one core, over sealed on one core",
        Select {
            placements: PACKED,
            ..row("chain", "https")
        },
        FABRIC_CHAIN,
        (32, 16 * KIB),
        Some(5.0),
    ),
    faster_chain(
        "chain over HTTPS keep-alive on two cores, over sealed as placed by default",
        Select {
            placements: APART,
            ..row("chain", "https")
        },
        FABRIC_CHAIN_AUTO,
        (32, 16 * KIB),
        Some(25.0),
    ),
    faster_chain(
        "chain over HTTPS with a connection per call, over sealed as placed by default",
        row("chain", "https-new"),
        FABRIC_CHAIN_AUTO,
        (32, 16 * KIB),
        Some(90.0),
    ),
    faster_chain(
        "the same, over sealed on one core",
        row("chain", "https-new"),
        FABRIC_CHAIN,
        (32, 16 * KIB),
        None,
    ),
    one_more_function(2, 32),
    one_more_function(2, 4),
    one_more_function(4, 8),
    one_more_function(8, 16),
    one_more_function(16, 32),
    one_more_over_bare(2, 32),
    one_more_bare(2, 32),
    one_more_in_turn(2, 32),
    gateway(
        "request through a chain at half its knee, over the gateway alone, p50",
        P50,
    ),
    gateway(
        "request through a chain at half its knee, over the gateway alone, p99",
        P99,
    ),
    kept_from_others(
        "sealed request of 4 KiB over a plain one",
        ("gateway", "sealed"),
        4 * KIB,
        AtMostMore { ns: 150_000.0 },
    ),
    kept_from_others(
        "sealed request of 1 MiB over a plain one",
        ("gateway", "sealed"),
        MIB,
        AtMost(1.1),
    ),
    kept_from_others(
        "new connection bound to evidence over a new one",
        ("gateway-new", "bound"),
        4 * KIB,
        AtMostMore { ns: 1_000_000.0 },
    ),
    beside("Unix socket on one core, over a sealed hop", "unix-socket"),
    beside("HTTP keep-alive on one core, over a sealed hop", "http"),
    beside("HTTPS keep-alive on one core, over a sealed hop", "https"),
    beside("mutual TLS on one core, over a sealed hop", "https-mtls"),
    beside("HTTPS with a connection per call, over a sealed hop", "https-new"),
    python_call(
        "the fabric's share of a call, as placed by default, over 60 µs",
        &["auto"],
    ),
    python_call("the same, on one core", PACKED),
    three_in_python(
        "three behind HTTPS keep-alive on two cores, over a chain as placed by default, handlers excluded",
        APART,
        &["auto"],
    ),
    three_in_python(
        "three behind HTTPS keep-alive on one core, over a chain on one core, handlers excluded",
        PACKED,
        PACKED,
    ),
    behind_https("noop"),
    behind_https("dynamic-html"),
    behind_https("thumbnailer"),
    behind_https("compression"),
    behind_https("graph-bfs"),
    behind_https("graph-mst"),
    behind_https("graph-pagerank"),
    behind_https("dna-visualisation"),
    in_new_process("noop"),
    in_new_process("dynamic-html"),
    in_new_process("thumbnailer"),
    in_new_process("compression"),
    in_new_process("graph-bfs"),
    in_new_process("graph-mst"),
    in_new_process("graph-pagerank"),
    in_new_process("dna-visualisation"),
];
