//! A board that is simulated, and the monitor's core on it, called as loader and daemon call.

use crate::frame::Frame;
use crate::hardware::Hardware;
use crate::ledger::{Boot, PageLedger};
use crate::platform::{Board, Snp};
use crate::program::tests::{CODE, DATA, file};
use crate::rmp::{Adjustment, Permissions, RmpError, Vmpl};
use crate::simulated::{ENCRYPTED, Machine};
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::name::Name;
use hacher_data_path::waiting::Waiting;
use hacher_monitor_core::calls::{
    self, ANY_CPU, Call, ChainDefinition, EdgeDefinition, FunctionDefinition, GATEWAY_PROCESS,
    GatewayDefinition, PROTOCOL, ReplyHeader, RequestHeader, ResultCode, VERSION, protection, reading,
};
use hacher_monitor_core::core::{Caller, Core};
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use hacher_monitor_core::platform::{LayerStatus, Measurement, PlatformError, PlatformReport};
use zerocopy::{FromBytes, IntoBytes};

/// The simulated machine as a board.
pub(crate) struct Bench {
    pub(crate) machine: Machine,
    random: u64,
    pub(crate) now_ns: u64,
    /// Whether the processor refuses to let the operating system read a page.
    pub(crate) refuses_to_show: bool,
}

impl Hardware for Bench {
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError> {
        self.machine.validate(frame, valid)
    }

    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError> {
        if self.refuses_to_show && adjustment.permissions == Permissions::READ {
            return Err(RmpError::Permission);
        }
        self.machine.adjust(frame, adjustment)
    }

    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError> {
        self.machine.mark_state(frame, is_state)
    }

    fn park(&mut self, frame: Frame) -> bool {
        self.machine.park(frame)
    }

    fn zero(&mut self, frame: Frame) {
        self.machine.zero(frame);
    }

    fn read(&self, frame: Frame, index: usize) -> u64 {
        self.machine.read(frame, index)
    }

    fn write(&mut self, frame: Frame, index: usize, word: u64) {
        self.machine.write(frame, index, word);
    }

    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16) {
        self.machine.write_low(frame, index, bytes);
    }

    fn flush(&mut self) {
        self.machine.flush();
    }
}

