//! The table of ratios: what the fabric is held to, then what is merely good to know.

use super::definition::Figure::{
    BytesPerS, BytesPerSOf, PerFunction, RecordsPerS, RecordsPerSOfSlowest, Sum, Time,
};
use super::definition::Quantile::{P50, P99};
use super::definition::Target::{AtLeast, AtLeastOr, AtMost, AtMostMore};
use super::definition::{Definition, Figure, Quantile, Select, Target};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const fn row(experiment: &'static str, transport: &'static str) -> Select {
    Select {
        experiment,
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
];
