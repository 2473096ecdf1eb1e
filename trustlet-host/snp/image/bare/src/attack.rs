//! What a hostile trustlet tries, and what has to come of it. The trustlet and the monitor's demonstration
//! both go through this list, one attack in each life of the trustlet.

/// What has to become of an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ends by an exception with this vector (APM volume 2, section 8.2).
    Exception(u64),
    /// It ends by a page fault on a page that is there, and not for it (APM volume 2, section 8.2.15).
    Forbidden,
    /// It ends by an exception. Which one depends on the processor: QEMU's own emulation differs from the
    /// manual here.
    AnyException,
    /// It never ends by itself: it has to be taken from the processor.
    Spins,
    /// The monitor ends it, for what it said.
    Killed,
    /// What it tries has no effect: it says so and ends.
    Nothing,
}

/// Divide error.
const DIVIDE: Outcome = Outcome::Exception(0);
/// Debug exception.
const DEBUG: Outcome = Outcome::Exception(1);
/// Undefined instruction.
const UNDEFINED: Outcome = Outcome::Exception(6);
/// General protection.
const PROTECTION: Outcome = Outcome::Exception(13);
/// Page fault.
const PAGE: Outcome = Outcome::Exception(14);
/// Page fault on a page that is there.
const FORBIDDEN: Outcome = Outcome::Forbidden;

