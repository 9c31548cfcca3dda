mod common;
use std::sync::Arc; use std::time::Instant;
use spectrum_webhook_core::{delivery::Message, ids::*, ports::*, time::Millis};
use spectrum_webhook_sql::*;
use uuid::Uuid;
async fn go(dir: std::path::PathBuf, off: bool, conc: usize, n: usize, keyed: bool) {
    let opts = Options { synchronous_off: off, ..Options::new(dir.clone()) };
    let e = Arc::new(Embedded::open(opts, common::key()).await.unwrap());
    let body = bytes::Bytes::from(vec![b'x'; 800]);
    let t = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for c in 0..conc { let e = e.clone(); let body = body.clone(); set.spawn(async move {
        for i in 0..n/conc {
            let id = EventId(Uuid::now_v7()); let project = ProjectId(Uuid::nil());
            let mut k = [0u8;32]; k[..16].copy_from_slice(id.0.as_bytes());
            let key = keyed.then(|| IdempotencyKey{key:k, body:[0;32], expires_at: Millis(10)});
            if let Some(k) = &key { e.admission.begin(PartitionId(0), project, id, Some(k), Millis(0)).await.unwrap(); }
            let m = Message { id, project, event_type: "messages".into(), accepted_at: Millis(0), registry: RegistryVersion(0), traceparent: None, body: body.clone() };
            e.queue.publish(PartitionId(((c*7+i)%64) as u16), Publication { message: m, again: false, idempotency: key.clone() }).await.unwrap();
            if let Some(k) = &key { e.admission.end(PartitionId(0), project, id, k, true).await.unwrap(); }
        }
    }); }
    let consumer = { let e = e.clone(); tokio::spawn(async move {
        let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut subs = tokio::task::JoinSet::new();
        for p in 0..64 { let e = e.clone(); let done = done.clone(); subs.spawn(async move {
            let lease = Lease { partition: PartitionId(p), owner: OwnerId(Uuid::nil()), epoch: Epoch(1) };
            let mut s = e.queue.subscribe(&lease, 300).await.unwrap(); let acks = s.acks();
            loop { s.ready().await.unwrap(); let t = s.take(300, usize::MAX).await.unwrap();
                if t.is_empty() { continue }
                let tags: Vec<_> = t.iter().map(|t| t.tag).collect(); acks.ack(&tags).await.unwrap();
                done.fetch_add(t.len(), std::sync::atomic::Ordering::SeqCst);
            }
        }); }
        while done.load(std::sync::atomic::Ordering::SeqCst) < n/conc*conc { tokio::time::sleep(std::time::Duration::from_millis(2)).await; }
    }) };
    while set.join_next().await.is_some() {}
    let p = t.elapsed();
    consumer.await.unwrap();
    let a = t.elapsed();
    println!("off={off} keyed={keyed} conc={conc}: published {:.0}/s, through {:.0}/s", n as f64/p.as_secs_f64(), n as f64/a.as_secs_f64());
    e.close().await.unwrap();
}
#[tokio::test(flavor="multi_thread", worker_threads=2)]
async fn speed() {
    for (off,keyed,conc) in [(false,false,32),(false,true,32),(false,true,256),(true,true,32)] {
        let d = tempfile::tempdir().unwrap();
        go(d.path().into(), off, conc, 20_000, keyed).await;
    }
}
#[test]
fn opening() {
    for base in ["/dev/shm", "/tmp"] {
    let t = Instant::now();
    for _ in 0..100 { let d = tempfile::tempdir_in(base).unwrap();
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async { let mut o = Options::new(d.path()); o.synchronous_off = true; o.readers=1; let e = Embedded::open(o, common::key()).await.unwrap(); e.abandon().await; }); }
    println!("{base}: open+abandon {:?}", t.elapsed()/100);
    }
}
