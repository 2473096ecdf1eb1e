//! From the 32-bit entry of the PVH protocol (Xen, `docs/misc/pvh.pandoc`) to 64-bit code at the upper end
//! of addresses.
//!
//! The tables here map the first GiB three times, writable and executable, for as long as it takes to make
//! better ones ([`crate::paging`]). Nobody but the monitor runs until then.
#![allow(unsafe_code, reason = "the first instructions of the machine")]

core::arch::global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .align 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad pvh_start

    .section .boot, "awx", @progbits
    .code32
    .global pvh_start
pvh_start:
    cli
    cld
    movl $(1 << 5 | 1 << 9 | 1 << 10), %eax     # CR4: PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $boot_tables, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                      # EFER: LME, NXE
    rdmsr
    orl $(1 << 8 | 1 << 11), %eax
    wrmsr
    movl $(1 << 31 | 1 << 18 | 1 << 16 | 1 << 5 | 1 << 1 | 1), %eax  # CR0: PG, AM, WP, NE, MP, PE
    movl %eax, %cr0
    lgdt boot_segments_pointer
    ljmp $8, $boot_long

    .code64
boot_long:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movabsq $image_stack_end, %rsp
    movl %ebx, %edi
    xorl %ebp, %ebp
    movabsq $start, %rax
    pushq $0
    jmpq *%rax

    .align 8
boot_segments:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
boot_segments_pointer:
    .word . - boot_segments - 1
    .long boot_segments

    .align 4096
boot_tables:
    .quad boot_lower + 3
    .fill 255, 8, 0
    .quad boot_lower + 3
    .fill 254, 8, 0
    .quad boot_upper + 3
boot_lower:
    .quad boot_pages + 3
    .fill 511, 8, 0
boot_upper:
    .fill 510, 8, 0
    .quad boot_pages + 3
    .quad 0
boot_pages:
    .set page, 0
    .rept 512
    .quad page << 21 | 0x83
    .set page, page + 1
    .endr
    .text
"#,
    options(att_syntax)
);