macro_rules! attacks {
    ($($(#[$doc:meta])* $name:ident: $words:literal => $outcome:expr,)*) => {
        /// An attack.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Attack {
            $($(#[$doc])* $name,)*
        }

        impl Attack {
            /// All, in the order in which they are tried.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is tried, for people.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// What has to come of it.
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self {
                    $(Self::$name => $outcome,)*
                }
            }
        }
    };
}

attacks! {
    /// The first page has no use.
    ReadNull: "reads through a null pointer" => PAGE,
    /// The monitor's code, where it is linked.
    ReadMonitorCode: "reads the monitor's code" => FORBIDDEN,
    /// Where the monitor keeps its secrets.
    ReadMonitorData: "reads the monitor's data" => FORBIDDEN,
    /// Its data.
    WriteMonitorData: "writes the monitor's data" => FORBIDDEN,
    /// Its code.
    WriteMonitorCode: "writes the monitor's code" => FORBIDDEN,
    /// Its code, at CPL3.
    RunMonitorCode: "jumps into the monitor's code" => FORBIDDEN,
    /// Where the monitor reaches all memory, and so all trustlets and page tables.
    ReadAllMemory: "reads all memory where the monitor has it" => FORBIDDEN,
    /// The same.
    WritePageTables: "writes where page tables may be" => FORBIDDEN,
    /// Memory at its physical address.
    ReadPhysical: "reads memory at its physical address" => PAGE,
    /// Another trustlet has its regions there.
    ReadNextRegion: "reads behind its regions" => PAGE,
    /// A region of another that it was given to read.
    WriteForeignRegion: "writes a region that is another's" => FORBIDDEN,
    /// Its own code.
    WriteOwnCode: "writes its own code" => FORBIDDEN,
    /// What it wrote itself.
    RunOwnStack: "runs code on its stack" => FORBIDDEN,
    /// A region of its own.
    RunOwnRegion: "runs code in its region" => FORBIDDEN,
    /// Addresses have 48 bits.
    ReadNonCanonical: "reads at an address that is none" => PROTECTION,
    /// The same, by the stack.
    PushNonCanonical: "pushes to a stack at an address that is none" => Outcome::AnyException,
    /// The same, by a jump.
    JumpNonCanonical: "jumps to an address that is none" => PROTECTION,
    /// Nothing is mapped there.
    JumpWild: "jumps where nothing is" => PAGE,
    /// Its stack ends somewhere.
    OverflowStack: "calls itself without end" => PAGE,
    /// Ports belong to the monitor.
    PortIn: "reads a port" => PROTECTION,
    /// The port that ends the machine.
    PortOut: "writes the port that ends the machine" => PROTECTION,
    /// A model-specific register.
    ReadRegister: "reads a model-specific register" => PROTECTION,
    /// The address of the system call entry.
    WriteRegister: "writes a model-specific register" => PROTECTION,
    /// So that nobody interrupts it.
    Cli: "disables interrupts" => PROTECTION,
    /// So that nothing goes on.
    Hlt: "halts the processor" => PROTECTION,
    /// Another address space.
    WriteCr3: "writes CR3" => PROTECTION,
    /// Where its page tables are.
    ReadCr3: "reads CR3" => PROTECTION,
    /// Without write protection.
    WriteCr0: "writes CR0" => PROTECTION,
    /// Debug registers.
    WriteDr7: "writes DR7" => PROTECTION,
    /// A table of its own.
    Lidt: "loads an interrupt table" => PROTECTION,
    /// A table of its own.
    Lgdt: "loads a segment table" => PROTECTION,
    /// Where the table is: of use for other attacks (UMIP).
    Sidt: "asks where the interrupt table is" => PROTECTION,
    /// The cache of page tables.
    Invlpg: "forgets a page" => PROTECTION,
    /// All caches.
    Wbinvd: "empties the caches" => PROTECTION,
    /// The same, without writing back.
    Invd: "throws the caches away" => PROTECTION,
    /// Several bytes to a port.
    PortString: "writes a string to a port" => PROTECTION,
    /// Task priority.
    WriteCr8: "writes CR8" => PROTECTION,
    /// The flag that a task was switched.
    Clts: "clears the task flag" => PROTECTION,
    /// A task of its own.
    Ltr: "loads a task" => PROTECTION,
    /// The monitor's base of GS.
    Swapgs: "swaps bases of GS" => PROTECTION,
    /// A base of its own, which nobody would save.
    WriteBase: "writes a segment's base" => UNDEFINED,
    /// Wider registers, which nobody would save.
    WideRegisters: "uses registers that are not saved" => UNDEFINED,
    /// More of them.
    Xsetbv: "enables registers that are not saved" => Outcome::AnyException,
    /// The time, to the cycle.
    ReadTime: "reads the time-stamp counter" => PROTECTION,
    /// What the processor counts.
    ReadCounter: "reads a performance counter" => PROTECTION,
    /// An entry to CPL0 that leads nowhere.
    Sysenter: "enters the monitor by an old instruction" => Outcome::AnyException,
    /// The hypervisor.
    Vmmcall: "calls the hypervisor" => UNDEFINED,
    /// An interrupt that is the processor's own.
    IntException: "raises a page fault by an instruction" => PROTECTION,
    /// The timer's.
    IntTimer: "raises the timer's interrupt" => PROTECTION,
    /// Nobody's.
    IntUnused: "raises an interrupt that is nobody's" => PROTECTION,
    /// A breakpoint.
    Breakpoint: "reaches a breakpoint" => PROTECTION,
    /// Single steps.
    SingleStep: "steps through itself" => DEBUG,
    /// `syscall` leads nowhere.
    Syscall: "makes a call by another instruction" => UNDEFINED,
    /// An undefined instruction.
    Undefined: "runs an undefined instruction" => UNDEFINED,
    /// Divides by zero.
    Divide: "divides by zero" => DIVIDE,
    /// Code with more rights.
    FarCall: "loads a segment of the monitor" => PROTECTION,
    /// Returns to more rights.
    Iretq: "returns to the monitor's level" => Outcome::AnyException,
    /// Changes its flags.
    RaiseIopl: "gives itself the right to ports" => Outcome::Nothing,
    /// Call numbers that there are not.
    BadCalls: "makes calls that there are not" => Outcome::Nothing,
    /// Calls with pointers into the monitor, at its edges, that wrap, and to what is not its own to write.
    BadPointers: "makes calls with others' pointers" => Outcome::Nothing,
    /// Bells that it was not given.
    BadBells: "rings bells that it was not given" => Outcome::Nothing,
    /// Says nonsense to the monitor.
    BadMessages: "says what is no message" => Outcome::Killed,
    /// What is in registers when it begins.
    StaleRegisters: "looks for what others left in registers" => Outcome::Nothing,
    /// Vector registers, while others run in between.
    StolenRegisters: "looks whether its registers stay its own" => Outcome::Nothing,
    /// Its flags of floating point unmasked, with an exception pending, when it calls.
    PoisonedFloats: "calls with a pending floating-point exception" => Outcome::Nothing,
    /// The direction flag set, when it calls.
    BackwardCall: "calls with the direction flag set" => Outcome::Nothing,
    /// The flag set that opens trustlets' memory to CPL0 (SMAP), when it calls.
    OpenCall: "calls with the alignment flag set" => Outcome::Nothing,
    /// Memory that another had.
    StaleMemory: "looks for what others left in memory" => Outcome::Nothing,
    /// Without end.
    Spin: "runs without end" => Outcome::Spins,
    /// The same, by calls.
    SpinInCalls: "calls without end" => Outcome::Spins,
}
