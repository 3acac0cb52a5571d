//! One agent: its three pointers, its versions, the reload that goes on, and what is remembered of earlier ones.
//!
//! Each event becomes facts (`answers`, `ticks`, `orders`); [`Agent::advance`] then makes the moves that are due
//! (`moves` decides, `enter` carries out), sends the questions that are due, and drops what nobody needs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::carry::{Carry, Refused};
use crate::crash::CrashLoop;
use crate::endings::Endings;
use crate::mint::Cx;
use crate::moves::Move;
use crate::reload::{Progress, Reload};
use crate::restore::Interrupted;
use crate::revive::Revival;
use crate::series::Recent;
use crate::unwell::Watch;
use crate::versions::Versions;
use crate::written::Due;
use crate::{
    AgentName, Command, Content, Event, HotReloadId, Identity, Memory, Moment, Past, Settings,
    StateChoice, Traffic, VersionNumber,
};

/// How many results an agent keeps: what a person scrolls through, and more than the 16 that policies see.
pub(crate) const MAX_HISTORY: usize = 50;

/// Why a reload ends when its file does.
const REMOVED: &str = "the file was removed";

/// Why it ends when the configuration turns the agent off.
const DISABLED: &str = "its configuration says `enabled = false`";

/// More moves than one event can lead to; beyond it the rules of `moves` would go round in circles.
const MAX_MOVES: usize = 32;

/// How long the contents of a removed agent are kept, in case its file comes back.
const REMEMBER_REMOVED: Duration = Duration::from_secs(60 * 60);

/// What the directory asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) content: Content,
    pub(crate) settings: Arc<Settings>,
    pub(crate) since: Moment,
}

/// One agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) name: AgentName,
    /// The number of the next version; none at the end of the range.
    pub(crate) next: Option<VersionNumber>,
    pub(crate) versions: Versions,
    pub(crate) wanted: Option<Wanted>,
    pub(crate) serving: Option<VersionNumber>,
    /// Where new requests go, as it was last commanded.
    pub(crate) traffic: Option<Traffic>,
    pub(crate) permanent: Option<VersionNumber>,
    /// The version before the permanent one, compiled until then.
    pub(crate) warm: Option<(VersionNumber, Moment)>,
    /// Versions that were permanent and can be gone back to, the last one first.
    pub(crate) kept: Vec<VersionNumber>,
    pub(crate) reload: Option<Reload>,
    pub(crate) endings: Endings,
    /// Newest first.
    pub(crate) history: VecDeque<Arc<Past>>,
    pub(crate) recent: Recent,
    pub(crate) removed_at: Option<Moment>,
    /// The file is gone, and what serves is to be stopped, with so long to end its calls.
    pub(crate) leaving: Option<Duration>,
    /// Why nothing is wanted, where nothing is.
    pub(crate) unwanted: &'static str,
    /// New requests wait: state is on its way. The next `Route` opens the gate.
    pub(crate) gate_closed: bool,
    /// State on its way back.
    pub(crate) carry: Option<Carry>,
    /// Where an operator wants to go after the way back that goes on, and with what state.
    pub(crate) onward: Option<(VersionNumber, StateChoice)>,
    /// The last way back that was ordered and refused.
    pub(crate) refused: Option<Refused>,
    /// A version that was gone back from: what it answered until then and was not counted yet belongs to this result.
    pub(crate) tail: Option<(HotReloadId, VersionNumber)>,
    /// Contents that are held outside for this agent.
    pub(crate) contents: BTreeSet<Identity>,
    pub(crate) last_error: Option<String>,
    /// The content that was last told not to come in.
    pub(crate) told_diverged: Option<Identity>,
    pub(crate) seen_at: Moment,
    /// What was given out last to be remembered.
    pub(crate) told: Memory,
    /// The move that waits to be written.
    pub(crate) due: Option<Due>,
    /// When policies or the guard took versions back, oldest first.
    pub(crate) rollbacks: Vec<Moment>,
    /// Who was permanent and who served when that was last looked at.
    pub(crate) in_use: [Option<VersionNumber>; 2],
    /// After a start, until the permanent version is up.
    pub(crate) revival: Option<Revival>,
    /// A reload that the end of the host interrupted, until it begins again or another one does.
    pub(crate) interrupted: Option<Interrupted>,
    /// What serves keeps crashing.
    pub(crate) crash: Option<CrashLoop>,
    /// Health checks of what is permanent.
    pub(crate) watch: Option<Watch>,
}

