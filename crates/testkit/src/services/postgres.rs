//! PostgreSQL, as a user without rights when the test has all of them.

use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::authority::{Identity, identity};
use super::process::{Process, folder, tool};
use super::{blocking, free_port, password, wait};
use crate::process::Disk;

/// How a PostgreSQL is set up.
#[derive(Clone, Debug, Default)]
pub struct PostgresSetup {
    /// Further settings, like `fsync=off`.
    pub settings: Vec<&'static str>,
    /// Speaks TLS too.
    pub tls: bool,
    /// Keeps its data there.
    pub disk: Option<Arc<Disk>>,
}

/// A private PostgreSQL. Its user is `spectrum`, who may do everything.
pub struct Postgres {
    folder: PathBuf,
    data: PathBuf,
    programs: PathBuf,
    port: u16,
    password: String,
    setup: PostgresSetup,
    identity: Option<Identity>,
    process: Mutex<Option<Process>>,
}

/// Where Debian keeps the programs of the newest version that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|entries| {
        let mut versions: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("postgres").exists())
            .collect();
        versions.sort();
        versions.pop()
    });
    versions.ok().flatten().expect("PostgreSQL in /usr/lib/postgresql: `tests/setup.sh` installs what is missing")
}

/// PostgreSQL refuses to run with all rights: then another user runs it.
/// Whoever can mount a disk has all rights; it is entered before they are given away.
fn as_user(program: &Path, disk: Option<&Disk>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut words = disk.map_or_else(Vec::new, |disk| disk.inside().to_vec());
    let (user, group) = ids();
    words.extend(["setpriv".to_owned(), format!("--reuid={user}"), format!("--regid={group}")]);
    words.push("--clear-groups".to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program);
    command
}

/// The ids of `postgres`, whom the package makes.
fn ids() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("the user `postgres`");
    let id = |field: usize| line.split(':').nth(field).and_then(|id| id.parse().ok()).expect("an id");
    (id(2), id(3))
}

impl Postgres {
    /// One with the settings of the package.
    pub async fn start() -> Self {
        Self::start_with(PostgresSetup::default()).await
    }

    /// One that is set up so.
    pub async fn start_with(setup: PostgresSetup) -> Self {
        blocking(move || Self::launch(&setup)).await
    }

    /// The same, for a thread that may wait.
    pub fn launch(setup: &PostgresSetup) -> Self {
        let folder = folder("postgres");
        let identity = setup.tls.then(|| identity(&folder));
        let password = password();
        let words = folder.join("password");
        std::fs::write(&words, &password).expect("a file");
        if rustix::process::geteuid().is_root() {
            let (user, group) = ids();
            for path in std::iter::once(folder.clone())
                .chain(std::fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path()))
            {
                chown(path, Some(user), Some(group)).expect("chown");
            }
        }
        if let Some(identity) = &identity {
            std::fs::set_permissions(&identity.key, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        let programs = programs();
        let disk = setup.disk.as_deref();
        if let Some(disk) = disk {
            let (user, group) = ids();
            chown(disk.outside(), Some(user), Some(group)).expect("chown");
        }
        let data = disk.map_or_else(|| folder.join("data"), |disk| disk.path().join("data"));
        let mut init = as_user(&programs.join("initdb"), disk);
        init.arg("--pgdata").arg(&data).arg("--pwfile").arg(&words);
        init.args(["--username=spectrum", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        tool(init.current_dir("/")).unwrap_or_else(|said| panic!("initdb: {said}"));
        let postgres = Self {
            folder,
            data,
            programs,
            port: free_port(),
            password,
            setup: setup.clone(),
            identity,
            process: Mutex::new(None),
        };
        postgres.run();
        postgres
    }

    fn run(&self) {
        let mut command = as_user(&self.programs.join("postgres"), self.setup.disk.as_deref());
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.folder);
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        command.args(["-c", "shared_buffers=64MB", "-c", "log_line_prefix=%m [%p] %a "]);
        if let Some(identity) = &self.identity {
            command.args(["-c", "ssl=on"]);
            command.arg("-c").arg(format!("ssl_cert_file={}", identity.certificate.display()));
            command.arg("-c").arg(format!("ssl_key_file={}", identity.key.display()));
        }
        for setting in &self.setup.settings {
            command.args(["-c", setting]);
        }
        let log = self.folder.join("postgres.log");
        let mut process = Process::start("postgres", &log, command.current_dir("/"));
        wait("postgres answers", || {
            process.must_run();
            self.query("postgres", "SELECT 1").is_ok()
        });
        *self.process.lock().expect("a process") = Some(process);
    }

    fn query(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "spectrum", "-d", database]);
        command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        tool(command.env("PGPASSWORD", &self.password).current_dir("/"))
    }

    /// Runs a statement in a database, the one of a URL; what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn execute(&self, url: &str, sql: &str) -> String {
        self.try_execute(url, sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// The same; what it says when it fails.
    ///
    /// # Errors
    /// When it fails, or no connection is given.
    pub fn try_execute(&self, url: &str, sql: &str) -> Result<String, String> {
        let database = url.rsplit('/').next().and_then(|name| name.split('?').next()).expect("a database");
        self.query(database, sql)
    }

    /// A dump of a database, as `pg_dump` makes it while others write. Restoring removes it.
    pub async fn dump(&self, url: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("spectrum-{}.dump", uuid::Uuid::new_v4().simple()));
        let mut command = Command::new(self.programs.join("pg_dump"));
        command.args(["--format=custom", "--file"]).arg(&file).arg(format!("--dbname={url}"));
        tokio::task::block_in_place(|| tool(command.current_dir("/"))).unwrap_or_else(|said| panic!("pg_dump: {said}"));
        file
    }

    /// Replaces a database by a dump of it.
    pub async fn restore(&self, url: &str, dump: &Path) {
        let name = url.rsplit('/').next().expect("a database");
        let mut command = Command::new(self.programs.join("pg_restore"));
        command.args(["--no-owner", "--exit-on-error"]).arg(format!("--dbname={url}")).arg(dump);
        tokio::task::block_in_place(|| {
            self.execute("/postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
            self.execute("/postgres", &format!("CREATE DATABASE {name}"));
            tool(command.current_dir("/")).unwrap_or_else(|said| panic!("pg_restore: {said}"));
        });
        std::fs::remove_file(dump).expect("a removal");
    }

    /// The URL of a new, empty database.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        tokio::task::block_in_place(|| self.execute("/postgres", &format!("CREATE DATABASE {name}")));
        self.url_of(&name)
    }

    /// The URL of a database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://spectrum:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Whether its process runs: a disk without room can end it.
    pub fn is_running(&self) -> bool {
        self.process.lock().expect("a process").as_mut().is_some_and(Process::runs)
    }

    /// The certificate of the authority that signed its own, in PEM.
    pub fn authority(&self) -> Option<&Path> {
        self.identity.as_ref().map(|identity| identity.authority.as_path())
    }

    /// The password of its user.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Stops it: it ends all connections first.
    pub async fn stop(&self) {
        self.take().stop(Signal::INT);
    }

    /// Starts it again, with its data.
    pub async fn start_again(&self) {
        tokio::task::block_in_place(|| self.run());
    }

    /// `kill -9` of all its processes.
    pub async fn kill(&self) {
        self.take().kill();
    }

    fn take(&self) -> Process {
        self.process.lock().expect("a process").take().expect("it runs")
    }
}
