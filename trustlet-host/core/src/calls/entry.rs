//! The operands: what a loader defines and what a query returns. Fixed layouts without padding.

use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! operand {
    ($(#[doc = $outer:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $field:ident: $type:ty,)+ }) => {
        $(#[doc = $outer])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }
    };
}

operand! {
    /// A process that speaks HTTP: for one chain, or for all that have none of their own.
    GatewayDefinition {
        /// Its `argv[0]`: which of the roles that its executable has it takes.
        role: Name,
        /// Memory that it may use.
        memory_bytes: u64,
        /// Room in its scratch folder.
        scratch_bytes: u64,
        /// CPU to run on, or [`super::ANY_CPU`]. A hint, not part of the digest.
        cpu: u64,
        /// Threads that it may have.
        threads: u32,
        /// 1: its standard output and error are forwarded.
        logs: u32,
        /// 1: it serves one chain alone. 0: it is shared.
        own: u32,
        /// A value of [`super::tls`].
        tls: u32,
    }
}

operand! {
    /// A chain, before it has functions.
    ChainDefinition {
        /// Its name, not that of another chain.
        name: Name,
        /// Its version, as the chain file writes it.
        version: Name,
        /// The longest request body.
        max_body_bytes: u64,
        /// The longest reply body.
        max_reply_bytes: u64,
        /// How long a request may take in all.
        deadline_ns: u64,
        /// Room for sealed records in the gateway's outbox for this chain.
        gateway_outbox_bytes: u64,
        /// Most requests at the same time.
        in_flight: u32,
        /// How records are protected where the chain's ends are not concerned: a value of
        /// [`super::protection`]. What holds is what each edge says.
        protection: u32,
    }
}

operand! {
    /// A function, before it has ports.
    FunctionDefinition {
        /// Its name, unique in the chain.
        name: Name,
        /// What each instance may use, and how it is run.
        limits: FunctionLimits,
    }
}

operand! {
    /// An edge, beside the arguments that say where it leads.
    EdgeDefinition {
        /// A value of [`super::protection`].
        protection: u32,
        /// The carrier that its records cross; 0 if they cross none.
        carrier: u32,
        /// A value of [`super::reading`].
        reading: u32,
    }
}

operand! {
    /// The monitor as a whole.
    MonitorEntry {
        /// The platform's name.
        backend: Name,
        /// Chains, sealed or not.
        chain_count: u32,
        /// Entries for [`super::Call::QueryLayer`].
        layer_count: u32,
        /// Layers that are missing on this machine.
        missing_layer_count: u32,
        /// 1: the loader has finished.
        loaded: u32,
        /// Gateways.
        gateway_count: u32,
        /// 1: hardware (SEV-SNP) keeps trustlets from the guest's operating system.
        snp: u32,
        /// The public key of the monitor's statements (Ed25519).
        statement_key: [u8; 32],
        /// SHA-384 of the monitor's executable.
        monitor_measurement: [u8; 48],
        /// SHA-384 of the executable of loader and daemon.
        fabric_measurement: [u8; 48],
    }
}

operand! {
    /// One layer of isolation.
    LayerEntry {
        /// Its name.
        name: Name,
        /// 1: this machine enforces it.
        enforced: u32,
        /// Bytes of text that follow: why it is missing.
        reason_bytes: u32,
    }
}

operand! {
    /// One chain.
    ChainEntry {
        /// What it was defined with.
        definition: ChainDefinition,
        /// Number of this sealing; 0 before it.
        epoch: u64,
        /// SHA-384 over the canonical plan; zeros before sealing.
        digest: [u8; 48],
        /// 1: sealed.
        sealed: u32,
        /// Functions, the gateway included.
        function_count: u32,
        /// Instances, the gateway's included.
        instance_count: u32,
        /// Ports, the implicit ones included.
        port_count: u32,
        /// Declared edges.
        edge_count: u32,
        /// The gateway that serves it.
        gateway: u32,
    }
}

operand! {
    /// One function.
    FunctionEntry {
        /// What it was defined with; for the gateway, with what its chain gives it.
        definition: FunctionDefinition,
        /// Bytes of private memory that one instance has besides, for what the fabric itself needs.
        fabric_bytes: u64,
        /// Bytes of its files together.
        files_bytes: u64,
        /// SHA-384 of the executable.
        measurement: [u8; 48],
        /// Measurement of the whole image, as evidence names it; zeros before sealing.
        image: [u8; 48],
        /// Number of its first instance in the chain.
        first_instance: u32,
        /// Ports, the implicit one included once the chain is sealed.
        port_count: u32,
        /// Libraries.
        library_count: u32,
        /// Files, folders and links that it finds.
        file_count: u32,
        /// Arguments.
        argument_count: u32,
        /// Environment variables.
        variable_count: u32,
        /// Secrets.
        secret_count: u32,
        /// 1: a carrier.
        carrier: u32,
        /// The number of a [`crate::platform::SystemCalls`].
        system_calls: u32,
        /// Zero.
        reserved: u32,
    }
}

operand! {
    /// A secret whose value comes from a key broker: its name, and what the broker calls it.
    AwaitedSecret {
        /// Under which name the function finds it.
        name: Name,
        /// First part of the resource's path.
        repository: Name,
        /// Second part: its type.
        kind: Name,
        /// Third part.
        tag: Name,
    }
}

operand! {
    /// The monitor's key for one secret, a point on P-256; evidence follows.
    ReleaseEntry {
        /// Its first coordinate, big-endian.
        x: [u8; 32],
        /// The other one.
        y: [u8; 32],
    }
}

operand! {
    /// What a broker has sealed, taken out of its JSON (RFC 7516, `ECDH-ES+A256KW` and `A256GCM`).
    SealedSecret {
        /// First coordinate of the broker's key, big-endian.
        x: [u8; 32],
        /// The other one.
        y: [u8; 32],
        /// The wrapped key of the content.
        encrypted_key: [u8; 40],
        /// The nonce of the cipher.
        iv: [u8; 12],
        /// The tag of the cipher.
        tag: [u8; 16],
    }
}

operand! {
    /// One port.
    PortEntry {
        /// Its name.
        name: Name,
        /// The function that has it.
        function: u32,
        /// Its index among the ports of the function.
        index: u32,
        /// 1: carries fault notices to the gateway.
        fault: u32,
        /// Zero.
        reserved: u32,
    }
}

operand! {
    /// One declared edge.
    EdgeEntry {
        /// Who sends.
        producer: u32,
        /// The port's number in the chain.
        port: u32,
        /// Who receives.
        consumer: u32,
        /// Which alternative of the consumer's input.
        group: u32,
        /// Which member of a join.
        member: u32,
        /// Members that the join waits for.
        group_width: u32,
        /// A value of [`super::protection`].
        protection: u32,
        /// The carrier that its records cross; 0 if they cross none.
        carrier: u32,
    }
}

operand! {
    /// One instance of a function, alive or not.
    InstanceEntry {
        /// Its function.
        function: u32,
        /// Which instance of its function.
        ordinal: u32,
        /// An [`InstanceState`].
        state: u32,
        /// Processes that it has had; the epoch of the present one.
        epoch: u32,
        /// Processes that have died.
        deaths: u32,
        /// How its last process ended, as `End` of `libos-net` encodes it; 0 if none has.
        last_end_kind: u32,
        /// That process's exit code, or the number of its signal.
        last_end_code: u32,
        /// Rings that it reads: gives the layout of its instance page.
        inbound_count: u32,
        /// Ports that it writes: gives the layout of its instance page.
        port_count: u32,
        /// Rings in its outbox.
        ring_count: u32,
        /// Descriptors in each of them.
        ring_capacity: u32,
        /// Zero.
        reserved: u32,
        /// Bytes of its outbox for segments.
        outbox_bytes: u64,
        /// CPU that it runs on, or [`super::ANY_CPU`].
        cpu: u64,
        /// How long it spins before it sleeps.
        spin_ns: u64,
        /// When its present process said that it serves (`CLOCK_MONOTONIC`, ns); 0 if it has not.
        ready_ns: u64,
        /// When its last process was found dead (`CLOCK_MONOTONIC`, ns); 0 if none has died.
        died_ns: u64,
        /// How long that process lived.
        lived_ns: u64,
    }
}

operand! {
    /// One ring that an instance reads.
    InboundEntry {
        /// The edge, or `u32::MAX` for the edge of fault notices.
        edge: u32,
        /// The instance that writes it; of an edge over a carrier, behind that one, the carrier's.
        producer: u32,
        /// The port's number in the chain.
        port: u32,
        /// The ring's number in the producer's outbox.
        ring: u32,
    }
}

operand! {
    /// A gateway, and its process.
    GatewayEntry {
        /// What it was defined with.
        definition: GatewayDefinition,
        /// SHA-384 of the executable.
        measurement: [u8; 48],
        /// Measurement of the whole image, as evidence names it; zeros before sealing.
        image: [u8; 48],
        /// An [`InstanceState`].
        state: u32,
        /// Processes that it has had; the epoch of the present one.
        epoch: u32,
        /// Processes that have died.
        deaths: u32,
        /// 1: a listening socket is set.
        listening: u32,
        /// Bytes of address that follow.
        address_bytes: u32,
        /// Zero.
        reserved: u32,
    }
}

operand! {
    /// Counts since the monitor started.
    Statistics {
        /// Calls answered with success.
        calls: u64,
        /// Calls answered with an error.
        refused_calls: u64,
        /// Trustlets started.
        created: u64,
        /// Trustlets that could not be started.
        failed_creations: u64,
        /// Trustlets that ended.
        died: u64,
        /// Trustlets alive.
        live: u64,
        /// Daemons that ended.
        daemon_restarts: u64,
        /// Bytes of regions, backed by memory only where they were written.
        region_bytes: u64,
    }
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum InstanceState {
    /// No process: it can be created.
    Absent = 0,
    /// The process has not said that it is ready.
    Starting = 1,
    /// It serves.
    Ready = 2,
    /// It was told to end, and is not gone yet.
    Ending = 3,
}

impl InstanceState {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Absent => 0,
            Self::Starting => 1,
            Self::Ready => 2,
            Self::Ending => 3,
        }
    }

    /// The state with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Absent),
            1 => Some(Self::Starting),
            2 => Some(Self::Ready),
            3 => Some(Self::Ending),
            _ => None,
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Ending => "ending",
        }
    }
}
