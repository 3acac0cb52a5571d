//! Where new requests go: the one pointer that is stored, and what becomes of those who lose their traffic by it.

use std::time::Duration;

use crate::agent::Agent;
use crate::mint::Cx;
use crate::{Command, Happened, HotReloadId, Traffic, VersionNumber};

impl Agent {
    /// Stores the pointer, and opens the gate; answers with those that answered requests before and do not any more.
    pub(crate) fn route(
        &mut self,
        cx: &mut Cx<'_>,
        to: Option<Traffic>,
        cause: Option<HotReloadId>,
    ) -> Vec<VersionNumber> {
        let waiting = std::mem::take(&mut self.gate_closed);
        if self.traffic == to && !waiting {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.traffic, to);
        let from = std::mem::replace(&mut self.serving, to.map(|traffic| traffic.serving));
        for number in answering(to).chain(to.and_then(|traffic| traffic.listener)) {
            debug_assert!(
                self.versions.is_ready(number),
                "{}: {number} is not ready",
                self.name
            );
            self.versions.serves(number);
        }
        let agent = self.name.clone();
        cx.command(Command::Route { agent, traffic: to });
        if from != self.serving {
            let to = self.serving;
            cx.tell(cause, Happened::Swapped { from, to });
        }
        let still = |number: &VersionNumber| answering(to).any(|other| other == *number);
        answering(before).filter(|number| !still(number)).collect()
    }

    /// Stores the pointer, and lets those finish what they have who lose their traffic by it.
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        to: Traffic,
        drain: Duration,
        cause: Option<HotReloadId>,
    ) {
        for old in self.route(cx, Some(to), cause) {
            self.versions.drain(cx, old, drain, cause);
        }
    }

    /// Whoever serves has everything again: shares and copies end.
    pub(crate) fn take_share_back(&mut self, cx: &mut Cx<'_>) {
        let Some(serving) = self.serving else { return };
        let cause = self.reload.as_ref().map(|reload| reload.id);
        let drain = self.drain_timeout();
        self.send(cx, Traffic::all_to(serving), drain, cause);
    }

    /// As the reload's plan says, or the configuration where there is no reload.
    pub(crate) fn drain_timeout(&self) -> Duration {
        let wanted = self.wanted.as_ref().map(|wanted| &wanted.settings.reload);
        let planned = self.reload.as_ref().map(|reload| reload.drain());
        planned
            .or(wanted.map(|reload| reload.drain_timeout))
            .unwrap_or_default()
    }
}

/// Who answers requests.
fn answering(traffic: Option<Traffic>) -> impl Iterator<Item = VersionNumber> {
    let serving = traffic.map(|traffic| traffic.serving);
    let split = traffic.and_then(|traffic| traffic.split);
    serving
        .into_iter()
        .chain(split.map(|split| split.candidate))
}
