//! One go against one contender, as a quick look.

use std::time::Duration;

use anyhow::Result;

use crate::args::Once;
use crate::load::Plan;
use crate::perf;
use crate::progress::{say, step};
use crate::suite::product;
use crate::system::{Contender, Run, Scene, Services, System};

pub(crate) async fn run(once: Once) -> Result<()> {
    let services = Services::of(once.backend).await?;
    let contender = if once.limit { Contender::Limit } else { Contender::Product(product(once.binary.as_deref())?) };
    let scene = Scene {
        backend: once.backend,
        projects: once.projects,
        streams: once.streams,
        urls: once.urls,
        dispatchers: once.dispatchers,
    };
    step(&format!("{} of {scene:?}", contender.name()));
    let system = System::start(&contender, scene, services.as_ref()).await?;
    system.receiver.delay(Duration::from_millis(once.delay));
    let plan = Plan {
        clients: once.clients,
        size: once.size,
        batch: once.batch,
        rate: once.rate,
        window: once.window,
        seconds: once.seconds,
        events: u64::MAX,
    };
    let profiles = once.perf.as_deref().map(|folder| perf::record(&system, folder)).transpose()?;
    for round in 0..once.rounds {
        step(&format!("round {round}"));
        print(&system.run(plan).await?);
    }
    if let Some(profiles) = profiles {
        perf::finish(profiles).await?;
    }
    system.stop().await
}

fn print(run: &Run) {
    let posted = |quantile| run.posted.times.value_at_quantile(quantile) as f64 / 1_000.0;
    let arrived = |quantile| run.arrivals.millis(quantile);
    say(&format!("accepted a second       {:.0}", run.accepted()));
    say(&format!("delivered a second      {:.0}", run.delivered()));
    say(&format!("post to answer          p50 {:.2} ms, p99 {:.2} ms", posted(0.5), posted(0.99)));
    let [middle, most, last] = [0.5, 0.99, 0.999].map(arrived);
    say(&format!("post to arrival         p50 {middle:.2} ms, p99 {most:.2} ms, p99.9 {last:.2} ms"));
    say(&format!("memory                  {:.1} MiB", run.memory as f64 / 1_048_576.0));
    for (role, used) in &run.cpu {
        let each = used.as_secs_f64() * 1e6 / run.arrivals.count.max(1) as f64;
        say(&format!("{role:24}{each:.0} µs for each delivery"));
    }
}
