//! One call of a policy: a fresh store, a question, an answer or a fault.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caxton_rollout::{
    Context, Fault, FaultKind, Plan, ReloadMetrics, RollbackAnswer, StrategyAnswer, Window,
};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::convert::{self, Taken};
use super::log::{PolicyLog, Recorder};
use super::refusal::{self, SettingsError, SettingsProblem};
use super::schema::{self, Verdict};
use super::store::{self, Guest};
use super::{Decides, Policy, PolicyInfo, PolicyKind, Runnable, facts};

/// Bytes of settings that a policy is handed: a hundred times what anyone writes by hand.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// The seed of calls that belong to no reload: their answers depend on the component and the settings alone.
const NO_SEED: u64 = 0;

/// A policy was asked.
#[derive(Debug)]
pub struct Call<T> {
    /// What it answered, or how it failed to.
    pub answer: Result<T, Fault>,
    /// Units of fuel used.
    pub fuel: u64,
    /// Bytes of linear memories and tables at the end, which is when they are largest.
    pub memory: u64,
    /// Time taken on the wall; varies from run to run, unlike everything else here.
    pub duration: Duration,
    /// What it said meanwhile.
    pub log: PolicyLog,
    /// What was corrected in an answer that is taken all the same, one sentence each.
    pub notes: Vec<String>,
}

type Running<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