impl Board for Bench {
    fn backend(&self) -> &'static str {
        "simulated-machine"
    }

    fn is_snp(&self) -> bool {
        false
    }

    fn layers(&self) -> Vec<LayerStatus> {
        vec![LayerStatus {
            name: "page-tables".to_owned(),
            missing_because: None,
        }]
    }

    fn encrypted(&self) -> u64 {
        ENCRYPTED
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        for byte in bytes {
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = self.random.to_be_bytes()[0];
        }
        Ok(())
    }

    /// Enough for tests: what is loaded is told apart.
    fn measure(&self, bytes: &[u8]) -> Measurement {
        let mut measurement = [0_u8; 48];
        for (at, byte) in bytes.iter().enumerate() {
            let place = &mut measurement[at % 48];
            *place = place.wrapping_mul(31).wrapping_add(*byte);
        }
        measurement
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn report(&mut self, _: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, PlatformError> {
        Err(PlatformError::Unsuitable(
            "nothing vouches for a simulation".to_owned(),
        ))
    }
}

/// The functions of the chain, one behind the other.
pub(crate) const FUNCTIONS: [&str; 3] = ["a", "b", "c"];
const CHAIN: u64 = 0;
/// Pages of the machine.
pub(crate) const PAGES: usize = 12_000;

/// The monitor, whose chain is `ingress -> a -> b -> c -> egress`.
pub(crate) struct Monitor {
    pub(crate) core: Core<Snp<Bench>>,
    sequence: u32,
}

impl Monitor {
    /// With so many pages that the operating system has lent.
    pub(crate) fn with_pages(lent: usize) -> Self {
        let mut machine = Machine::new(PAGES);
        machine.launch(machine.frame(0), Vmpl::MONITOR);
        let mut ledger = PageLedger::new(0..PAGES as u64, |number| match number {
            0 => Boot::Monitor,
            _ => Boot::System,
        });
        for number in 1..PAGES {
            let frame = machine.frame(number);
            machine.launch(frame, Vmpl::OPERATING_SYSTEM);
        }
        // The last that was lent is taken first, so regions consist of neighbours, which the host can reach
        // as one.
        for number in (1..=lent).rev() {
            let frame = machine.frame(number);
            ledger.deposit(&mut machine, frame).unwrap();
        }
        let board = Bench {
            machine,
            random: 7,
            now_ns: 1,
            refuses_to_show: false,
        };
        Self {
            core: Core::new(Snp::new(board, ledger)).unwrap(),
            sequence: 0,
        }
    }

    /// With enough of them, and the chain sealed.
    pub(crate) fn with_chain() -> Self {
        let mut monitor = Self::with_pages(PAGES - 100);
        monitor.define().unwrap();
        monitor
    }

    pub(crate) fn platform(&mut self) -> &mut Snp<Bench> {
        self.core.platform_mut()
    }

    pub(crate) fn machine(&mut self) -> &mut Machine {
        &mut self.core.platform_mut().board().machine
    }

    pub(crate) fn spare(&mut self) -> usize {
        self.core.platform_mut().memory().1.spare()
    }

    pub(crate) fn define(&mut self) -> Result<(), String> {
        self.begin()?;
        self.seal()?;
        self.core.finish_loading().map_err(|error| error.to_string())
    }

    /// Begins the chain.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        let gateway = GatewayDefinition {
            role: name("gateway"),
            memory_bytes: 1 << 20,
            scratch_bytes: 0,
            cpu: ANY_CPU,
            threads: 1,
            logs: 0,
            own: 0,
            tls: 0,
        };
        self.load(Call::SetGateway, [0; 6], gateway.as_bytes(), true)?;
        let chain = ChainDefinition {
            name: name("chain"),
            version: name("1"),
            max_body_bytes: 1 << 20,
            max_reply_bytes: 1 << 20,
            deadline_ns: 30_000_000_000,
            gateway_outbox_bytes: 1 << 20,
            in_flight: 8,
            protection: protection::SEALED,
        };
        self.load(Call::BeginChain, [0; 6], chain.as_bytes(), false)
    }

    /// Defines the rest of the chain, and seals it.
    pub(crate) fn seal(&mut self) -> Result<(), String> {
        for (number, function) in (1..).zip(FUNCTIONS) {
            let definition = FunctionDefinition {
                name: name(function),
                limits: limits(),
            };
            self.load(
                Call::AddFunction,
                [CHAIN, 0, 0, 0, 0, 0],
                definition.as_bytes(),
                true,
            )?;
            let port = name("out");
            self.load(Call::AddPort, [CHAIN, number, 0, 0, 0, 0], port.as_bytes(), false)?;
        }
        let edge = EdgeDefinition {
            protection: protection::SEALED,
            carrier: 0,
            reading: reading::AS_FUNCTION,
        };
        for from in 0..=FUNCTIONS.len() as u64 {
            let to = (from + 1) % (FUNCTIONS.len() as u64 + 1);
            self.load(Call::AddEdge, [CHAIN, from, 0, to, 0, 0], edge.as_bytes(), false)?;
        }
        for function in 0..=FUNCTIONS.len() as u64 {
            let waiting = u64::from(Waiting::Sleep.word());
            self.load(
                Call::SetPlacement,
                [CHAIN, function, 0, ANY_CPU, 0, waiting],
                &[],
                false,
            )?;
        }
        self.load(Call::SealChain, [CHAIN, 0, 0, 0, 0, 0], &[], false)
    }

    /// Starts an instance: 0 is the gateway.
    pub(crate) fn create(&mut self, instance: u64) -> Result<(), String> {
        let arguments = match instance {
            0 => [GATEWAY_PROCESS, 0, 0, 0, 0, 0],
            _ => [CHAIN, instance, 0, 0, 0, 0],
        };
        self.call(Caller::Daemon, Call::CreateTrustlet, arguments, &[], Vec::new())
    }

    fn load(&mut self, call: Call, arguments: [u64; 6], operand: &[u8], program: bool) -> Result<(), String> {
        let program = program.then(|| file(0x40_1000, &[CODE, DATA]));
        let files = program.into_iter().collect();
        self.call(Caller::Loader, call, arguments, operand, files)
    }

    fn call(
        &mut self,
        caller: Caller,
        call: Call,
        arguments: [u64; 6],
        operand: &[u8],
        files: Vec<Vec<u8>>,
    ) -> Result<(), String> {
        self.sequence += 1;
        let header = RequestHeader {
            protocol: PROTOCOL,
            call: call.number(),
            version: VERSION,
            sequence: self.sequence,
            arguments,
            operand_bytes: u32::try_from(operand.len()).unwrap(),
            descriptor_count: u32::try_from(files.len()).unwrap(),
        };
        let reply = self.core.call(caller, &calls::message(&header, operand), files);
        let (header, operand) = ReplyHeader::read_from_prefix(&reply.bytes).unwrap();
        match ResultCode::from_number(header.result) {
            Some(ResultCode::Success) => Ok(()),
            code => Err(format!("{call:?}: {code:?} {}", String::from_utf8_lossy(operand))),
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn limits() -> FunctionLimits {
    FunctionLimits {
        memory_bytes: 1 << 20,
        outbox_bytes: 1 << 20,
        timeout_ns: 1_000_000_000,
        retry_factor_milli: 1000,
        retry_attempts: 1,
        instances: 1,
        threads: 1,
        ..FunctionLimits::NONE
    }
}
