//! The permanent version after a start: brought up at once, without a slot, and served as soon as it is ready.
//!
//! Where it cannot be brought up that is told, and tried again; meanwhile another content comes in as any other.

use std::time::Duration;

use crate::agent::Agent;
use crate::endings::hosts_wait;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::Progress;
use crate::{Attention, Command, Content, Moment, VersionNumber};

/// How long bringing it up may take until the answer counts as lost: large components take minutes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// So often the permanent version is tried before what was interrupted comes in without it: the better part of a minute.
const TRIES_AWAITED: u32 = 3;

/// The permanent version is to come up.
#[derive(Debug, Clone)]
pub(crate) struct Revival {
    again_at: Moment,
    /// Until when it may take; what is asked for is given up then.
    until: Option<Moment>,
    tries: u32,
    /// Why it is not up, and since when.
    failed: Option<(String, Moment)>,
}

impl Revival {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            again_at: now,
            until: None,
            tries: 0,
            failed: None,
        }
    }

    pub(crate) fn due(&self) -> Moment {
        self.until.unwrap_or(self.again_at)
    }
}

impl Agent {
    /// Whether the permanent version is on its way up and nothing serves: everything else waits for that.
    pub(crate) fn comes_up(&self) -> bool {
        let fresh = |revival: &Revival| revival.failed.is_none();
        self.serving.is_none() && self.revival.as_ref().is_some_and(fresh)
    }

    /// Whether what was interrupted on its way in waits a while longer for the permanent version beside which it is to come in again:
    /// alone it would get everything at once.
    pub(crate) fn awaits_permanent(&self, wanted: &Content) -> bool {
        let early = |revival: &Revival| revival.tries < TRIES_AWAITED;
        let interrupted = self.interrupted.map(|interrupted| interrupted.number);
        self.serving.is_none()
            && self.revival.as_ref().is_some_and(early)
            && self.versions.is(interrupted, wanted)
    }

    pub(crate) fn decide_revival(&self, now: Moment) -> Option<Move> {
        let (revival, permanent) = (self.revival.as_ref()?, self.permanent?);
        let returns = |reload: &crate::reload::Reload| {
            matches!(
                reload.progress,
                Progress::Returning(_) | Progress::Settled(_)
            )
        };
        if self.wanted.is_none() || self.reload.as_ref().is_some_and(returns) {
            return None;
        }
        if self.versions.is_ready(permanent) {
            return self.serving.is_none().then_some(Move::Home);
        }
        (revival.until.is_none() && revival.again_at <= now).then_some(Move::Revive)
    }

    pub(crate) fn revive(&mut self, cx: &mut Cx<'_>) {
        if let (Some(permanent), Some(revival)) = (self.permanent, self.revival.as_mut()) {
            revival.until = Some(cx.now.after(PATIENCE));
            self.versions.prepare(cx, permanent);
        }
    }

    /// An answer that does not come is one that it failed.
    pub(crate) fn give_up_revival(&mut self, cx: &mut Cx<'_>) {
        let late = |revival: &Revival| revival.until.is_some_and(|until| until <= cx.now);
        let Some(permanent) = self.permanent.filter(|_| {
            let revival = self.revival.as_ref();
            revival.is_some_and(late)
        }) else {
            return;
        };
        if self.versions.is_ready(permanent) {
            return;
        }
        if self.versions.give_up(permanent) {
            let agent = self.name.clone();
            cx.command(Command::Unload {
                agent,
                number: permanent,
            });
        }
        let waited = PATIENCE.as_secs();
        self.not_up(cx, permanent, &format!("it was not ready in {waited} s"));
    }

    /// The version could not be brought up.
    pub(crate) fn not_up(&mut self, cx: &mut Cx<'_>, number: VersionNumber, error: &str) {
        if self.permanent != Some(number) {
            return;
        }
        let Some(revival) = self.revival.as_mut() else {
            return;
        };
        revival.until = None;
        revival.again_at = cx.now.after(hosts_wait(revival.tries));
        revival.tries = revival.tries.saturating_add(1);
        let since = revival.failed.as_ref().map_or(cx.now, |(_, since)| *since);
        revival.failed = Some((error.to_owned(), since));
        self.last_error = Some(format!(
            "the permanent version {number} cannot be brought up: {error}"
        ));
    }

    /// It is tried at once: somebody says so, or its file has come again.
    pub(crate) fn try_revival(&mut self, now: Moment) -> bool {
        let failed = |revival: &&mut Revival| revival.failed.is_some();
        let Some(revival) = self.revival.as_mut().filter(failed) else {
            return false;
        };
        revival.again_at = now;
        // Nothing else comes in before it is known how that ends.
        revival.failed = None;
        true
    }

    /// Nothing is to come up any more: it is up, or something else is permanent.
    pub(crate) fn end_revival(&mut self) {
        let up = |number| self.versions.is_ready(number) && self.serving.is_some();
        if self.permanent.is_none_or(up) {
            self.revival = None;
        }
    }

    pub(crate) fn not_up_attention(&self) -> Option<Attention> {
        let (problem, since) = self.revival.as_ref()?.failed.as_ref()?;
        let (name, number) = (&self.name, self.permanent?);
        Some(Attention {
            kind: "permanent-not-up",
            since: *since,
            text: format!("the permanent version {number} cannot be brought up: {problem}"),
            command: format!("caxton retry {name}"),
        })
    }
}
