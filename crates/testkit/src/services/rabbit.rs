//! RabbitMQ: one node, or a cluster of three, with a name server (epmd) of their own.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;

use super::authority::{Identity, identity};
use super::process::{Process, folder, tool};
use super::{blocking, free_port, password, wait};

/// Where Debian keeps the programs that do not change the user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// How a RabbitMQ is set up.
#[derive(Clone, Debug)]
pub struct RabbitSetup {
    /// Nodes: 1 or 3.
    pub nodes: usize,
    /// Speaks TLS only.
    pub tls: bool,
}

impl Default for RabbitSetup {
    fn default() -> Self {
        Self { nodes: 1, tls: false }
    }
}

struct Node {
    name: String,
    port: u16,
    distribution: u16,
    process: Mutex<Option<Process>>,
}

/// A private RabbitMQ. Its user may do everything.
pub struct Rabbit {
    folder: PathBuf,
    password: String,
    epmd: (u16, Process),
    identity: Option<Identity>,
    nodes: Vec<Node>,
}

impl Rabbit {
    /// One node.
    pub async fn start() -> Self {
        Self::start_with(RabbitSetup::default()).await
    }

    /// Three nodes.
    pub async fn cluster() -> Self {
        Self::start_with(RabbitSetup { nodes: 3, ..RabbitSetup::default() }).await
    }

    /// One that is set up so.
    pub async fn start_with(setup: RabbitSetup) -> Self {
        blocking(move || Self::launch(&setup)).await
    }

