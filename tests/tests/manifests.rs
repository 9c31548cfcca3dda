//! What runs the product: the image's recipe, the Kubernetes manifests, the Helm chart, compose. Rendered, validated and
//! judged by the tests in `tests/deploy`, which are in Python, as the tools are.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the test runner captures it, and shows it when the test fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use spectrum_webhook_testkit::process::binary;

/// Python with the tools, as `tests/setup.sh` installs it.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).expect("a home");
    let python = cache.join("spectrum-webhook/deploy/bin/python");
    assert!(python.exists(), "{} is missing: tests/setup.sh installs it", python.display());
    python
}

#[test]
fn what_runs_the_product_is_valid_and_its_settings_are_known() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let run = Command::new(python())
        .args(["-B", "-m", "unittest", "discover", "--verbose"])
        .current_dir(tests)
        .env("WEBHOOK_BINARY", binary())
        .output()
        .expect("Python");
    let told = String::from_utf8_lossy(&run.stderr);
    println!("{told}");
    assert!(run.status.success(), "{}", run.status);
}
