//! The numbers of calls and events.

macro_rules! numbered {
    ($(#[doc = $outer:literal])+ $enum:ident { $($(#[doc = $doc:literal])+ $name:ident = $number:literal;)+ }) => {
        $(#[doc = $outer])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $enum {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl $enum {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The one with this number.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What can be asked of the monitor. Arguments are named in the order in which they stand.
    Call {
        /// Anyone. Operand of the reply: [`super::MonitorEntry`].
        QueryMonitor = 0;
        /// Anyone. Argument: layer. Reply: [`super::LayerEntry`], then the reason why it is missing.
        QueryLayer = 1;
        /// Anyone. Argument: chain. Reply: [`super::ChainEntry`].
        QueryChain = 2;
        /// Anyone. Arguments: chain, function. Reply: [`super::FunctionEntry`].
        QueryFunction = 3;
        /// Anyone. Arguments: chain, port. Reply: [`super::PortEntry`].
        QueryPort = 4;
        /// Anyone. Arguments: chain, edge. Reply: [`super::EdgeEntry`].
        QueryEdge = 5;
        /// Daemon. Arguments: chain, instance. Reply: [`super::InstanceEntry`]; descriptors: the instance
        /// page, read-only, and then, if value 0 is 1, the reading end of the instance's standard output and
        /// error.
        QueryInstance = 6;
        /// Anyone. Arguments: chain, instance, first inbound ring. Value 0: inbound rings of the instance;
        /// operand: [`super::InboundEntry`] entries from the first on, as many as fit.
        QueryInbound = 7;
        /// Anyone. Argument: gateway. Reply: [`super::GatewayEntry`], then the address as text; descriptor,
        /// if value 0 is 1 and the daemon asks: the reading end of the gateway's standard output and error.
        QueryGateway = 8;
        /// Daemon. Descriptors: the sockets on which the daemon listens for operators, value 0 says how many;
        /// then the bell that gateways ring when their requests in flight go from none to one.
        QueryAdmin = 9;
        /// Daemon. Arguments: chain, first instance. Value 0: instances of the chain; operand: for each from
        /// the first on, as many as fit, the bytes of private memory that its process has (64 bits); 0 if it
        /// has none, or nobody knows.
        QueryMemory = 10;
        /// Daemon. Arguments: chain, instance. Operand: for each system call that the monitor has refused to
        /// the instance's processes, its number and how often (64 bits each); number `u64::MAX` stands for
        /// all that have no entry of their own. None of a function that counts them in its instance page.
        QueryRefused = 11;
        /// Loader. Operand: [`super::GatewayDefinition`]; descriptor: the executable. Value 0: the gateway.
        SetGateway = 16;
        /// Loader. Argument: the gateway that serves it. Operand: [`super::ChainDefinition`]. Value 0: the
        /// chain.
        BeginChain = 17;
        /// Loader. Argument: chain. Operand: [`super::FunctionDefinition`]; descriptor: the executable. Value
        /// 0: the function, from 1.
        AddFunction = 18;
        /// Loader. Arguments: chain, function, 1 if it is the dynamic loader; or [`super::GATEWAY_PROCESS`],
        /// gateway, 1. Operand: the path at which the executable looks for it; descriptor: the library.
        AddLibrary = 19;
        /// Loader. Arguments: chain, function, bytes of the name. Operand: name and value.
        AddVariable = 20;
        /// Loader. Arguments: chain, function, 1 if line breaks at the end of the file are not part of the
        /// value. Operand: the name; descriptor: a file with the value.
        AddSecret = 21;
        /// Loader. Arguments: chain, function. Operand: the name. Value 0: the port's index in the function.
        AddPort = 22;
        /// Loader. Arguments: chain, producer, index of its port, consumer, group, member. Operand:
        /// [`super::EdgeDefinition`]. Value 0: the edge.
        AddEdge = 23;
        /// Loader. Arguments: chain, function, instance within the function, CPU (or [`super::ANY_CPU`]), how
        /// long to spin in nanoseconds, and when (a [`hacher_data_path::waiting::Waiting`]). A hint, not part
        /// of the digest.
        SetPlacement = 24;
        /// Loader. Arguments: gateway, 1 if the socket outlives this service. Operand: the address as text;
        /// descriptor: the listening socket. With TLS its files are set before.
        SetListener = 25;
        /// Loader. Descriptor: a further socket on which the daemon listens for operators.
        SetAdmin = 26;
        /// Loader. Argument: chain. Operand of the reply: the chain digest (48 bytes). Nothing can be added
        /// then.
        SealChain = 27;
        /// Loader. Arguments: gateway, a value of [`super::tls_file`]. Operand: the path at which to look for
        /// a replacement; descriptor: what the file holds.
        SetTlsFile = 28;
        /// Loader. Argument: which of the sockets that a service manager has handed to the monitor. Operand
        /// of the reply: its name; descriptor: the socket.
        TakeSocket = 29;
        /// Loader. Arguments: chain, function. Operand: one more argument of its process.
        AddArgument = 30;
        /// Loader. Arguments: chain, function, a value of [`super::file_kind`], bytes of its place. Operand:
        /// the place, an absolute path, and of a link where it leads; descriptor of a file: the file. What
        /// lies in a folder comes after it.
        AddFile = 31;
        /// Daemon. Arguments: chain, instance; or [`super::GATEWAY_PROCESS`], gateway. Value 0: the
        /// instance's epoch.
        CreateTrustlet = 32;
        /// Daemon. Arguments: chain, instance, epoch, reason; or [`super::GATEWAY_PROCESS`], gateway, epoch.
        /// Reason: 0, 1 if the run took too long, 2 if nobody waits for it. The process is gone when the
        /// event [`EventNumber::InstanceDied`] says so.
        DeleteTrustlet = 33;
        /// Anyone. Arguments: chain (or [`super::GATEWAY_PROCESS`] for all), first byte. Operand: a nonce of
        /// 64 bytes. Value 0: bytes of the evidence; operand: the evidence from the first byte on, as much as
        /// fits.
        Evidence = 34;
        /// Anyone. Reply: [`super::Statistics`].
        Statistics = 35;
        /// Daemon. Arguments: chains that serve, all chains. The service is ready, as far as these do; said
        /// again when it changes.
        DaemonReady = 36;
        /// Daemon. Arguments: chain, 1 if all its functions are fit to serve, else 0. The chain's gateway
        /// says so at `/readyz`; requests are taken either way.
        SetReadiness = 37;
        /// Daemon. Descriptor: a new connection to the collector of traces, which may not stand yet; none if
        /// there can be none now. Refused if the operator has named no collector.
        ReachCollector = 38;
        /// Loader. Argument: chain. Operand: [`super::FunctionDefinition`] of one instance; descriptor: the
        /// executable. Value 0: its number, one of the functions'. A carrier relays what edges lead over it,
        /// and is given no key: it has no ports and no secrets of its own.
        AddCarrier = 48;
        /// Loader. Arguments: chain, function, 1 if line breaks at the end of the value are not part of it.
        /// Operand: [`super::AwaitedSecret`]. Value 0: its number among the function's secrets. A key broker
        /// releases its value once the chain is sealed; no process of the function starts before.
        AwaitSecret = 49;
        /// Loader. Arguments: chain, function, secret, first byte. Operand: the broker's nonce, as text.
        /// Value 0: how many bytes there are; operand: what the broker is to be shown from the first byte on,
        /// as much as fits: a [`super::ReleaseEntry`], and evidence. Asked from the first byte on there is a
        /// new key, unless the last such question was answered with *busy*.
        AskForSecret = 50;
        /// Loader. Arguments: chain, function, secret. Operand: [`super::SealedSecret`], then the protected
        /// header, as it was sent; descriptor: a file with the ciphertext. Once for each key.
        OpenSecret = 51;
        /// Loader. Arguments: chain, methods that it answers (bits of
        /// [`hacher_data_path::attach::message::method`]). Operand: the route of its own, as text; empty for
        /// none. Without this call it answers POST, and has no route.
        SetRequests = 52;
        /// Loader. Argument: chain. Operand: the name of a header of requests that it carries, in lower case.
        CarryHeader = 53;
        /// Loader. Arguments: chain, function, the number of a [`crate::platform::SystemCalls`]. Without this
        /// call it is 0.
        SetSystemCalls = 54;
    }
}

impl Call {
    /// Whether the call looks at a file beside its request. None looks at more than one.
    #[must_use]
    pub const fn takes_file(self) -> bool {
        matches!(
            self,
            Self::SetGateway
                | Self::AddFunction
                | Self::AddCarrier
                | Self::AddLibrary
                | Self::AddFile
                | Self::AddSecret
                | Self::OpenSecret
                | Self::SetListener
                | Self::SetTlsFile
                | Self::SetAdmin
        )
    }
}

numbered! {
    /// What the monitor tells the daemon without being asked.
    EventNumber {
        /// Values: chain, instance, epoch; or [`super::GATEWAY_PROCESS`], gateway, epoch.
        InstanceReady = 0x100;
        /// Values: chain and instance (or [`super::GATEWAY_PROCESS`] and gateway), epoch, kind and code of
        /// the end (`End` of `libos-net`), how long the process lived in nanoseconds.
        InstanceDied = 0x101;
        /// Value: chain.
        ChainSealed = 0x102;
        /// The loader has defined all that it has. Value: chains.
        Loaded = 0x103;
        /// The monitor stops; trustlets are about to be told to finish. Value: how long they have, in
        /// nanoseconds.
        ShuttingDown = 0x104;
        /// A system call was refused that had not been refused to the instance before. Values: chain,
        /// instance.
        CallRefused = 0x105;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_events_do_not_share_numbers() {
        for call in Call::ALL {
            assert_eq!(Call::from_number(call.number()), Some(*call));
            assert!(EventNumber::from_number(call.number()).is_none());
        }
        for event in EventNumber::ALL {
            assert_eq!(EventNumber::from_number(event.number()), Some(*event));
        }
    }
}
