//! From the rename of a file to the first answer of the new version.

use std::time::Duration;

use anyhow::Result;
use caxton_test_artifacts::{WEB, with_section};

use crate::host::Host;

/// Without bake and warm-up: what is measured is the way of the file, not a configured wait.
const CONFIG: &str = "[defaults.reload]\nbake = \"0s\"\nwarm_up = \"0s\"\n";

/// Prints the times of `count` reloads with code that is new, and of `count` with code that is still compiled.
///
/// # Errors
/// A reload does not come in.
pub async fn measure(count: u32) -> Result<()> {
    let host = Host::start(CONFIG).await?;
    host.drop_in("web", WEB)?;
    host.answered_by("web", 1).await?;
    let mut version = 1;

    let mut compiled_anew = Vec::new();
    for round in 0..count {
        version += 1;
        let bytes = with_section(WEB, "round", round.to_string().as_bytes());
        compiled_anew.push(reload(&host, &bytes, version).await?);
    }

    let mut compiled_before = Vec::new();
    let ones = with_section(WEB, "turn", b"one");
    let others = with_section(WEB, "turn", b"other");
    for bytes in [&ones, &others] {
        version += 1;
        reload(&host, bytes, version).await?;
    }
    for round in 0..count {
        version += 1;
        let bytes = if round % 2 == 0 { &ones } else { &others };
        compiled_before.push(reload(&host, bytes, version).await?);
    }

    println!(
        "rename -> first answer of the new version, {} KiB component",
        WEB.len() / 1024
    );
    print("not compiled before", compiled_anew);
    print("compiled before", compiled_before);
    Ok(())
}

async fn reload(host: &Host, bytes: &[u8], version: u32) -> Result<Duration> {
    let renamed = host.drop_in("web", bytes)?;
    let answered = host.answered_by("web", version).await?;
    Ok(answered - renamed)
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    println!(
        "  {what:<20} {:>4} reloads   min {:>7.1} ms   median {:>7.1} ms   p90 {:>7.1} ms   max {:>7.1} ms",
        times.len(),
        at(0),
        at(50),
        at(90),
        at(100)
    );
}
