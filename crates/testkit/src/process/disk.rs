//! A small file system in a mount namespace of its own, that can be full or read-only. Tests run as root, whom the
//! permissions of a folder do not stop.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A tmpfs that only a process keeping its mount namespace, and those started in it, can see. It is gone when this is
/// dropped.
#[derive(Debug)]
pub struct Disk {
    keeper: Child,
    folder: TempDir,
}

impl Disk {
    /// A file system of `size` (`16m`).
    ///
    /// # Errors
    /// Why there can be none: not root, or no mount namespaces here.
    pub fn of_size(size: &str) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| format!("no temporary folder: {error}"))?;
        // `cat` lives until its input ends, which the end of this process does too.
        let script = r#"mount -t tmpfs -o size="$1",mode=0700 tmpfs "$0" && echo mounted && exec cat >/dev/null"#;
        let mut keeper = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(folder.path())
            .arg(size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`unshare` cannot be started: {error}"))?;
        let mut said = String::new();
        if let Some(output) = keeper.stdout.take() {
            // An error is an empty answer.
            let _ = BufReader::new(output).read_line(&mut said);
        }
        let disk = Self { keeper, folder };
        if said.trim() == "mounted" { Ok(disk) } else { Err(disk.why_not()) }
    }

    fn why_not(mut self) -> String {
        let mut why = String::new();
        // It has ended: what it said is all there.
        if let Some(stderr) = self.keeper.stderr.take() {
            let _ = io::Read::read_to_string(&mut BufReader::new(stderr), &mut why);
        }
        format!("no mount namespace of one's own: {}", why.trim())
    }

    /// Where it is mounted, as the processes inside see it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The command that starts a program inside: to be followed by the program and its arguments.
    pub(crate) fn inside(&self) -> [String; 3] {
        ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.keeper.id()), "--".to_owned()]
    }

    /// The same folder as this process sees it.
    pub(crate) fn outside(&self) -> PathBuf {
        let inside = self.folder.path().strip_prefix("/").unwrap_or(self.folder.path());
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inside)
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    /// When it cannot be written to for another reason than being full.
    #[expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    pub fn fill(&self) {
        let ballast = self.outside().join("ballast");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(ballast).expect("a ballast file");
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("the ballast cannot be written: {error}"),
                }
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// When it was not filled.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn make_room(&self) {
        fs::remove_file(self.outside().join("ballast")).expect("a ballast file");
    }

    /// Lets nobody write, or everybody again.
    ///
    /// # Panics
    /// When it cannot be mounted so.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn read_only(&self, read_only: bool) {
        let [program, namespace, dashes] = self.inside();
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        let status = Command::new(program)
            .args([&namespace, &dashes, "mount", "-o", options])
            .arg(self.folder.path())
            .status()
            .expect("`mount`");
        assert!(status.success(), "`mount -o {options}` ended with {status}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Either it has ended already or it does now.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
