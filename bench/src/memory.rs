//! Whether anything grows: resident memory, open files and threads over many reloads, each compiled anew.

use anyhow::Result;
use caxton_test_artifacts::{WEB, with_section};

use crate::figures::Figures;
use crate::host::Host;

const CONFIG: &str = "[defaults.reload]\nbake = \"0s\"\nwarm_up = \"0s\"\nkeep_previous = \"0s\"\n";

/// Figures are printed this often.
const EVERY: u32 = 100;

/// Reloads so often and prints the host's figures, and at the end the last as a ratio of those after 200 reloads.
///
/// # Errors
/// A reload does not come in.
pub async fn measure(reloads: u32) -> Result<()> {
    let host = Host::start(CONFIG).await?;
    host.drop_in("web", WEB)?;
    host.answered_by("web", 1).await?;
    println!("reloads   resident KiB   open files   threads");
    let mut at_200 = None;
    let mut last = Figures::of(host.pid())?;
    for reload in 1..=reloads {
        let bytes = with_section(WEB, "reload", reload.to_string().as_bytes());
        host.drop_in("web", &bytes)?;
        host.answered_by("web", reload + 1).await?;
        if reload % EVERY == 0 {
            last = Figures::of(host.pid())?;
            println!(
                "{reload:>7}   {:>12}   {:>10}   {:>7}",
                last.resident_kib, last.files, last.threads
            );
        }
        if reload == 200 {
            at_200 = Some(last);
        }
    }
    if let Some(then) = at_200 {
        let ratio = |now: u64, then: u64| now as f64 / then as f64;
        println!(
            "last / after 200:   resident {:.3}   files {:.3}   threads {:.3}",
            ratio(last.resident_kib, then.resident_kib),
            ratio(last.files, then.files),
            ratio(last.threads, then.threads)
        );
    }
    Ok(())
}
