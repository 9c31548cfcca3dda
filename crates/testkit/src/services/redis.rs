//! Redis: single, with a replica, behind sentinels, or as a cluster. Nothing is ever written to disk.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;

use super::authority::{Identity, identity};
use super::process::{Process, folder, tool};
use super::{blocking, free_port, free_port_of_a_node, password, wait};

/// How a Redis is set up.
#[derive(Clone, Debug, Default)]
pub struct RedisSetup {
    /// What is done when memory is full; `noeviction` when it is not given.
    pub policy: Option<&'static str>,
    /// Speaks TLS only.
    pub tls: bool,
    /// How it is arranged.
    pub form: Form,
}

/// How servers are arranged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// One server.
    #[default]
    Single,
    /// A server and its replica.
    Replica,
    /// A server, its replica, and a sentinel that knows them as `main`.
    Sentinel,
    /// Three servers that share the slots.
    Cluster,
}

struct Server {
    port: u16,
    process: Option<Process>,
}

/// A private Redis.
pub struct Redis {
    folder: PathBuf,
    password: String,
    setup: RedisSetup,
    identity: Option<Identity>,
    servers: Vec<Mutex<Server>>,
    sentinel: Option<(u16, Process)>,
}

impl Redis {
    /// A single server.
    pub async fn start() -> Self {
        Self::start_with(RedisSetup::default()).await
    }

    /// A server and its replica.
    pub async fn with_replica() -> Self {
        Self::start_with(RedisSetup { form: Form::Replica, ..RedisSetup::default() }).await
    }

    /// A server, its replica, and a sentinel.
    pub async fn sentinel() -> Self {
        Self::start_with(RedisSetup { form: Form::Sentinel, ..RedisSetup::default() }).await
    }

    /// A cluster of three.
    pub async fn cluster() -> Self {
        Self::start_with(RedisSetup { form: Form::Cluster, ..RedisSetup::default() }).await
    }

    /// One that is set up so.
    pub async fn start_with(setup: RedisSetup) -> Self {
        blocking(move || Self::launch(&setup)).await
    }

    /// The same, for a thread that may wait.
    pub fn launch(setup: &RedisSetup) -> Self {
        let folder = folder("redis");
        let identity = setup.tls.then(|| identity(&folder));
        let count = match setup.form {
            Form::Single => 1,
            Form::Replica | Form::Sentinel => 2,
            Form::Cluster => 3,
        };
        let port = if setup.form == Form::Cluster { free_port_of_a_node } else { free_port };
        // None listens yet, so that a port may be drawn twice.
        let mut ports = BTreeSet::new();
        while ports.len() < count {
            ports.insert(port());
        }
        let servers = ports.into_iter().map(|port| Mutex::new(Server { port, process: None })).collect();
        let mut redis = Self { folder, password: password(), setup: setup.clone(), identity, servers, sentinel: None };
        for server in 0..count {
            redis.run(server);
        }
        match setup.form {
            Form::Single => {}
            Form::Replica => redis.wait_for_replica(),
            Form::Sentinel => {
                redis.wait_for_replica();
                redis.sentinel = Some(redis.run_sentinel());
            }
            Form::Cluster => redis.join(),
        }
        redis
    }

    fn port_of(&self, server: usize) -> u16 {
        self.servers[server].lock().expect("a server").port
    }

    fn run(&self, number: usize) {
        let mut server = self.servers[number].lock().expect("a server");
        let port = server.port.to_string();
        let dir = self.folder.join(&port);
        std::fs::create_dir_all(&dir).expect("a folder");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(&dir);
        command.args(["--requirepass", &self.password, "--masterauth", &self.password]);
        command.args(["--maxmemory-policy", self.setup.policy.unwrap_or("noeviction")]);
        match &self.identity {
            None => command.args(["--port", &port]),
            Some(identity) => command
                .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"])
                .arg("--tls-cert-file")
                .arg(&identity.certificate)
                .arg("--tls-key-file")
                .arg(&identity.key)
                .arg("--tls-ca-cert-file")
                .arg(&identity.authority),
        };
        match self.setup.form {
            Form::Replica | Form::Sentinel if number > 0 => {
                command.args(["--replicaof", "127.0.0.1", &self.port_of(0).to_string()]);
            }
            Form::Cluster => {
                command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
            }
            _ => {}
        }
        let mut process = Process::start("redis-server", &self.folder.join(format!("{port}.log")), &mut command);
        let port = server.port;
        wait("redis answers", || {
            process.must_run();
            self.ask(port, &["PING"]).is_ok_and(|said| said.trim() == "PONG")
        });
        server.process = Some(process);
    }

    fn run_sentinel(&self) -> (u16, Process) {
        let port = free_port();
        let path = self.folder.join("sentinel.conf");
        let conf = format!(
            "port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel auth-pass main {password}\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 3000\n",
            folder = self.folder.display(),
            master = self.port_of(0),
            password = self.password,
        );
        std::fs::write(&path, conf).expect("a file");
        let mut command = Command::new("redis-server");
        command.arg(&path).arg("--sentinel");
        let process = Process::start("redis-sentinel", &self.folder.join("sentinel.log"), &mut command);
        wait("the sentinel knows the replica", || {
            let replicas =
                tool(Command::new("redis-cli").args(["-p", &port.to_string(), "sentinel", "replicas", "main"]));
            replicas.is_ok_and(|said| said.contains(&self.port_of(1).to_string()))
        });
        (port, process)
    }