impl Policy {
    /// Whether the policy takes `settings`, a JSON object: first by its schema, then by its own word.
    ///
    /// # Errors
    ///
    /// When they are no JSON object, when they do not match the schema or the policy finds a problem in them, and when it
    /// fails to look.
    pub async fn check_settings(&self, settings: &str) -> Result<(), SettingsError> {
        let refused = |problems| SettingsError::Refused {
            policy: self.name().to_owned(),
            problems,
        };
        let verdict = self.judge_settings(settings).await?;
        if !verdict.problems.is_empty() {
            return Err(refused(verdict.problems));
        }
        let indices = self.0.runnable.about.clone();
        let settings = settings.to_owned();
        let call = self.run(NO_SEED, move |store, instance| {
            Box::pin(async move {
                let guest = indices.load(&mut *store, instance)?;
                guest.call_check_settings(store, &settings).await
            })
        });
        match call.await.answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problems)) => Err(refused(convert::problems(&problems))),
            Err(fault) => Err(SettingsError::Fault(fault)),
        }
    }

    /// Whether nothing is wrong with `settings` but that required ones are missing, which others may lay over them.
    pub async fn lacks_settings(&self, settings: &str) -> bool {
        self.judge_settings(settings)
            .await
            .is_ok_and(|verdict| verdict.incomplete)
    }

    /// Holds settings against the schema; an error is what is wrong with them before that, or that there was no time.
    async fn judge_settings(&self, settings: &str) -> Result<Verdict, SettingsError> {
        let settings = parse(settings).map_err(|message| SettingsError::Refused {
            policy: self.name().to_owned(),
            problems: vec![SettingsProblem {
                path: String::new(),
                message,
            }],
        })?;
        let loaded = Arc::clone(&self.0);
        let judge = move || loaded.schema.judge(&settings);
        let turns = &self.0.runnable.runtime.0.turns;
        let judged = turns.within(self.digest(), schema::TIME_MAX, judge).await;
        judged.ok_or_else(|| {
            let most = schema::TIME_MAX;
            let message =
                format!("holding its settings against its schema takes longer than {most:?}");
            SettingsError::Fault(self.fault(FaultKind::OutOfTime, message))
        })
    }

    /// Asks a rollback policy whether to go back. `state` is what its last answer in this reload gave, empty at first.
    pub async fn evaluate(
        &self,
        settings: &str,
        context: &Context,
        metrics: &ReloadMetrics,
        windows: &[Window],
        state: &[u8],
    ) -> Call<RollbackAnswer> {
        let Decides::Rollback(indices) = &self.0.runnable.decides else {
            return self.wrong_kind(PolicyKind::Rollback);
        };
        let (indices, handed) = (indices.clone(), state.to_vec());
        let settings = settings.to_owned();
        let (told, metrics, windows) = (
            facts::context(context),
            facts::metrics(metrics),
            facts::windows(windows),
        );
        let call = self.run(context.seed, move |store, instance| {
            Box::pin(async move {
                let guest = indices.load(&mut *store, instance)?;
                guest
                    .call_evaluate(store, &settings, &told, metrics, &windows, &handed)
                    .await
            })
        });
        let call = call.await;
        self.take(call, |answer| convert::rollback_answer(answer, state))
    }

    /// Asks a strategy policy how the reload is to go. `configured` is what the agent's configuration says.
    pub async fn begin(&self, settings: &str, context: &Context, configured: &Plan) -> Call<Plan> {
        let Decides::Strategy(indices) = &self.0.runnable.decides else {
            return self.wrong_kind(PolicyKind::Strategy);
        };
        let (indices, settings) = (indices.clone(), settings.to_owned());
        let (told, configured) = (facts::context(context), facts::plan(configured));
        let call = self.run(context.seed, move |store, instance| {
            Box::pin(async move {
                let guest = indices.load(&mut *store, instance)?;
                guest.call_begin(store, &settings, &told, &configured).await
            })
        });
        let call = call.await;
        self.take(call, |plan| convert::plan(plan, context.stateful))
    }

    /// Asks a strategy policy what to do next. `fit` tells whether all rollback policies that enforce said proceed, `state` is
    /// what its last answer in this reload gave, empty at first.
    pub async fn next(
        &self,
        settings: &str,
        context: &Context,
        fit: bool,
        metrics: &ReloadMetrics,
        windows: &[Window],
        state: &[u8],
    ) -> Call<StrategyAnswer> {
        let Decides::Strategy(indices) = &self.0.runnable.decides else {
            return self.wrong_kind(PolicyKind::Strategy);
        };
        let (indices, handed) = (indices.clone(), state.to_vec());
        let settings = settings.to_owned();
        let (told, metrics, windows) = (
            facts::context(context),
            facts::metrics(metrics),
            facts::windows(windows),
        );
        let call = self.run(context.seed, move |store, instance| {
            Box::pin(async move {
                let guest = indices.load(&mut *store, instance)?;
                guest
                    .call_next(store, &settings, &told, fit, metrics, &windows, &handed)
                    .await
            })
        });
        let call = call.await;
        self.take(call, |answer| {
            convert::strategy_answer(answer, context.split, state)
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        seed: u64,
        ask: impl for<'a> FnOnce(&'a mut Store<Guest>, &'a Instance) -> Running<'a, T> + Send,
    ) -> Call<T> {
        self.0.runnable.run(self.name(), seed, ask).await
    }

    /// Takes what a guest answered, or makes the fault of it that it is.
    fn take<A, T>(
        &self,
        call: Call<Result<A, String>>,
        convert: impl FnOnce(A) -> Taken<T>,
    ) -> Call<T> {
        let (answer, notes) = match call.answer {
            Err(fault) => (Err(fault), Vec::new()),
            Ok(Err(error)) => {
                let message = format!("it answered with an error: {}", convert::error(&error));
                (Err(self.fault(FaultKind::Error, message)), Vec::new())
            }
            Ok(Ok(answer)) => match convert(answer) {
                Ok((answer, notes)) => (Ok(answer), notes),
                Err(nonsense) => {
                    let message = format!("it answered nonsense: {nonsense}");
                    (Err(self.fault(FaultKind::Nonsense, message)), Vec::new())
                }
            },
        };
        Call {
            answer,
            notes,
            fuel: call.fuel,
            memory: call.memory,
            duration: call.duration,
            log: call.log,
        }
    }

    fn fault(&self, kind: FaultKind, message: String) -> Fault {
        Fault {
            policy: self.name().to_owned(),
            kind,
            message,
        }
    }

    fn wrong_kind<T>(&self, wanted: PolicyKind) -> Call<T> {
        let message = format!("it is a {}, and a {wanted} is asked for", self.kind());
        Call {
            answer: Err(self.fault(FaultKind::Missing, message)),
            fuel: 0,
            memory: 0,
            duration: Duration::ZERO,
            log: PolicyLog::default(),
            notes: Vec::new(),
        }
    }
}

impl Runnable {
    /// What the policy says about itself; the first call of any policy, and the one that shows whether its exports have the
    /// contract's signatures.
    pub(super) async fn describe(&self, policy: &str) -> Result<PolicyInfo, Fault> {
        let about = self.about.clone();
        let decides = self.decides.clone();
        let call = self.run(policy, NO_SEED, move |store, instance| {
            Box::pin(async move {
                match decides {
                    Decides::Strategy(indices) => {
                        indices.load(&mut *store, instance)?;
                    }
                    Decides::Rollback(indices) => {
                        indices.load(&mut *store, instance)?;
                    }
                }
                let guest = about.load(&mut *store, instance)?;
                guest.call_describe(store).await
            })
        });
        call.await.answer.map(convert::info)
    }

    /// Instantiates the policy for one question. The deadline covers both.
    async fn run<T: Send + 'static>(
        &self,
        policy: &str,
        seed: u64,
        ask: impl for<'a> FnOnce(&'a mut Store<Guest>, &'a Instance) -> Running<'a, T> + Send,
    ) -> Call<T> {
        let shared = &self.runtime.0;
        let limits = &shared.limits;
        let recorder = Recorder::default();
        let started = Instant::now();
        let (mut fuel, mut memory) = (0, 0);
        let mut memory_refused = false;
        let answered = match store::store(&shared.engine, limits, seed, &recorder) {
            Ok(mut store) => {
                let answered = tokio::time::timeout(limits.deadline, async {
                    let instance = self.instance.instantiate_async(&mut store).await?;
                    ask(&mut store, &instance).await
                });
                let answered = answered.await;
                fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
                memory = store.data().memory.used;
                memory_refused = store.data().memory.refused;
                answered
            }
            Err(error) => Ok(Err(error)),
        };
        let duration = started.elapsed();
        let (log, last_words) = recorder.finish();
        let answer = match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(refusal::fault(
                policy,
                &error,
                memory_refused,
                limits,
                &last_words,
            )),
            Err(_) => Err(refusal::out_of_time(policy, limits, &last_words)),
        };
        Call {
            answer,
            fuel,
            memory,
            duration,
            log,
            notes: Vec::new(),
        }
    }
}

/// Settings as JSON, or what is wrong with them before any policy looks at them.
fn parse(settings: &str) -> Result<serde_json::Value, String> {
    if settings.len() > SETTINGS_BYTES_MAX {
        let size = settings.len();
        return Err(format!(
            "they have {size} bytes; at most {SETTINGS_BYTES_MAX}"
        ));
    }
    match serde_json::from_str(settings) {
        Ok(object @ serde_json::Value::Object(_)) => Ok(object),
        Ok(_) => Err("they are not a JSON object".to_owned()),
        Err(error) => Err(format!("they are not JSON: {error}")),
    }
}
