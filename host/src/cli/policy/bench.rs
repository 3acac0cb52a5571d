//! `caxton policy bench`: what a call costs, and a digest of all answers to compare between processes.

use std::time::{Duration, Instant};

use caxton_rollout::{Fault, RollbackAnswer, StrategyAnswer};
use caxton_runtime::policy::{Call, Policy, PolicyKind};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::find::{Found, find};
use super::kit::{CacheArgs, fresh_runtime, load, slowly};
use super::settings;
use super::traffic::{Told, told};
use crate::cli::failure::Failure;
use crate::cli::table::{Cell, Table};
use crate::cli::text::{Paint, Tone, harmless};
use crate::cli::{print, print_json};

/// As many windows as a policy is shown at most.
const WINDOWS_MAX: usize = caxton_rollout::MAX_WINDOWS;

const HELP: &str = "\
The traffic is made up and the same in every process. Each call has a fresh instance, an empty
state, and everything that the host spends on it is in its time. Fuel and memory are those of the
hungriest call. The digest at the end is over every byte of every answer, states included: where
it differs between two runs with the same arguments, the policy is not a function of its arguments.

  caxton policy bench ./latency-guard.wasm
  caxton policy bench ./latency-guard.wasm --windows 120 --calls 1000 --fresh

Exit code 1 where a call was at fault, 2 where the policy refuses the settings.";

/// `caxton policy bench`
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BenchArgs {
    /// A file, or the name of a policy in this binary
    policy: String,
    /// Numbers of windows to show it, 1 to 120
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,10,60,120", value_parser = windows)]
    windows: Vec<usize>,
    /// Calls for each number of windows
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Settings: a file in TOML or JSON, or a JSON object; laid over the file NAME.toml beside the policy
    #[arg(long, value_name = "SETTINGS")]
    settings: Option<String>,
    /// Compile it, whatever the cache has
    #[arg(long)]
    fresh: bool,
    /// As JSON, for tools
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

fn windows(text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|windows| (1..=WINDOWS_MAX).contains(windows))
        .ok_or_else(|| format!("a policy is shown 1 to {WINDOWS_MAX} windows"))
}

/// What so many windows cost.
#[derive(Debug, Serialize)]
struct Cost {
    windows: usize,
    calls: u32,
    median_us: u64,
    p99_us: u64,
    /// Of the hungriest call.
    fuel: u64,
    /// Of the largest call, in bytes.
    memory: u64,
    faults: u32,
}

pub(super) async fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let found = find(&args.policy)?;
    let given = settings::given(&found, args.settings.as_deref())?;
    let runtime = if args.fresh {
        fresh_runtime()?
    } else {
        args.cache.runtime()?
    };
    let (policy, took) = load(&runtime, &found).await?;
    let given = Value::Object(given).to_string();
    policy
        .check_settings(&given)
        .await
        .map_err(|refused| Failure::Usage(format!("{}: {refused}", found.place())))?;
    let mut answers = Sha256::new();
    let mut first_fault = None;
    let mut costs = Vec::new();
    for &windows in &args.windows {
        let asking = measure(
            &policy,
            &given,
            windows,
            args.calls,
            &mut answers,
            &mut first_fault,
        );
        costs.push(slowly(&format!("asking with {windows} windows"), asking).await);
    }
    let answers: String = answers
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let summary = Summary {
        found: &found,
        policy: &policy,
        compile: took,
        costs: &costs,
        answers: &answers,
        fault: first_fault.as_ref(),
    };
    if args.json {
        print_json(&summary.machine())?;
    } else {
        print(&summary.human(Paint::stdout()))?;
    }
    match first_fault {
        None => Ok(()),
        Some(_) => Err(Failure::Told),
    }
}

async fn measure(
    policy: &Policy,
    settings: &str,
    windows: usize,
    calls: u32,
    answers: &mut Sha256,
    first_fault: &mut Option<Fault>,
) -> Cost {
    let mut times = Vec::new();
    let (mut fuel, mut memory, mut faults) = (0, 0, 0);
    for call in 0..calls {
        let asked = ask(policy, settings, &told(windows, call.into())).await;
        times.push(asked.took);
        fuel = fuel.max(asked.fuel);
        memory = memory.max(asked.memory);
        answers.update(asked.answer);
        if let Some(fault) = asked.fault {
            faults += 1;
            first_fault.get_or_insert(fault);
        }
    }
    times.sort_unstable();
    let at = |part: usize| {
        let index = (times.len().saturating_sub(1) * part).div_ceil(100);
        times.get(index).map_or(0, |time| {
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
        })
    };
    Cost {
        windows,
        calls,
        median_us: at(50),
        p99_us: at(99),
        fuel,
        memory,
        faults,
    }
}

