//! The combination: every metric says what it found, the gravest verdict holds, and among equals the first.

use caxton_policy::words::per_cent;
use caxton_policy::{Blame, Finding, Judgement, Reload, Verdict, windows};

use crate::outlook;
use crate::settings::{JudgeRejections, Settings};
use crate::state::State;

/// From so many active callers on, failures have to come from several of them.
const CALLERS_ACTIVE: u64 = 5;

/// Shares of refused requests are judged from so many requests on.
const REFUSED_SAMPLE: u64 = 25;

/// What one metric says.
struct Said {
    verdict: Verdict,
    code: &'static str,
    summary: String,
}

pub(crate) fn judge(settings: &Settings, reload: &Reload<'_>, state: &State) -> Judgement {
    let judge = Judge {
        settings,
        reload,
        state,
    };
    let said = judge
        .rollbacks()
        .or_else(|| judge.no_data())
        .or_else(|| judge.holds())
        .unwrap_or_else(|| judge.fit());
    Judgement::new(said.verdict, said.code, said.summary).with(judge.findings())
}

struct Judge<'a> {
    settings: &'a Settings,
    reload: &'a Reload<'a>,
    state: &'a State,
}

impl Judge<'_> {
    /// The first metric that leads back.
    fn rollbacks(&self) -> Option<Said> {
        self.failure_rate()
            .or_else(|| self.mirror_mismatch())
            .or_else(|| self.health())
            .or_else(|| self.latency())
            .or_else(|| self.custom())
            .or_else(|| self.memory())
            .or_else(|| {
                self.refused()
                    .filter(|_| self.settings.judge_rejections == JudgeRejections::Rollback)
            })
    }

    fn holds(&self) -> Option<Said> {
        self.common_cause().or_else(|| self.refused())
    }

    /// Without the stable version at the same time, a bad version cannot be told from a bad minute.
    fn back(&self, code: &'static str, summary: String) -> Option<Said> {
        let blame = if self.state.control {
            Blame::Candidate
        } else {
            Blame::Unknown
        };
        Some(Said {
            verdict: Verdict::Rollback(blame),
            code,
            summary,
        })
    }

    fn failure_rate(&self) -> Option<Said> {
        let failures = &self.state.failures;
        if self.is_few_callers() || !failures.fires(self.settings) {
            return None;
        }
        let what = if self.state.listening {
            "copies failed"
        } else {
            "requests failed"
        };
        self.back("failure-rate", failures.told(what, self.settings))
    }

    /// The failures are those of too few of several callers. Callers without a key are none that are counted: failures of nobody who
    /// is known may be anybody's.
    fn is_few_callers(&self) -> bool {
        let metrics = self.reload.metrics;
        metrics.callers >= CALLERS_ACTIVE
            && (1..self.settings.min_failing_callers).contains(&metrics.failing_callers)
    }

    /// A listener with state misses the writes: its answers differ without being wrong.
    fn mirror_mismatch(&self) -> Option<Said> {
        let mismatches = &self.state.mismatches;
        if self.reload.context.stateful || !mismatches.fires(self.settings) {
            return None;
        }
        let what = "copies were answered differently";
        self.back("mirror-mismatch", mismatches.told(what, self.settings))
    }

    fn health(&self) -> Option<Said> {
        let health = &self.state.health;
        if !health.fires() {
            return None;
        }
        self.back("health", health.told())
    }

    fn latency(&self) -> Option<Said> {
        let beyond = self.state.slow_beyond_us?;
        if !self.state.slow.fires(self.settings) {
            return None;
        }
        let ms = beyond as f64 / 1_000.0;
        let what = format!("calls took longer than {ms:.0} ms");
        self.back("latency", self.state.slow.told(&what, self.settings))
    }

    fn custom(&self) -> Option<Said> {
        let custom = &self.state.custom;
        let (name, rate) = custom.iter().find(|(_, rate)| rate.fires(self.settings))?;
        let what = format!("of what {name} counts are bad");
        self.back("custom-metric", rate.told(&what, self.settings))
    }

    fn memory(&self) -> Option<Said> {
        if !self.settings.judge_memory {
            return None;
        }
        let told = self.state.memory.told(self.reload.context, self.settings)?;
        self.back("memory", told)
    }

    fn refused(&self) -> Option<Said> {
        let metrics = [
            ("rejections", &self.state.rejected, "requests were rejected"),
            (
                "unavailable",
                &self.state.unavailable,
                "requests were answered with \"not now\"",
            ),
        ];
        let (code, rate, what) = metrics.into_iter().find(|(_, rate, _)| {
            rate.candidate.all() >= REFUSED_SAMPLE && rate.fires(self.settings)
        })?;
        let summary = rate.told(what, self.settings);
        match self.settings.judge_rejections {
            JudgeRejections::Rollback => self.back(code, summary),
            JudgeRejections::Hold => Some(hold(code, summary)),
        }
    }

    fn no_data(&self) -> Option<Said> {
        let nothing = self.state.failures.candidate.all() == 0;
        nothing.then(|| {
            let number = self.reload.context.candidate.number;
            hold("no-data", format!("version {number} has no requests yet"))
        })
    }

    fn common_cause(&self) -> Option<Said> {
        if self.state.failures.common_cause(self.settings) {
            let stable = self.state.failures.stable;
            let summary = format!(
                "the stable version fails more than it did before the reload: {} of {} requests ({}); what hits both is not the \
                 candidate's, and the reload waits until it is over",
                stable.bad(),
                stable.all(),
                per_cent(stable.rate() * 100.0)
            );
            return Some(hold("common-cause", summary));
        }
        if self.state.health.common_cause() {
            let summary = "health checks of both versions fail".to_owned();
            return Some(hold("common-cause", summary));
        }
        let custom = &self.state.custom;
        let (name, _) = custom
            .iter()
            .find(|(_, rate)| rate.common_cause(self.settings))?;
        let summary = format!("{name} of the stable version is worse than before the reload");
        Some(hold("common-cause", summary))
    }

    /// Nothing speaks against the candidate: is it enough for it?
    fn fit(&self) -> Said {
        let failures = &self.state.failures;
        let (bad, all) = (failures.candidate.bad(), failures.candidate.all());
        let ahead = self.ahead();
        if outlook::is_fit(failures, self.settings) {
            return Said {
                verdict: Verdict::Proceed,
                code: "healthy",
                summary: format!(
                    "{bad} of {all} requests failed: the failure rate is surely not above {}{ahead}",
                    per_cent(failures.upper_bound() * 100.0)
                ),
            };
        }
        let clean = outlook::clean_requests_to_go_on(failures, self.settings);
        Said {
            verdict: Verdict::Undecided,
            code: "insufficient-evidence",
            summary: format!(
                "{bad} of {all} requests failed, which is not enough either way{ahead}{clean}"
            ),
        }
    }

    /// What would lead back, as the end of a sentence.
    fn ahead(&self) -> String {
        let (failures, settings) = (&self.state.failures, self.settings);
        if failures.fires(settings) {
            // Only the callers are too few: more failures of the same ones change nothing.
            let wanted = settings.min_failing_callers;
            return format!("; failures of {wanted} different callers would roll back");
        }
        outlook::failures_that_lead_back(failures, settings)
    }

    fn findings(&self) -> Vec<Finding> {
        let (settings, state) = (self.settings, self.state);
        let failures = &state.failures;
        let mut findings = vec![failures.finding("failure-rate", settings)];
        findings.push(
            Finding::new(
                "failure-rate",
                failures.upper_bound(),
                outlook::fit_limit(failures, settings),
                failures.candidate.all(),
            )
            .by("wilson-upper-95", failures.upper_bound()),
        );
        findings.extend(failures.late_findings(settings));
        if state.listening {
            let mut finding = state.mismatches.finding("mirror-mismatch", settings);
            finding.breached &= !self.reload.context.stateful;
            findings.push(finding);
        }
        findings.extend(self.latency_finding());
        findings.push(state.rejected.finding("rejections", settings));
        findings.push(state.unavailable.finding("unavailable", settings));
        findings.extend(state.health.finding());
        findings.extend(state.memory.finding(self.reload.context, settings));
        let custom = state.custom.iter();
        findings.extend(custom.map(|(name, rate)| rate.finding(name, settings)));
        findings
    }

    /// Slow calls beside the stable version; without it, the 95th percentile against the one before the reload, which is told and
    /// never a reason.
    fn latency_finding(&self) -> Option<Finding> {
        if self.state.control && self.state.slow.candidate.all() > 0 {
            return Some(self.state.slow.finding("latency", self.settings));
        }
        let mut calls = Vec::new();
        for window in windows::judged(self.reload.windows) {
            for arm in [&window.candidate, &window.mirrored].into_iter().flatten() {
                windows::add_latency(&mut calls, &arm.latency);
            }
        }
        let sample = calls.last()?.count;
        let observed = windows::quantile_us(&calls, 0.95)? as f64 / 1_000.0;
        let before = self.reload.context.baseline.as_ref();
        let limit = before
            .and_then(|window| window.stable.as_ref())
            .and_then(|arm| windows::quantile_us(&arm.latency, 0.95))
            .map_or(0.0, |us| us as f64 / 1_000.0)
            .max(self.settings.latency_floor as f64);
        Some(Finding::new("latency-ms", observed, limit, sample).by("quantile-95", observed))
    }
}

fn hold(code: &'static str, summary: String) -> Said {
    Said {
        verdict: Verdict::Hold,
        code,
        summary,
    }
}
