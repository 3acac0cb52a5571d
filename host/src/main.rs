//! The binary: everything is in the library, so that tests can reach it.

use std::process::ExitCode;

/// A fresh instance makes and drops some hundred small things; with the system's allocator that is a tenth of a request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    caxton::cli::main()
}
