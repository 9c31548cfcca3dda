//! One server for all URLs. It speaks HTTP/1.1 by hand, so that it can break it, and remembers every request.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `wire` | one request as it is read |

mod wire;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use crate::history::{Arrival, At, Reply};
use crate::plan::{Answer, Temper};
use wire::{Head, Incoming};

/// How long a receiver that hangs waits for the other side to give up.
const HANG: Duration = Duration::from_secs(60);
/// Between two bytes of a body that drips.
const DRIP: Duration = Duration::from_millis(40);

struct Shared {
    clock: Clock,
    well: AtomicBool,
    arrivals: Mutex<Vec<Arrival>>,
    /// Bodies that came; the same bytes are kept once.
    bodies: Mutex<HashMap<Arc<[u8]>, ()>>,
    last: AtomicU64,
    /// Requests that were no HTTP that it knows.
    malformed: Mutex<Vec<String>>,
}

/// The server. Dropping it ends it.
pub(crate) struct Receivers {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receivers {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn start(clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            clock,
            well: AtomicBool::new(false),
            arrivals: Mutex::default(),
            bodies: Mutex::default(),
            last: AtomicU64::new(0),
            malformed: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on everything is taken, but what is refused for good.
    pub(crate) fn be_well(&self) {
        self.shared.well.store(true, Ordering::Relaxed);
    }

    /// When the last request came.
    pub(crate) fn last(&self) -> At {
        At(self.shared.last.load(Ordering::Relaxed))
    }

    /// All requests so far, and what was no request.
    pub(crate) fn take(&self) -> (Vec<Arrival>, Vec<String>) {
        (std::mem::take(&mut *self.shared.arrivals.lock()), std::mem::take(&mut *self.shared.malformed.lock()))
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        if let Err(problem) = serve(stream, &shared).await {
                            shared.malformed.lock().push(problem);
                        }
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Whether the connection stays.
#[derive(PartialEq, Eq)]
enum After {
    Stays,
    Ends,
}

async fn serve(stream: TcpStream, shared: &Shared) -> Result<(), String> {
    let _ = stream.set_nodelay(true);
    let mut incoming = Incoming::new(stream);
    // The sender may end a connection at any time: only what is no HTTP is a problem.
    while let Some(head) = incoming.head(|| shared.clock.now()).await? {
        let event = fnv(head.get("x-spectrum-event-id").as_bytes());
        let attempt = head.get("x-spectrum-attempt").parse().unwrap_or(0);
        let temper = Temper::of_path(&head.path);
        let answer = temper.answer(shared.clock.now(), event, attempt, shared.well.load(Ordering::Relaxed));
        shared.last.fetch_max(head.begun.0, Ordering::Relaxed);
        if answer == Answer::Close {
            shared.remember(&head, None, Reply::Nothing, None);
            return Ok(());
        }
        let Some(body) = incoming.body(&head).await? else {
            // It began, and the sender ended it.
            shared.remember(&head, None, Reply::Nothing, None);
            return Ok(());
        };
        let body = shared.intern(body);
        if give(&mut incoming.stream, shared, &head, body, answer).await == After::Ends {
            return Ok(());
        }
    }
    Ok(())
}

async fn give(stream: &mut TcpStream, shared: &Shared, head: &Head, body: Arc<[u8]>, answer: Answer) -> After {
    match answer {
        Answer::Status(status, wait) => {
            tokio::time::sleep(wait).await;
            let text = format!("HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok");
            if said(stream, shared, head, body, (status, &text)).await { After::Stays } else { After::Ends }
        }
        Answer::Lie(more) => {
            let text = if more {
                "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nnot that much"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more than was said"
            };
            said(stream, shared, head, body, (200, text)).await;
            After::Ends
        }
        Answer::Drip(bytes) => {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            let mut goes_on = said(stream, shared, head, body, (200, &text)).await;
            for _ in 0..bytes {
                tokio::time::sleep(DRIP).await;
                goes_on = goes_on && stream.write_all(b".").await.is_ok();
            }
            if goes_on { After::Stays } else { After::Ends }
        }
        Answer::Hang => {
            shared.remember(head, Some(body), Reply::Nothing, None);
            let mut byte = [0];
            let _ = tokio::time::timeout(HANG, stream.read(&mut byte)).await;
            After::Ends
        }
        Answer::Reset | Answer::Close => {
            shared.remember(head, Some(body), Reply::Nothing, None);
            let _ = stream.set_zero_linger();
            After::Ends
        }
    }
}

/// Answers, and remembers it before: a request must be known when its sender knows the answer.
async fn said(
    stream: &mut TcpStream,
    shared: &Shared,
    head: &Head,
    body: Arc<[u8]>,
    (status, text): (u16, &str),
) -> bool {
    shared.remember(head, Some(body), Reply::Status(status), Some(shared.clock.now()));
    stream.write_all(text.as_bytes()).await.is_ok()
}

impl Shared {
    fn intern(&self, body: Vec<u8>) -> Arc<[u8]> {
        let mut bodies = self.bodies.lock();
        if let Some((body, ())) = bodies.get_key_value(body.as_slice()) {
            return Arc::clone(body);
        }
        let body: Arc<[u8]> = body.into();
        bodies.insert(Arc::clone(&body), ());
        body
    }

    fn remember(&self, head: &Head, body: Option<Arc<[u8]>>, reply: Reply, replied: Option<At>) {
        let arrival = head.arrival(body, reply, replied);
        self.arrivals.lock().push(arrival);
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
