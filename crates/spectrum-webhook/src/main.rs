//! `spectrum-webhook`: all of it is in the library, see [`spectrum_webhook`].

fn main() -> std::process::ExitCode {
    spectrum_webhook::main()
}