impl Agent {
    pub(crate) fn new(name: AgentName) -> Self {
        Self {
            told: Memory::nothing(name.clone()),
            name,
            next: Some(VersionNumber::FIRST),
            versions: Versions::default(),
            wanted: None,
            serving: None,
            traffic: None,
            permanent: None,
            warm: None,
            kept: Vec::new(),
            reload: None,
            endings: Endings::default(),
            history: VecDeque::new(),
            recent: Recent::default(),
            removed_at: None,
            leaving: None,
            unwanted: REMOVED,
            gate_closed: false,
            carry: None,
            onward: None,
            refused: None,
            tail: None,
            contents: BTreeSet::new(),
            last_error: None,
            told_diverged: None,
            seen_at: Moment::default(),
            due: None,
            rollbacks: Vec::new(),
            in_use: [None; 2],
            revival: None,
            interrupted: None,
            crash: None,
            watch: None,
        }
    }

    /// Takes in one event and does what follows from it.
    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, event: Event) {
        self.pass_time(cx);
        let moves = match event {
            Event::Time => Vec::new(),
            Event::Wanted {
                content, settings, ..
            } => self.want(cx, content, settings),
            Event::Removed { .. } => self.remove(cx),
            Event::Disabled { .. } => self.disable(cx),
            Event::Measured {
                start,
                end,
                versions,
                ..
            } => self.measure(cx, start, end, &versions),
            Event::Judged {
                ticket,
                rollback,
                strategy,
                ..
            } => return self.judged(cx, ticket, rollback, strategy),
            Event::Monitored {
                ticket, rollback, ..
            } => {
                self.monitored(cx, ticket, rollback);
                Vec::new()
            }
            Event::Written { ticket, result, .. } => {
                self.written(cx, ticket, result);
                Vec::new()
            }
            Event::CrashLoop { number, reason, .. } => self.crash_loop(cx, number, reason),
            answer => self.answer(cx, answer),
        };
        self.advance(cx, moves);
    }

    /// What has to happen with time before anything else: standing still, and calls that drain for too long.
    pub(crate) fn pass_time(&mut self, cx: &mut Cx<'_>) {
        let passed = cx.now.since(self.seen_at);
        self.seen_at = cx.now;
        let waits = self.due.is_some();
        let still = |reload: &&mut Reload| waits || reload.stands_still();
        if let Some(reload) = self.reload.as_mut().filter(still) {
            reload.progress_at = reload.progress_at.after(passed);
        }
        self.versions.keep_time(cx);
        self.give_up_revival(cx);
        if self.warm.is_some_and(|(_, until)| until <= cx.now) {
            self.warm = None;
        }
    }

    /// Makes the given moves, then those that are due, up to one that has to be written first: the one place that calls
    /// [`Agent::enter`].
    pub(crate) fn advance(&mut self, cx: &mut Cx<'_>, first: Vec<Move>) {
        let mut first = first.into_iter();
        let mut waits = false;
        for _ in 0..MAX_MOVES {
            let Some(due) = first.next().or_else(|| self.decide(cx.now)) else {
                break;
            };
            waits = self.must_wait(cx, &due);
            if waits {
                break;
            }
            self.enter(cx, due);
        }
        if !waits {
            self.due = None;
        }
        debug_assert!(
            self.decide(cx.now).is_none_or(|due| self.waits_with(&due)),
            "{}: moves go round in circles: {:?}",
            self.name,
            self.decide(cx.now)
        );
        self.end_revival();
        self.end_crash_loop(cx.now);
        self.note_usage();
        self.ask(cx);
        self.tell_diverged(cx);
        if !self.has_room() {
            self.tell_waiting(cx);
        }
        self.drop_unneeded(cx);
        self.remember(cx);
    }

    fn want(&mut self, cx: &mut Cx<'_>, content: Content, settings: Arc<Settings>) -> Vec<Move> {
        // An agent whose state does not move is like one that has none.
        let content = Content {
            stateful: content.stateful && settings.reload.preserve_state,
            ..content
        };
        if !settings.rollback.quarantine {
            self.endings.clear(&content.identity);
        }
        let same = self
            .wanted
            .as_ref()
            .is_some_and(|w| w.content.identity == content.identity);
        let since = match &self.wanted {
            Some(wanted) if same => wanted.since,
            _ => cx.now,
        };
        self.wanted = Some(Wanted {
            content,
            settings,
            since,
        });
        self.contents.insert(content.identity);
        let interrupted = self.interrupted.map(|interrupted| interrupted.number);
        if interrupted.is_some() && !self.versions.is(interrupted, &content) {
            self.forget_interrupted(cx);
        }
        if self.versions.is(self.permanent, &content) {
            self.try_revival(cx.now);
        }
        self.removed_at = None;
        self.leaving = None;
        Vec::new()
    }

    /// The file is gone: whatever goes on ends, and what serves drains; after the answer where state is on its way.
    fn remove(&mut self, cx: &mut Cx<'_>) -> Vec<Move> {
        self.unwanted = REMOVED;
        self.forget_interrupted(cx);
        let Some(wanted) = self.wanted.take() else {
            // After a start nothing may be known of what it was.
            self.removed_at.get_or_insert(cx.now);
            return Vec::new();
        };
        self.removed_at = Some(cx.now);
        self.leaving = Some(wanted.settings.reload.drain_timeout);
        Vec::new()
    }

    /// The same for a file that is there and says so: it is remembered for as long as it says so.
    fn disable(&mut self, cx: &mut Cx<'_>) -> Vec<Move> {
        let moves = self.remove(cx);
        self.unwanted = DISABLED;
        self.removed_at = None;
        moves
    }

    fn drop_unneeded(&mut self, cx: &mut Cx<'_>) {
        let gone = self
            .removed_at
            .is_some_and(|at| at.after(REMEMBER_REMOVED) <= cx.now);
        if gone {
            self.kept.clear();
            self.endings.forget_blameless();
        }
        let needed = self.needed();
        let again = self.interrupted.map(|interrupted| interrupted.number);
        let cold: Vec<VersionNumber> = self.kept.iter().copied().chain(again).collect();
        self.versions
            .sweep(cx, |number| needed.contains(&number), &cold);
        let wanted = self.wanted.as_ref().map(|wanted| wanted.content.identity);
        let held = self
            .versions
            .records
            .values()
            .map(|record| record.content.identity);
        let held: BTreeSet<Identity> = held.chain(wanted).collect();
        for identity in std::mem::replace(&mut self.contents, held.clone()) {
            if !held.contains(&identity) {
                let agent = self.name.clone();
                cx.command(Command::Forget { agent, identity });
            }
        }
    }

    /// The versions that have to stay live.
    fn needed(&self) -> BTreeSet<VersionNumber> {
        let mut needed = BTreeSet::new();
        needed.extend(self.serving);
        needed.extend(self.permanent);
        needed.extend(self.warm.map(|(number, _)| number));
        needed.extend(self.carry.as_ref().map(|carry| carry.target));
        if let Some(reload) = &self.reload {
            needed.insert(reload.number);
            needed.extend(reload.stable);
            if let Progress::Returning(back) = &reload.progress {
                needed.insert(back.target);
            }
        }
        needed
    }

    /// When something is due without any event; always after `now`.
    pub(crate) fn next_wakeup(&self, now: Moment) -> Option<Moment> {
        let forget = self.removed_at.map(|at| at.after(REMEMBER_REMOVED));
        let again = self
            .wanted
            .as_ref()
            .and_then(|w| self.endings.again_at(&w.content.identity));
        let warm = self.warm.map(|(_, until)| until);
        let carry = self.carry.as_ref().and_then(Carry::due);
        let due = self.due.as_ref().and_then(Due::wakeup);
        let revival = self.revival.as_ref().map(Revival::due);
        let breaker = self.broken_until(now);
        let crash = self.crash.as_ref().map(CrashLoop::due);
        let watch = self.watch.as_ref().map(|watch| watch.turn.due());
        let own = [
            forget, again, warm, carry, due, revival, breaker, crash, watch,
        ];
        let own = own.into_iter().flatten();
        let reload = self.reload.iter().flat_map(Reload::due);
        own.chain(reload)
            .chain(self.versions.due())
            .filter(|due| *due > now)
            .min()
    }
}

impl Reload {
    fn due(&self) -> impl Iterator<Item = Moment> {
        let asked = match &self.progress {
            Progress::Pending { pinned: asking } | Progress::Starting { planned: asking } => {
                asking.due()
            }
            Progress::Returning(back) => Some(back.until),
            Progress::Unproven { until } => Some(*until),
            Progress::Baking => Some(self.bake_end()),
            Progress::HandingOver(moving) => moving.hand.due(),
            Progress::Preparing
            | Progress::Splitting(_)
            | Progress::Listening(_)
            | Progress::Settled(_) => None,
        };
        let starting = matches!(self.progress, Progress::Starting { .. });
        let warm = self.warm_at().filter(|_| starting);
        let check = self.checks_health().then(|| self.checks.turn.due());
        [asked, warm, check, self.deadline()].into_iter().flatten()
    }
}
