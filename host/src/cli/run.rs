//! `caxton run`: a host until a signal ends it.

use std::io::{self, Write};
use std::path::Path;

use super::args::RunArgs;
use super::failure::Failure;
use super::{Running, not_started, print, start};
use crate::config::HostConfig;
use crate::dev;

/// What is logged unless `RUST_LOG` says otherwise: of others what is wrong, not that they begin and end.
const LOG: &str = "info,opentelemetry=warn,opentelemetry_sdk=warn";

/// Read where it is there and no other is named.
pub(super) const DEFAULT_CONFIG: &str = "caxton.toml";

pub(super) async fn run(args: RunArgs) -> Result<(), Failure> {
    let (dev, format) = (args.dev, args.log_format);
    let config = configuration(args)?;
    let agents = config.agents.display().to_string();
    let Running {
        host,
        mut signals,
        telemetry,
        exports,
    } = start(
        config,
        if dev { dev::LOG } else { LOG },
        format,
        not_started,
    )
    .await?;
    // Whoever closes the output of a host wants it to be quiet, not to end.
    let _ = print(&format!(
        "gateway  http://{}/\nadmin    http://{}/\nagents   {}\n",
        host.gateway(),
        host.admin(),
        super::harmless(&agents)
    ));
    let reporting = dev.then(|| {
        let _ = print(dev::NOT_USED);
        tokio::spawn(dev::report(
            host.events(),
            dev::Report::new(super::time::now_ms()),
        ))
    });
    signals.asked(1).await;
    say("stopping: what is running is answered first; ask once more to cut it");
    let mut again = signals.clone();
    let stopped = host.stop(async move { again.asked(2).await }).await;
    if let Some(reporting) = reporting {
        reporting.abort();
    }
    exports.stop(telemetry).await;
    match stopped.cut {
        0 => say("stopped"),
        cut => say(&format!(
            "stopped; {cut} requests were cut before they were answered"
        )),
    }
    Ok(())
}

/// What the command line says goes before what the file says.
fn configuration(args: RunArgs) -> Result<HostConfig, Failure> {
    let file = args.config.or_else(|| {
        Path::new(DEFAULT_CONFIG)
            .is_file()
            .then(|| DEFAULT_CONFIG.into())
    });
    let mut config = match file {
        Some(file) => HostConfig::load(&file).map_err(|error| Failure::Usage(error.to_string()))?,
        None => HostConfig::default(),
    };
    if let Some(agents) = args.dir {
        config.agents = agents;
    }
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(admin) = args.admin {
        config.admin = admin;
    }
    if let Some(data_dir) = args.data_dir {
        config.data_dir = data_dir;
    }
    if let Some(policies) = args.policies {
        config.policies = policies;
    }
    config.poll |= args.poll;
    Ok(if args.dev { config.for_dev() } else { config })
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
