//! What the tools share: loading a policy with the cache of compiled code, and telling that something takes long.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use caxton_runtime::policy::{Policy, PolicyLimits, PolicyRuntime};
use clap::Args;

use super::find::Found;
use crate::cli::failure::Failure;
use crate::cli::text::{Paint, draw};

/// After this a person wants to know what is going on.
const PATIENCE: Duration = Duration::from_millis(300);

/// Where compiled code is kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct CacheArgs {
    /// Where compiled policies are kept between runs, in the folder `compiled`: the host's data directory
    #[arg(long, value_name = "DIR", env = "CAXTON_DATA_DIR", default_value = crate::cli::client::DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
}

impl CacheArgs {
    /// A runtime that keeps what it compiles.
    ///
    /// # Errors
    /// This platform has no engine for policies.
    pub(crate) fn runtime(&self) -> Result<PolicyRuntime, Failure> {
        let folder = self.data_dir.join("compiled");
        PolicyRuntime::with_cache(PolicyLimits::default(), Some(&folder)).map_err(no_engine)
    }
}

/// A runtime that compiles everything anew.
///
/// # Errors
/// This platform has no engine for policies.
pub(super) fn fresh_runtime() -> Result<PolicyRuntime, Failure> {
    PolicyRuntime::new(PolicyLimits::default()).map_err(no_engine)
}

fn no_engine(error: caxton_runtime::policy::EngineError) -> Failure {
    Failure::No(error.to_string())
}

/// Loads a policy and says how long that took.
///
/// # Errors
/// It is none that a host would take.
pub(crate) async fn load(
    runtime: &PolicyRuntime,
    found: &Found,
) -> Result<(Policy, Duration), Failure> {
    let began = Instant::now();
    let loading = runtime.load(&found.name, found.bytes.clone());
    let loaded = slowly(&compiling(found), loading).await;
    let policy = loaded.map_err(|refusal| {
        let place = found.place();
        Failure::No(format!(
            "{place}: {}\n`caxton policy check {place}` shows what is looked at, in order",
            refusal.reason
        ))
    })?;
    Ok((policy, began.elapsed()))
}

/// What is told while a policy compiles.
pub(super) fn compiling(found: &Found) -> String {
    let size = bytesize::ByteSize(u64::try_from(found.bytes.len()).unwrap_or(u64::MAX));
    format!("compiling {} ({size})", found.place())
}

/// Waits; to a person at a terminal it tells for what, as soon as that takes longer than nothing.
pub(crate) async fn slowly<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !Paint::stderr().terminal() {
        return work.await;
    }
    let began = Instant::now();
    let mut told = false;
    loop {
        match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(done) => {
                if told {
                    draw("");
                }
                return done;
            }
            Err(_) => {
                told = true;
                draw(&format!("{what}, {} s ...", began.elapsed().as_secs()));
            }
        }
    }
}
