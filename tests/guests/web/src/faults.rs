//! Ways not to answer.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

/// Longer than any test, in seconds.
const A_DAY: u64 = 24 * 60 * 60;

/// Ends the instance without a message.
pub(crate) fn trap() -> ! {
    std::process::abort()
}

#[expect(clippy::panic, reason = "what a Rust agent does when it is wrong")]
pub(crate) fn panic() -> ! {
    panic!("asked to")
}

/// Computes and calls nothing.
pub(crate) fn run_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Waits inside a host call.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        sleep(Duration::from_secs(A_DAY));
    }
}

/// Takes a megabyte after the other, and writes to each.
pub(crate) fn allocate_without_end() -> ! {
    loop {
        std::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}
