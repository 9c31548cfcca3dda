//! Nothing is left behind, however a test process ends: a small shell holds the other end of a pipe, and ends what was
//! started when the pipe closes, which a `kill -9` of the test does too.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// `+pid` and `-pid` are process groups to end, `/folder` is removed; after `keep`, its logs are left.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
declare -A groups folders
keep=
while read -r line; do
    case $line in
        +*) groups[${line#+}]=1 ;;
        -*) unset "groups[${line#-}]" ;;
        /*) folders[$line]=1 ;;
        keep) keep=1 ;;
    esac
done
for group in "${!groups[@]}"; do kill -KILL -- "-$group" 2>/dev/null; done
sleep 0.2
for folder in "${!folders[@]}"; do
    if [[ $keep && -d $folder ]]; then
        find "$folder" ! -type d ! -name '*.log' -delete
        find "$folder" -type d -empty -delete
    else
        # What is still ending may still write.
        for try in {1..50}; do rm -rf -- "$folder" 2>/dev/null && break; sleep 0.1; done
    fi
done
exit 0
"#;

static JANITOR: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

fn tell(line: &str) {
    let janitor = JANITOR.get_or_init(|| {
        // Not waited for: it outlives this process.
        #[expect(clippy::zombie_processes, reason = "it ends after this process")]
        let mut child = Command::new("bash")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("bash");
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            tell("keep");
            before(info);
        }));
        Mutex::new(child.stdin.take().expect("a pipe"))
    });
    let mut pipe = janitor.lock().unwrap_or_else(PoisonError::into_inner);
    pipe.write_all(format!("{line}\n").as_bytes()).expect("the janitor");
}

/// Ends this process group when this process has ended.
///
/// # Panics
/// When there is no `bash`.
pub fn watch(group: u32) {
    tell(&format!("+{group}"));
}

/// It has ended by itself.
///
/// # Panics
/// When there is no `bash`.
pub fn forget(group: u32) {
    tell(&format!("-{group}"));
}

pub(super) fn remove(folder: &Path) {
    tell(folder.to_str().expect("a name in UTF-8"));
}