    /// The same, for a thread that may wait.
    pub fn launch(setup: &RabbitSetup) -> Self {
        let folder = folder("rabbit");
        let port = free_port();
        let mut command = Command::new("epmd");
        command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
        let epmd = (port, Process::start("epmd", &folder.join("epmd.log"), &mut command));
        let cookie = folder.join(".erlang.cookie");
        std::fs::write(&cookie, password()).expect("a cookie");
        std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o400)).expect("chmod");
        let identity = setup.tls.then(|| identity(&folder));
        let nodes = (0..setup.nodes).map(|number| Node {
            name: format!("rabbit{number}@localhost"),
            port: free_port(),
            distribution: free_port(),
            process: Mutex::new(None),
        });
        let rabbit = Self { nodes: nodes.collect(), folder, password: password(), epmd, identity };
        std::thread::scope(|scope| {
            for node in 0..rabbit.nodes.len() {
                let rabbit = &rabbit;
                scope.spawn(move || rabbit.run(node));
            }
        });
        if rabbit.nodes.len() > 1 {
            rabbit.wait_for_nodes(rabbit.nodes.len());
        }
        rabbit
    }

    fn environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("HOME", &self.folder).env("ERL_EPMD_PORT", self.epmd.0.to_string()).env("LC_ALL", "C.UTF-8")
    }

    fn run(&self, number: usize) {
        let node = &self.nodes[number];
        let place = |name: &str| self.folder.join(format!("{number}-{name}"));
        let mut conf = format!("default_user = spectrum\ndefault_pass = {}\n", self.password);
        conf.push_str("log.console = true\nlog.file = false\ndisk_free_limit.absolute = 50MB\n");
        match &self.identity {
            None => conf.push_str(&format!("listeners.tcp.1 = 127.0.0.1:{}\n", node.port)),
            Some(identity) => conf.push_str(&format!(
                "listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{}\nssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\nssl_options.cacertfile = {}\nssl_options.verify = verify_none\n",
                node.port,
                identity.certificate.display(),
                identity.key.display(),
                identity.authority.display()
            )),
        }
        if self.nodes.len() > 1 {
            conf.push_str("cluster_formation.peer_discovery_backend = classic_config\n");
            conf.push_str("cluster_partition_handling = ignore\n");
            for (number, node) in (1..).zip(&self.nodes) {
                conf.push_str(&format!("cluster_formation.classic_config.nodes.{number} = {}\n", node.name));
            }
        }
        std::fs::write(place("rabbitmq.conf"), conf).expect("a file");
        std::fs::write(place("plugins"), "[].\n").expect("a file");
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
        self.environment(&mut command)
            .env("RABBITMQ_NODENAME", &node.name)
            .env("RABBITMQ_NODE_PORT", node.port.to_string())
            .env("RABBITMQ_DIST_PORT", node.distribution.to_string())
            .env("RABBITMQ_CONFIG_FILE", place("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", place("plugins"))
            .env("RABBITMQ_MNESIA_BASE", place("mnesia"))
            .env("RABBITMQ_LOG_BASE", place("logs"))
            .env("RABBITMQ_PID_FILE", place("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", place("config"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none");
        let log = self.folder.join(format!("{number}.log"));
        let from = std::fs::metadata(&log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(0));
        let mut process = Process::start("rabbitmq-server", &log, &mut command);
        wait("rabbitmq starts", || {
            process.must_run();
            std::fs::read(&log)
                .is_ok_and(|said| String::from_utf8_lossy(&said[from..]).contains("Server startup complete"))
        });
        *node.process.lock().expect("a node") = Some(process);
    }

    /// `rabbitmqctl` on a node. It takes a second.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctl(&self, node: usize, words: &[&str]) -> String {
        self.try_ctl(node, words).unwrap_or_else(|said| panic!("rabbitmqctl {words:?}: {said}"))
    }

    /// The same; what it says when it fails.
    ///
    /// # Errors
    /// When it fails: the node does not run, or does not know the command.
    pub fn try_ctl(&self, node: usize, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        tool(self.environment(&mut command).args(["--silent", "-n", &self.nodes[node].name]).args(words))
    }

    fn running(&self) -> usize {
        let running = self.nodes.iter().position(|node| node.process.lock().expect("a node").is_some());
        running.expect("a node that runs")
    }

    /// Waits until so many nodes work together.
    pub fn wait_for_nodes(&self, count: usize) {
        let node = self.running();
        wait("the nodes work together", || {
            let others = self.try_ctl(node, &["eval", "length(nodes())."]);
            others.is_ok_and(|said| said.trim() == (count - 1).to_string())
        });
    }

    fn hosts(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    /// The URL of all nodes.
    pub fn url(&self) -> String {
        let tls = if self.identity.is_some() { "s" } else { "" };
        format!("amqp{tls}://spectrum:{}@{}/%2f", self.password, self.hosts().join(","))
    }

    /// Where the nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::from(([127, 0, 0, 1], node.port))).collect()
    }

    /// The certificate of the authority that signed its own, in PEM.
    pub fn authority(&self) -> Option<&Path> {
        self.identity.as_ref().map(|identity| identity.authority.as_path())
    }

    /// Where it keeps what it holds.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The password of its user.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The node that leads a quorum queue.
    ///
    /// # Panics
    /// When there is no such queue.
    pub fn leader(&self, queue: &str) -> usize {
        let queues = self.ctl(self.running(), &["list_queues", "name", "leader"]);
        let name = queues.lines().find_map(|line| line.strip_prefix(queue)).map(str::trim);
        let name = name.unwrap_or_else(|| panic!("no queue {queue}:\n{queues}"));
        self.nodes.iter().position(|node| node.name == name).expect("a node of ours")
    }

    /// Closes all connections, as an operator would.
    pub fn close_connections(&self, node: usize) {
        self.ctl(node, &["close_all_connections", "closed by an operator"]);
    }

    /// Stops a node in order.
    pub async fn stop(&self, node: usize) {
        let process = self.nodes[node].process.lock().expect("a node").take().expect("it runs");
        tokio::task::block_in_place(|| process.stop(Signal::TERM));
    }

    /// Starts it again, with its data.
    pub async fn start_node(&self, node: usize) {
        tokio::task::block_in_place(|| self.run(node));
    }

    /// `kill -9` of a node.
    pub async fn kill(&self, node: usize) {
        self.nodes[node].process.lock().expect("a node").take().expect("it runs").kill();
    }
}
