//! A permanent version whose instances trap again and again outside of any reload: told, shown, and gone back from where that is
//! configured. During a reload the candidate is the business of those who judge it.

use std::time::Duration;

use crate::agent::Agent;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Back, By, Reload};
use crate::{Attention, Happened, Moment, OnCrashLoop, StateChoice, VersionNumber};

/// So long after it was seen last it is shown no more.
const SHOWN: Duration = Duration::from_secs(60);

/// What is known of it.
#[derive(Debug, Clone)]
pub(crate) struct CrashLoop {
    number: VersionNumber,
    text: String,
    since: Moment,
    until: Moment,
}

impl CrashLoop {
    pub(crate) fn due(&self) -> Moment {
        self.until
    }
}

impl Agent {
    pub(crate) fn crash_loop(
        &mut self,
        cx: &mut Cx<'_>,
        number: VersionNumber,
        reason: String,
    ) -> Vec<Move> {
        if self.serving != Some(number) || self.permanent != Some(number) {
            return Vec::new();
        }
        let going = |reload: &Reload| !reload.progress.status().is_terminal();
        let going = self.reload.as_ref().is_some_and(going) || self.carry.is_some();
        let settings = self.wanted.as_ref().map(|wanted| &wanted.settings.rollback);
        let wished = settings.is_some_and(|rollback| {
            rollback.enabled && rollback.on_crash_loop == OnCrashLoop::Rollback
        });
        let target = self.kept_before(number);
        let follows = match target {
            _ if going => "a reload goes on, and is judged by itself".to_owned(),
            _ if !wished => "it serves on".to_owned(),
            Some(target) => format!("it goes back to version {target}"),
            None => "no version before it is kept: it serves on".to_owned(),
        };
        let before = self.crash.take().filter(|crash| crash.number == number);
        let since = before.as_ref().map_or(cx.now, |crash| crash.since);
        if before.is_none() {
            let (reason, follows) = (reason.clone(), follows.clone());
            cx.tell(
                None,
                Happened::CrashLoop {
                    number,
                    reason,
                    follows,
                },
            );
        }
        self.crash = Some(CrashLoop {
            number,
            text: format!("version {number} keeps crashing: {reason}; {follows}"),
            since,
            until: cx.now.after(SHOWN),
        });
        let target = target.filter(|_| wished && !going);
        let back = |target| {
            let by = By::CrashLoop;
            let reason = format!("it kept crashing: {reason}");
            // What keeps crashing may not be able to save: then it is what the other one saved last.
            let choice = match self.refused {
                Some(_) => StateChoice::Snapshot,
                None => StateChoice::Carry,
            };
            self.way_back(target, Back { by, reason }, choice)
        };
        target.map(back).into_iter().collect()
    }

    /// It was seen long ago, or another version serves.
    pub(crate) fn end_crash_loop(&mut self, now: Moment) {
        let over = |crash: &CrashLoop| crash.until <= now || self.serving != Some(crash.number);
        if self.crash.as_ref().is_some_and(over) {
            self.crash = None;
        }
    }

    pub(crate) fn crash_attention(&self) -> Option<Attention> {
        let crash = self.crash.as_ref()?;
        let name = &self.name;
        let command = match self.kept_before(crash.number) {
            Some(_) => format!("caxton rollback {name}"),
            None => format!("caxton status {name}"),
        };
        Some(Attention {
            kind: "crash-loop",
            since: crash.since,
            text: crash.text.clone(),
            command,
        })
    }
}
