//! Requests per second and latencies beside `wasmtime serve`, on the same component, in turns.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use caxton_test_artifacts::WEB;

use crate::host::Host;

/// What wrk is told.
#[derive(Clone, Copy)]
pub struct Load {
    /// Of each measurement.
    pub seconds: u32,
    /// Kept alive.
    pub connections: u32,
}

/// One way to run the component in both programs.
struct Mode {
    what: &'static str,
    config: &'static str,
    flags: &'static [&'static str],
}

const MODES: [Mode; 3] = [
    Mode {
        what: "fresh instances, wasmtime at its defaults",
        config: "[instances]\nmode = \"fresh\"\n",
        flags: &["--max-instance-reuse-count=1"],
    },
    Mode {
        what: "fresh instances, wasmtime with the flags that Caxton sets",
        config: "[instances]\nmode = \"fresh\"\n",
        flags: &[
            "--max-instance-reuse-count=1",
            "-Opooling-allocator=y",
            "-Opooling-pagemap-scan=y",
            "-Opooling-memory-keep-resident=2097152",
            "-Opooling-table-keep-resident=2097152",
            "-Wepoch-interruption=y",
            "-Wtimeout=30s",
        ],
    },
    Mode {
        what: "an instance takes 128 requests",
        config: "[instances]\nmode = \"reused\"\nreuse = 128\n",
        flags: &["--max-instance-reuse-count=128"],
    },
];

/// Prints the figures of each mode and round.
///
/// # Errors
/// One of the servers or wrk does not run.
pub async fn measure(wasmtime: &Path, rounds: u32, load: Load) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let component = folder.path().join("web.wasm");
    std::fs::write(&component, WEB)?;
    for mode in &MODES {
        println!("{}", mode.what);
        let host = Host::start("").await?;
        host.configure("web", mode.config)?;
        host.drop_in("web", WEB)?;
        host.answered_by("web", 1).await?;
        let serve = Serve::start(wasmtime, mode.flags, &component).await?;
        for round in 1..=rounds {
            let ours = wrk(load, &format!("http://{}/web/", host.gateway))?;
            let theirs = wrk(load, &format!("http://{}/", serve.address))?;
            println!(
                "  round {round}   caxton {ours}   wasmtime serve {theirs}   ratio {:.2}",
                ours.rate / theirs.rate
            );
        }
    }
    Ok(())
}

struct Serve {
    child: Child,
    address: String,
}

impl Serve {
    async fn start(wasmtime: &Path, flags: &[&str], component: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = Command::new(wasmtime)
            .args(["serve", "-Scli", "--addr", &address])
            .args(flags)
            .arg(component)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", wasmtime.display()))?;
        let mut serve = Self { child, address };
        let given_up = Instant::now() + Duration::from_secs(60);
        let http = crate::client();
        while http
            .get(format!("http://{}/", serve.address))
            .send()
            .await
            .is_err()
        {
            if let Some(status) = serve.child.try_wait()? {
                bail!("wasmtime serve ended with {status}; its flags were {flags:?}");
            }
            if Instant::now() > given_up {
                bail!("wasmtime serve did not answer");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(serve)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Figures {
    rate: f64,
    median: String,
    p99: String,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>8.0}/s p50 {} p99 {}",
            self.rate, self.median, self.p99
        )
    }
}

fn wrk(load: Load, url: &str) -> Result<Figures> {
    let output = Command::new("wrk")
        .args(["--latency", "-t1"])
        .arg(format!("-c{}", load.connections))
        .arg(format!("-d{}s", load.seconds))
        .arg(url)
        .output()
        .context(
            "starting wrk; it is in most package managers, for example: apt-get install wrk",
        )?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") {
        bail!("not every answer was good:\n{text}");
    }
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(key))
            .map(|value| value.trim().to_owned())
            .with_context(|| format!("wrk did not print {key}:\n{text}"))
    };
    Ok(Figures {
        rate: value("Requests/sec:")?.parse()?,
        median: value("50%")?,
        p99: value("99%")?,
    })
}