    fn join(&self) {
        let mut command = Command::new("redis-cli");
        command.args(["-a", &self.password, "--no-auth-warning", "--cluster", "create"]);
        for server in 0..self.servers.len() {
            command.arg(format!("127.0.0.1:{}", self.port_of(server)));
        }
        let joined = tool(command.arg("--cluster-yes"));
        joined.unwrap_or_else(|said| panic!("the cluster is not made: {said}"));
        for server in 0..self.servers.len() {
            wait("the cluster works", || {
                self.ask(self.port_of(server), &["CLUSTER", "INFO"]).is_ok_and(|said| said.contains("cluster_state:ok"))
            });
        }
    }

    fn wait_for_replica(&self) {
        wait("the replica follows", || {
            self.ask(self.port_of(1), &["INFO", "replication"]).is_ok_and(|said| said.contains("master_link_status:up"))
        });
    }

    fn ask(&self, port: u16, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port.to_string(), "-a", &self.password, "--no-auth-warning"]);
        if let Some(identity) = &self.identity {
            command.arg("--tls").arg("--cacert").arg(&identity.authority);
        }
        tool(command.args(words))
    }

    /// Its URL, in the form of its arrangement.
    pub fn url(&self) -> String {
        let tls = if self.setup.tls { "s" } else { "" };
        let password = &self.password;
        match (self.setup.form, &self.sentinel) {
            (Form::Cluster, _) => {
                let hosts: Vec<String> =
                    (0..self.servers.len()).map(|server| format!("127.0.0.1:{}", self.port_of(server))).collect();
                format!("redis{tls}+cluster://:{password}@{}", hosts.join(","))
            }
            (_, Some((port, _))) => format!("redis{tls}+sentinel://:{password}@127.0.0.1:{port}/main"),
            _ => self.url_of(0),
        }
    }

    /// The URL of one server.
    pub fn url_of(&self, server: usize) -> String {
        let tls = if self.setup.tls { "s" } else { "" };
        format!("redis{tls}://:{}@127.0.0.1:{}", self.password, self.port_of(server))
    }

    /// Where a server listens.
    pub fn address(&self, server: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port_of(server)))
    }

    /// The certificate of the authority that signed its own, in PEM.
    pub fn authority(&self) -> Option<&Path> {
        self.identity.as_ref().map(|identity| identity.authority.as_path())
    }

    /// Its password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Runs a command on a server.
    ///
    /// # Panics
    /// When it fails.
    pub fn command(&self, server: usize, words: &[&str]) -> String {
        self.ask(self.port_of(server), words).unwrap_or_else(|said| panic!("{words:?}: {said}"))
    }

    /// Forgets everything on all servers.
    pub fn flush_all(&self) {
        for server in 0..self.servers.len() {
            if self.setup.form == Form::Cluster || server == 0 {
                self.command(server, &["FLUSHALL"]);
            }
        }
    }

    /// Stops the first server.
    pub async fn stop(&self) {
        self.stop_server(0);
    }

    /// Starts it again: it comes back empty.
    pub async fn start_again(&self) {
        tokio::task::block_in_place(|| self.run(0));
    }

    /// Starts a server again as it was arranged at first: it comes back empty.
    pub async fn start_server(&self, server: usize) {
        tokio::task::block_in_place(|| self.run(server));
    }

    /// `kill -9` of the first server.
    pub async fn kill(&self) {
        self.kill_server(0);
    }

    /// `kill -9` of a server.
    pub fn kill_server(&self, server: usize) {
        if let Some(process) = self.servers[server].lock().expect("a server").process.take() {
            process.kill();
        }
    }

    fn stop_server(&self, server: usize) {
        if let Some(process) = self.servers[server].lock().expect("a server").process.take() {
            process.stop(Signal::TERM);
        }
    }

    /// Cuts the replica off: it keeps what it has, and falls behind.
    pub fn cut_replica_off(&self) {
        self.command(1, &["REPLICAOF", "NO", "ONE"]);
    }

    /// Lets the sentinel promote the replica.
    ///
    /// # Panics
    /// When there is no sentinel, or it does not.
    pub fn fail_over(&self) {
        let (port, _) = self.sentinel.as_ref().expect("a sentinel");
        let port = port.to_string();
        // It takes a while until a sentinel thinks well of a replica.
        wait("the sentinel begins", || {
            let said = tool(Command::new("redis-cli").args(["-p", &port, "sentinel", "failover", "main"]));
            said.is_ok_and(|said| said.trim() == "OK")
        });
        wait("the replica is the master", || {
            let master = ["-p", &port, "sentinel", "get-master-addr-by-name", "main"];
            let master = tool(Command::new("redis-cli").args(master));
            let role = self.ask(self.port_of(1), &["ROLE"]);
            master.is_ok_and(|said| said.contains(&self.port_of(1).to_string()))
                && role.is_ok_and(|said| said.starts_with("master"))
        });
    }
}
