//! `spectrum-webhook`: all of it is in the library, see [`spectrum_webhook`].

/// Small pieces that one thread makes and another frees, which is what messages are, cost the system's allocator much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    spectrum_webhook::main()
}
