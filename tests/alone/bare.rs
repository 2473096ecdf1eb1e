//! What a program needs in place of the standard library: memory, and an end.

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

#[link(name = "c")]
unsafe extern "C" {
    fn _exit(code: i32) -> !;
}

const ARENA_BYTES: usize = 64 << 20;

/// All memory that there is: given out once, and never taken back.
#[repr(C, align(4096))]
struct Arena(core::cell::UnsafeCell<[u8; ARENA_BYTES]>);

// SAFETY: bytes are given out once each, by an atomic count.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(core::cell::UnsafeCell::new([0; ARENA_BYTES]));
static USED_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Bump;

// SAFETY: each call gets bytes of the arena that no other got, aligned as it asks.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut at = 0;
        let taken = USED_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            at = used.next_multiple_of(layout.align());
            at.checked_add(layout.size()).filter(|end| *end <= ARENA_BYTES)
        });
        match taken {
            // SAFETY: within the arena, as was just checked.
            Ok(_) if layout.align() <= 4096 => unsafe { ARENA.0.get().cast::<u8>().add(at) },
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _at: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    // SAFETY: ends the process, whatever state it is in.
    unsafe { _exit(101) }
}

/// The libraries of the compiler that come with the test's machine are built to unwind, and name this;
/// nothing here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: as in `panic`.
    unsafe { _exit(102) }
}
