//! Where the program is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program, freshly built. Cargo does not build another package's binary for a test, so it is asked to once for
/// each run: beside the test executable, with the same profile, which costs nothing when it is there and current.
/// `WEBHOOK_BINARY` names another one, which is taken as it is.
///
/// # Panics
/// When it cannot be built; the compiler's messages are in the panic.
#[expect(clippy::panic, clippy::expect_used, reason = "a test without the program has failed")]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("WEBHOOK_BINARY") {
            return PathBuf::from(given);
        }
        let test = std::env::current_exe().expect("the test's own path");
        // target/PROFILE/deps/TEST
        let profile = test.parent().and_then(Path::parent).expect("a test executable in a target folder");
        let target = profile.parent().expect("a target folder");
        let name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // What cargo tells this test of its own package would look like a change to the build scripts of others.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                build.env_remove(name);
            }
        }
        let built = build
            .args(["build", "--quiet", "--locked", "--package", "spectrum-webhook", "--profile", name])
            .arg("--target-dir")
            .arg(target)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .output()
            .expect("cargo to build the program with");
        if !built.status.success() {
            panic!("the program cannot be built:\n{}", String::from_utf8_lossy(&built.stderr));
        }
        profile.join("spectrum-webhook")
    })
}