struct Asked {
    took: Duration,
    fuel: u64,
    memory: u64,
    /// Every byte of it, the state included.
    answer: Vec<u8>,
    fault: Option<Fault>,
}

/// One call; the time has everything in it that the host spends on one, its store and the handing over included.
async fn ask(policy: &Policy, settings: &str, told: &Told) -> Asked {
    let Told {
        context,
        metrics,
        windows,
    } = told;
    let began = Instant::now();
    match policy.kind() {
        PolicyKind::Rollback => {
            let call = policy
                .evaluate(settings, context, metrics, windows, &[])
                .await;
            let state = |answer: &RollbackAnswer| answer.state.clone();
            asked(call, began.elapsed(), state)
        }
        PolicyKind::Strategy => {
            let call = policy
                .next(settings, context, true, metrics, windows, &[])
                .await;
            let state = |answer: &StrategyAnswer| answer.state.clone();
            asked(call, began.elapsed(), state)
        }
    }
}

fn asked<T: Serialize>(call: Call<T>, took: Duration, state: impl Fn(&T) -> Vec<u8>) -> Asked {
    let (answer, fault) = match call.answer {
        Ok(answer) => {
            let mut bytes = serde_json::to_vec(&answer).unwrap_or_default();
            bytes.push(0);
            bytes.extend(state(&answer));
            (bytes, None)
        }
        Err(fault) => (fault.to_string().into_bytes(), Some(fault)),
    };
    Asked {
        took,
        fuel: call.fuel,
        memory: call.memory,
        answer,
        fault,
    }
}

struct Summary<'a> {
    found: &'a Found,
    policy: &'a Policy,
    compile: Duration,
    costs: &'a [Cost],
    answers: &'a str,
    fault: Option<&'a Fault>,
}

impl Summary<'_> {
    fn machine(&self) -> Value {
        json!({
            "policy": self.found.name,
            "digest": self.policy.digest(),
            "compile_ms": u64::try_from(self.compile.as_millis()).unwrap_or(u64::MAX),
            "from_cache": self.policy.came_from_cache(),
            "costs": self.costs,
            "answers": format!("sha256:{}", self.answers),
            "fault": self.fault,
        })
    }

    fn human(&self, paint: Paint) -> String {
        let how = if self.policy.came_from_cache() {
            "from the cache"
        } else {
            "compiled"
        };
        let label = |label: &str| paint.tone(Tone::Faint, &format!("{label:<8}"));
        let mut text = format!(
            "{} {} {}, {}, sha256:{}\n{} {}, {how}\n",
            label("policy"),
            harmless(&self.found.name),
            harmless(&self.policy.info().version),
            self.policy.kind(),
            self.policy.digest().short(),
            label("loaded"),
            milliseconds(self.compile),
        );
        text.push_str(&self.table(paint));
        text.push_str(&format!("{} sha256:{}\n", label("answers"), self.answers));
        if let Some(fault) = self.fault {
            let words = crate::cli::text::harmless_lines(&fault.message).into_owned();
            text.push_str(&format!(
                "{} {words}\n",
                paint.tone(Tone::Bad, "first fault:")
            ));
        }
        text
    }

    fn table(&self, paint: Paint) -> String {
        if !paint.terminal() {
            let line = |cost: &Cost| format!("{}\n", cells(cost).join("\t"));
            return self.costs.iter().map(line).collect();
        }
        let mut table = Table::new(&[
            "WINDOWS", "CALLS", "MEDIAN", "P99", "FUEL", "MEMORY", "FAULTS",
        ]);
        for cost in self.costs {
            table.row(cells(cost).map(Cell::from));
        }
        table.draw(paint)
    }
}

fn cells(cost: &Cost) -> [String; 7] {
    [
        cost.windows.to_string(),
        cost.calls.to_string(),
        milliseconds(Duration::from_micros(cost.median_us)),
        milliseconds(Duration::from_micros(cost.p99_us)),
        cost.fuel.to_string(),
        bytesize::ByteSize(cost.memory).to_string(),
        cost.faults.to_string(),
    ]
}

fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms => format!("{ms:.0} ms"),
    }
}
