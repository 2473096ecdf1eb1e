//! Instructions that are the monitor's.

use super::memory::NON_CANONICAL;
use core::arch::asm;
use hacher_snp_bare::attack::Attack;

/// Runs one instruction that does not come back.
macro_rules! run_one {
    ($($code:literal),+ $(, $name:ident = $value:expr)*) => {
        // SAFETY: none: this has to end the trustlet.
        unsafe {
            asm!(
                $($code),+ $(, in($name) $value)*,
                out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("xmm0") _,
            )
        }
    };
}

/// Tries one of these; `false` if it came back, or is none of these.
pub(crate) fn run(attack: Attack) -> bool {
    match attack {
        Attack::PortIn => run_one!("in al, 0x60"),
        Attack::PortOut => run_one!("mov al, 0x55", "out 0xf4, al"),
        Attack::ReadRegister => run_one!("mov ecx, 0xc0000080", "rdmsr"),
        Attack::WriteRegister => run_one!("mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr"),
        Attack::Cli => run_one!("cli"),
        Attack::Hlt => run_one!("hlt"),
        Attack::WriteCr3 => run_one!("mov rax, 0x2000000", "mov cr3, rax"),
        Attack::ReadCr3 => run_one!("mov rax, cr3"),
        Attack::WriteCr0 => run_one!("mov eax, 0x80000011", "mov cr0, rax"),
        Attack::WriteDr7 => run_one!("xor eax, eax", "mov dr7, rax"),
        Attack::Lidt => run_one!("lidt [rsp]"),
        Attack::Lgdt => run_one!("lgdt [rsp]"),
        Attack::Sidt => run_one!("sub rsp, 16", "sidt [rsp]", "add rsp, 16"),
        Attack::Invlpg => run_one!("invlpg [rsp]"),
        Attack::Wbinvd => run_one!("wbinvd"),
        Attack::Invd => run_one!("invd"),
        Attack::PortString => run_one!("mov rsi, rsp", "mov edx, 0xf4", "outsb"),
        Attack::WriteCr8 => run_one!("xor eax, eax", "mov cr8, rax"),
        Attack::Clts => run_one!("clts"),
        Attack::Ltr => run_one!("mov eax, 0x28", "ltr ax"),
        Attack::Swapgs => run_one!("swapgs"),
        Attack::WriteBase => run_one!("mov eax, 0x1000", "wrfsbase rax"),
        Attack::WideRegisters => run_one!("vpxor ymm0, ymm0, ymm0"),
        Attack::Xsetbv => run_one!("xor ecx, ecx", "xor edx, edx", "mov eax, 7", "xsetbv"),
        Attack::ReadTime => run_one!("rdtsc"),
        Attack::ReadCounter => run_one!("xor ecx, ecx", "rdpmc"),
        Attack::Sysenter => run_one!("sysenter"),
        Attack::Vmmcall => run_one!("vmmcall"),
        Attack::Breakpoint => run_one!("int3"),
        Attack::IntException => run_one!("int 14"),
        Attack::IntTimer => run_one!("int 0x20"),
        Attack::IntUnused => run_one!("int 0x90"),
        Attack::SingleStep => run_one!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop"),
        Attack::Syscall => run_one!("syscall"),
        Attack::Undefined => run_one!("ud2"),
        Attack::Divide => run_one!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx"),
        Attack::FarCall => run_one!("mov eax, 0x10", "mov ds, ax"),
        Attack::Iretq => run_one!(
            "mov rcx, rsp",
            "push 0x10",
            "push rcx",
            "push 2",
            "push 8",
            "lea rax, [rip + 2f]",
            "push rax",
            "iretq",
            "2:",
            "nop"
        ),
        Attack::OverflowStack => run_one!("2:", "push rax", "jmp 2b"),
        Attack::PushNonCanonical => push(NON_CANONICAL + (1 << 12)),
        _ => {}
    }
    false
}

fn push(stack: u64) {
    // SAFETY: none: this has to end the trustlet.
    unsafe { asm!("mov rsp, {}", "push rax", in(reg) stack) }
}
