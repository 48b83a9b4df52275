//! `chaos bench`: write throughput of the bundled ensemble, beside others if asked.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::failure::{self, Failure};
use crate::campaign::{
    Bench, BenchError, Comparison, Ensemble, Growth, Row, Sample, Target, comparisons, grow, rows,
    run,
};
use crate::exit::Exit;

/// What to measure.
#[derive(Debug, Args)]
pub(super) struct BenchArguments {
    /// Another running ensemble that speaks the ZooKeeper client protocol, measured in turn
    #[arg(long = "against", value_name = "NAME=HOST:PORT,…", value_parser = target)]
    against: Vec<Target>,
    /// How many clients at a time, each with one write in flight
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 16, 64], value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: Vec<u32>,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=500_000))]
    size: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often all is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of load on each ensemble before anything is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    warmup: u64,
    /// Instead: this many writes in one go, to see whether the cost of one stays the same
    #[arg(long, value_name = "N", conflicts_with_all = ["against", "rounds", "seconds", "warmup"], value_parser = clap::value_parser!(u64).range(1..))]
    writes: Option<u64>,
    /// Another build to run the bundled nodes with
    #[arg(long, value_name = "PATH")]
    node_bin: Option<PathBuf>,
    /// Where the nodes keep their data meanwhile; the disk to be measured
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// Measures and prints the table.
pub(super) fn bench(arguments: &BenchArguments) -> Result<Exit, Failure> {
    let executable = std::env::current_exe().map_err(|error| Failure::of(Exit::Setup, &error))?;
    std::fs::create_dir_all(&arguments.out).map_err(|error| Failure::of(Exit::Setup, &error))?;
    let dir = std::path::absolute(&arguments.out)
        .and_then(|out| tempfile::Builder::new().prefix("bench-").tempdir_in(out))
        .map_err(|error| Failure::of(Exit::Setup, &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Setup, &error))?;
    let measured = runtime.block_on(async {
        let ensemble =
            Ensemble::start(&executable, arguments.node_bin.as_deref(), dir.path()).await?;
        match arguments.writes {
            Some(total) => growth(&ensemble, arguments, total).await?,
            None => throughput(&ensemble, arguments).await?,
        }
        ensemble.stop().await
    });
    measured.map_err(|error| Failure::of(Exit::Setup, &error))?;
    Ok(Exit::Pass)
}

async fn throughput(ensemble: &Ensemble, arguments: &BenchArguments) -> Result<(), BenchError> {
    let mut targets = vec![ensemble.target("bundled")];
    targets.extend(arguments.against.iter().cloned());
    let bench = Bench {
        targets,
        clients: arguments.clients.clone(),
        value_bytes: arguments.size as usize,
        warmup: Duration::from_secs(arguments.warmup),
        length: Duration::from_secs(arguments.seconds),
        rounds: arguments.rounds,
    };
    let samples = run(&bench, |sample| failure::note(&told(sample))).await?;
    failure::output(&table(&rows(&samples), &comparisons(&samples)));
    Ok(())
}

async fn growth(
    ensemble: &Ensemble,
    arguments: &BenchArguments,
    total: u64,
) -> Result<(), BenchError> {
    let clients = arguments.clients.iter().copied().max().unwrap_or(1);
    failure::output(GROWTH_HEAD);
    grow(ensemble, clients, arguments.size as usize, total, |step| {
        failure::output(&growth_line(step));
    })
    .await
}

fn told(sample: &Sample) -> String {
    format!(
        "round {}: {:>3} clients, {:<10} {:>9.0} writes/s\n",
        sample.round,
        sample.clients,
        sample.target,
        sample.writes as f64 / sample.elapsed.as_secs_f64(),
    )
}

fn table(rows: &[Row], comparisons: &[Comparison]) -> String {
    let mut text = format!(
        "{:>7}  {:<10} {:>10} {:>21} {:>10} {:>10} {:>10}\n",
        "clients", "ensemble", "writes/s", "least .. greatest", "p50", "p99", "max"
    );
    for row in rows {
        let [least, median, greatest] = row.rate;
        let range = format!("{least:.0} .. {greatest:.0}");
        text += &format!(
            "{:>7}  {:<10} {median:>10.0} {range:>21} {:>10} {:>10} {:>10}\n",
            row.clients,
            row.target,
            row.p50.to_string(),
            row.p99.to_string(),
            row.max.to_string(),
        );
    }
    for compared in comparisons {
        let [least, median, greatest] = compared.ratio;
        // Writing to a string never fails.
        let _ = writeln!(
            text,
            "{:>7}  {} has {median:.2} times the writes of {} (round by round {least:.2} .. \
             {greatest:.2})",
            compared.clients, compared.target, compared.against
        );
    }
    if let Some(row) = rows.first() {
        text += &format!(
            "medians over {} rounds; a latency runs from send to answer\n",
            row.rounds
        );
    }
    text
}

const GROWTH_HEAD: &str =
    "    writes   writes/s      p50       p99       max  cpu/write   memory     disk\n";

fn growth_line(step: &Growth) -> String {
    const MIB: u64 = 1 << 20;
    format!(
        "{:>10} {:>10.0} {:>8} {:>9} {:>9} {:>10} {:>4} MiB {:>4} MiB\n",
        step.writes,
        step.rate,
        step.p50.to_string(),
        step.p99.to_string(),
        step.max.to_string(),
        step.cpu_per_write.to_string(),
        step.memory / MIB,
        step.disk / MIB,
    )
}

fn target(text: &str) -> Result<Target, String> {
    let (name, addresses) = text
        .split_once('=')
        .ok_or_else(|| "expected NAME=HOST:PORT,HOST:PORT,…".to_owned())?;
    let nodes: Result<Vec<SocketAddr>, String> = addresses
        .split(',')
        .map(|address| {
            address
                .parse()
                .map_err(|_| format!("{address:?} is not an address: expected HOST:PORT"))
        })
        .collect();
    let nodes = nodes?;
    if let Some(far) = nodes.iter().find(|addr| !addr.ip().is_loopback()) {
        return Err(format!(
            "{far} is not on this machine: only loopback addresses are put under load"
        ));
    }
    Ok(Target {
        name: name.to_owned(),
        nodes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;

    #[test]
    fn the_table_reads_like_this() {
        let row = |target: &str, rate: f64| Row {
            target: target.to_owned(),
            clients: 16,
            rounds: 3,
            rate: [rate - 100.0, rate, rate + 250.0],
            p50: Nanos(812_000),
            p99: Nanos(2_130_000),
            max: Nanos(14_000_000),
        };
        let compared = Comparison {
            clients: 16,
            target: "bundled".to_owned(),
            against: "zookeeper".to_owned(),
            ratio: [2.1, 2.25, 2.4],
        };
        insta::assert_snapshot!(table(
            &[row("bundled", 12_000.0), row("zookeeper", 5_300.0)],
            &[compared]
        ));
    }

    #[test]
    fn a_target_is_a_name_and_loopback_addresses() {
        let found = target("zk=127.0.0.1:1,127.0.0.1:2").unwrap();
        assert_eq!((found.name.as_str(), found.nodes.len()), ("zk", 2));
        for (text, expected) in [
            ("zk", "expected NAME="),
            ("zk=x", "not an address"),
            ("zk=192.0.2.1:1", "only loopback"),
        ] {
            assert!(target(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
