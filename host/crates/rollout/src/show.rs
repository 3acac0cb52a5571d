//! An agent as people see it.

use crate::agent::Agent;
use crate::answers::FAULTS_TO_SHOW;
use crate::endings::Aside;
use crate::reload::{Judge, Progress, Reload};
use crate::{
    AgentState, AgentView, Attention, Judgement, Moment, OnInconclusive, OnUnproven,
    QuarantineView, ReloadView, VerdictView, VersionNumber, VersionView, WantedView,
};

impl Agent {
    pub(crate) fn view(&self, now: Moment) -> AgentView {
        let going = self.going();
        let wanted = self.wanted.as_ref().map(|wanted| wanted.content.identity);
        let candidate = going.filter(|reload| !matches!(reload.progress, Progress::Returning(_)));
        let mut kept: Vec<VersionView> =
            self.kept.iter().filter_map(|n| self.version(*n)).collect();
        kept.sort_by_key(|version| std::cmp::Reverse(version.number));
        AgentView {
            agent: self.name.clone(),
            state: self.state(),
            stable: self.permanent.and_then(|number| self.version(number)),
            candidate: candidate.and_then(|reload| self.version(reload.number)),
            split: candidate.map_or(0, Reload::split),
            reload: going.map(|reload| self.reload_view(reload)),
            quarantined: self.quarantined(),
            attention: self.attention(now),
            last_error: self.last_error.clone(),
            wanted: wanted.map(|identity| WantedView {
                digest: identity.component,
                config_digest: identity.config,
            }),
            diverged: self.diverged(now).map(|(_, reason)| reason),
            serving: self.serving,
            permanent: self.permanent,
            kept,
            verdicts: self.reload.as_ref().map_or_else(Vec::new, Reload::verdicts),
        }
    }

    /// The reload, unless it has completed and is only watched.
    fn going(&self) -> Option<&Reload> {
        self.reload
            .as_ref()
            .filter(|reload| !reload.progress.status().is_terminal())
    }

    fn state(&self) -> AgentState {
        match (self.serving, &self.wanted, &self.reload) {
            (Some(_), _, _) => AgentState::Serving,
            (None, None, _) => AgentState::Stopped,
            (None, Some(_), Some(_)) => AgentState::Starting,
            (None, Some(_), None) => AgentState::Failed,
        }
    }

    fn version(&self, number: VersionNumber) -> Option<VersionView> {
        let identity = self.versions.content(number)?.identity;
        Some(VersionView {
            number,
            digest: identity.component,
            config_digest: identity.config,
        })
    }

    fn reload_view(&self, reload: &Reload) -> ReloadView {
        let reason = match &reload.progress {
            Progress::Returning(back) => Some(back.why.reason.clone()),
            _ => reload.waits_for(self.has_room()).map(|waits| waits.text()),
        };
        let held = reload.held.as_ref().map(|(text, _)| text.clone());
        ReloadView {
            id: reload.id,
            status: reload.progress.status(),
            strategy: reload.strategy(),
            stage: 0,
            stages: 0,
            started_at: reload.started,
            paused: reload.paused,
            reason: reason.or(held),
        }
    }

    fn quarantined(&self) -> Vec<QuarantineView> {
        let view =
            |(identity, ending): (&crate::Identity, &crate::endings::Ending)| QuarantineView {
                digest: identity.component,
                config_digest: identity.config,
                reason: ending.reason.clone(),
                since: ending.since,
                blamed: ending.aside == Aside::Quarantined,
                again_at: ending.again_at,
            };
        self.endings.iter().map(view).collect()
    }

    fn attention(&self, now: Moment) -> Vec<Attention> {
        let mut list = Vec::new();
        let name = &self.name;
        if let Some((identity, reason)) = self.diverged(now) {
            let ending = self.endings.blocking(now, &identity);
            let quarantined = ending.is_some_and(|ending| ending.aside == Aside::Quarantined);
            let kind = if quarantined {
                "quarantined"
            } else {
                "diverged"
            };
            let since = ending.map_or(now, |ending| ending.since);
            let text = format!("what the directory asks for does not come in: {reason}");
            list.push(Attention {
                kind,
                since,
                text,
                command: format!("caxton retry {name}"),
            });
        }
        if let Some(reload) = &self.reload {
            reload.attention(now, name.as_ref(), self.has_room(), &mut list);
        }
        list
    }
}

impl Reload {
    fn attention(&self, now: Moment, name: &str, has_room: bool, list: &mut Vec<Attention>) {
        let since = self.since;
        let mut add = |kind, since, text, command: String| {
            list.push(Attention {
                kind,
                since,
                text,
                command,
            });
        };
        if let Some(waits) = self.waits_for(has_room) {
            let command = format!("caxton status {name}");
            add(waits.kind(), since, waits.text(), command);
        }
        if self.paused {
            let text = "an operator paused the reload".to_owned();
            add("paused", since, text, format!("caxton resume {name}"));
        }
        if let Some((text, since)) = self.held_by(now) {
            add("held", since, text, format!("caxton promote {name} --now"));
        }
        for (policy, judge) in self
            .judges
            .iter()
            .chain([(&self.settings.reload.policy, &self.strategy)])
        {
            if judge.faults >= FAULTS_TO_SHOW {
                let text = format!("{} faults in a row: {}", judge.faults, judge.why.summary);
                add(
                    "policy-faulty",
                    judge.at,
                    text,
                    format!("caxton policy inspect {policy}"),
                );
            }
        }
        if let Progress::Unproven { .. } = self.progress {
            let number = self.number;
            let text =
                format!("version {number} completed without enough evidence and is watched on");
            add(
                "unproven",
                since,
                text,
                format!("caxton promote {name} --now"),
            );
        }
    }

    /// What keeps it where it is until an operator acts or the evidence changes.
    fn held_by(&self, now: Moment) -> Option<(String, Moment)> {
        if self.held.is_some() {
            return self.held.clone();
        }
        let late = self.deadline().filter(|deadline| *deadline <= now);
        if let Some(late) = late
            && self.settings.reload.on_inconclusive == OnInconclusive::Hold
        {
            return Some((
                "it made no progress and waits for an operator".to_owned(),
                late,
            ));
        }
        let round = self
            .round
            .as_ref()
            .filter(|_| matches!(self.progress, Progress::Baking))?;
        match &round.judgement {
            Judgement::Hold { policy, why } => {
                Some((format!("{policy}: {}", why.summary), round.at))
            }
            Judgement::Undecided
                if round.at >= self.bake_end()
                    && self.settings.reload.on_unproven == OnUnproven::Hold =>
            {
                let text = "the bake ended without enough evidence".to_owned();
                Some((text, self.bake_end()))
            }
            _ => None,
        }
    }

    fn verdicts(&self) -> Vec<VerdictView> {
        let view = |(policy, judge): (&String, &Judge)| VerdictView {
            policy: policy.clone(),
            enforcing: judge.mode == crate::PolicyMode::Enforce,
            verdict: judge.verdict,
            why: judge.why.clone(),
            faults: judge.faults,
            at: judge.at,
        };
        self.judges.iter().map(view).collect()
    }
}
