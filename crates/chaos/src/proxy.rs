//! A TCP proxy between a role and a service, which can end connections, delay what they carry, or swallow it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections of one proxy at a time; a pool of the product has 16.
const MOST: usize = 256;

/// What it does with what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Passes it on.
    Open,
    /// Ends all connections, and new ones at once.
    Cut,
    /// Passes it on so much later.
    Delay(Duration),
    /// Swallows it: the connections stand, and new ones are taken, but nobody hears anything. Those that lost bytes end
    /// when this does, as the one side that knows nothing of the connection would answer with a reset.
    Hole,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    target: SocketAddr,
}

/// A listening proxy. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback, for a server at `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub(crate) async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State { mode: Mode::Open, target });
        let task = tokio::spawn(accept(listener, state.subscribe()));
        Ok(Self { address, state, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, for the connections that it has as well.
    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// New connections go there; those that it has end with [`Mode::Cut`].
    pub(crate) fn aim(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = target);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted && connections.len() < MOST {
                    connections.spawn(carry(near, state.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut near: TcpStream, mut state: watch::Receiver<State>) {
    let State { mode, target } = *state.borrow_and_update();
    // A refusal: to the client, a connection that ends at once.
    let far = if mode == Mode::Cut { None } else { TcpStream::connect(target).await.ok() };
    let Some(mut far) = far else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    tokio::select! {
        () = pump(from_near, to_far, state.clone()) => {}
        () = pump(from_far, to_near, state) => {}
    }
    let _ = near.set_zero_linger();
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 32 * 1024];
    let mut swallowed = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = state.changed() => {
                let mode = state.borrow_and_update().mode;
                if changed.is_err() || mode == Mode::Cut || (swallowed && mode != Mode::Hole) {
                    return;
                }
                continue;
            }
        };
        let Ok(read @ 1..) = read else { return };
        let mode = state.borrow().mode;
        match mode {
            Mode::Cut => return,
            Mode::Hole => {
                swallowed = true;
                continue;
            }
            Mode::Open if swallowed => return,
            Mode::Open => {}
            Mode::Delay(delay) => tokio::time::sleep(delay).await,
        }
        // Who does not read must not keep a connection that is to end.
        let written = tokio::select! {
            written = to.write_all(&buffer[..read]) => written.is_ok(),
            _ = state.wait_for(|state| state.mode == Mode::Cut) => false,
        };
        if !written {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, word: &[u8; 2]) -> io::Result<bool> {
        stream.write_all(word).await?;
        let mut heard = [0; 2];
        stream.read_exact(&mut heard).await.map(|_| heard == *word)
    }

    #[tokio::test]
    async fn it_passes_on_delays_swallows_and_cuts() {
        let proxy = Proxy::start(echo().await).await.expect("a proxy");
        let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert!(says(&mut stream, b"ab").await.expect("an echo"));
        proxy.set(Mode::Delay(Duration::from_millis(30)));
        let begun = std::time::Instant::now();
        assert!(says(&mut stream, b"cd").await.expect("an echo"));
        assert!(begun.elapsed() >= Duration::from_millis(60), "both ways");
        proxy.set(Mode::Hole);
        let unheard = tokio::time::timeout(Duration::from_millis(50), says(&mut stream, b"ef")).await;
        assert!(unheard.is_err(), "{unheard:?}");
        proxy.set(Mode::Open);
        assert!(says(&mut stream, b"gh").await.is_err(), "what lost bytes ends");
        let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert!(says(&mut stream, b"ij").await.expect("an echo"));
        proxy.set(Mode::Cut);
        assert!(says(&mut stream, b"kl").await.is_err());
        let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert!(says(&mut stream, b"mn").await.is_err());
    }
}
