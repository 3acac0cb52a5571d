//! A thousand agents: how long they take to serve, at first and when everything is compiled, and what they cost while they idle.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use caxton_test_artifacts::{WEB, with_section};

use crate::figures::{Figures, size_of};
use crate::host::{Host, beside_this_program};

/// Without a bake: nothing is measured while anything is still on its way.
const CONFIG: &str = "[defaults.reload]\nbake = \"0s\"\nwarm_up = \"0s\"\n";

/// How long all of them may take to serve: compiling a thousand components on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60 * 60);

/// How long a host is let alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(5);

/// Prints the figures for so many agents of one component, and for as many whose components differ.
///
/// # Errors
/// The agents do not serve.
pub async fn measure(agents: u32) -> Result<()> {
    let nobody = start(|_| Ok(())).await?;
    tokio::time::sleep(IDLE).await;
    let empty = Figures::of(nobody.pid())?;
    drop(nobody);
    println!(
        "{agents} agents, {} KiB each; a host without any: {} KiB, {} files, {} threads",
        WEB.len() / 1024,
        empty.resident_kib,
        empty.files,
        empty.threads
    );
    for (what, differ) in [("one component", false), ("distinct components", true)] {
        println!("{what}");
        let drop_in = |folder: &Path| -> Result<()> {
            for agent in 0..agents {
                let own = if differ { agent } else { 0 };
                let bytes = with_section(WEB, "agent", own.to_string().as_bytes());
                std::fs::write(folder.join(format!("{}.wasm", name(agent))), bytes)?;
            }
            Ok(())
        };
        // The watched directory is full before the host looks at it.
        let launched = Instant::now();
        let mut host = start(drop_in).await?;
        figures("first start", &host, agents, launched, empty).await?;
        host.stop().await?;
        for again in ["second start", "third start"] {
            let launched = Instant::now();
            host.launch_again()?;
            host.up().await?;
            figures(again, &host, agents, launched, empty).await?;
            host.stop().await?;
        }
        let (files, bytes) = size_of(&host.data_dir());
        println!("  data directory: {files} files, {} MiB", bytes >> 20);
    }
    Ok(())
}

fn name(agent: u32) -> String {
    format!("agent-{agent:04}")
}

async fn start(drop_in: impl FnOnce(&Path) -> Result<()>) -> Result<Host> {
    let mut host = Host::launch_over(beside_this_program("caxton")?, CONFIG, drop_in)?;
    host.up().await?;
    Ok(host)
}

async fn figures(
    what: &str,
    host: &Host,
    agents: u32,
    launched: Instant,
    empty: Figures,
) -> Result<()> {
    let announced = launched.elapsed();
    let answered = all_answer(host, agents).await?;
    tokio::time::sleep(IDLE).await;
    let now = Figures::of(host.pid())?;
    let each = now.resident_kib.saturating_sub(empty.resident_kib) as f64 / f64::from(agents);
    println!(
        "  {what:<13} both surfaces after {:>6.2} s, all agents have answered after {:>7.2} s; idle: {} KiB resident, {each:.1} KiB \
         an agent, {} files, {} threads",
        announced.as_secs_f64(),
        (answered - launched).as_secs_f64(),
        now.resident_kib,
        now.files,
        now.threads
    );
    Ok(())
}

/// When the last agent had given a good answer.
async fn all_answer(host: &Host, agents: u32) -> Result<Instant> {
    let http = reqwest::Client::new();
    let given_up = Instant::now() + DEADLINE;
    for agent in 0..agents {
        let url = format!("http://{}/{}/", host.gateway, name(agent));
        loop {
            let reply = http.get(&url).send().await.context("the gateway")?;
            let status = reply.status();
            reply.bytes().await?;
            if status.is_success() {
                break;
            }
            if Instant::now() > given_up {
                bail!("{} answers {status}; {}", name(agent), host.last_words());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(Instant::now())
}
