//! What a key does, as a function of the state.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::{Ask, Order, State};
use crate::cli::views::Agent;

/// What has to be done outside of the state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Quit,
    Order(Ask),
}

/// Kinds of attention that a `resume` answers.
const ANSWERED_BY_RESUME: [&str; 3] = ["paused", "held", "needs-operator"];

/// Changes the state as the key wants it.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Effect {
    if key.kind == KeyEventKind::Release {
        return Effect::None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && key.code == KeyCode::Char('c') {
        return Effect::Quit;
    }
    state.said = None;
    if let Some(ask) = state.ask.take() {
        return match key.code {
            KeyCode::Char('y' | 'Y') => Effect::Order(ask),
            _ => Effect::None,
        };
    }
    if control || key.modifiers.contains(KeyModifiers::ALT) {
        return Effect::None;
    }
    match key.code {
        KeyCode::Char('?') | KeyCode::F(1) => state.help = !state.help,
        KeyCode::Esc if state.help => state.help = false,
        KeyCode::Char('q') | KeyCode::Esc => return Effect::Quit,
        KeyCode::Up | KeyCode::Char('k') => state.select(state.index().saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => state.select(state.index().saturating_add(1)),
        KeyCode::Home | KeyCode::Char('g') => state.select(0),
        KeyCode::End | KeyCode::Char('G') => state.select(usize::MAX),
        KeyCode::Char('p') => ask(state, pause_or_resume),
        KeyCode::Char('P') => ask(state, |_| Order::Promote),
        KeyCode::Char('b') => ask(state, |_| Order::Rollback),
        _ => {}
    }
    Effect::None
}

fn ask(state: &mut State, order: impl FnOnce(&Agent) -> Order) {
    state.ask = state.agent().map(|agent| Ask {
        agent: agent.agent.clone(),
        order: order(agent),
    });
}

/// What stands still goes on, what goes on is stopped.
fn pause_or_resume(agent: &Agent) -> Order {
    let waits = agent
        .attention
        .iter()
        .any(|attention| ANSWERED_BY_RESUME.contains(&attention.kind.as_str()));
    let paused = agent.reload.as_ref().is_some_and(|reload| reload.paused);
    if paused || waits {
        Order::Resume
    } else {
        Order::Pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::Tone;
    use crate::cli::top::state::{News, Said};
    use crate::cli::views::{Attention, Reload};

    fn state() -> State {
        let agent = |name: &str| Agent {
            agent: name.to_owned(),
            ..Agent::default()
        };
        let mut paused = agent("b");
        paused.reload = Some(Reload {
            paused: true,
            ..Reload::default()
        });
        let mut waiting = agent("c");
        waiting.attention = vec![Attention {
            kind: "needs-operator".to_owned(),
            ..Attention::default()
        }];
        let mut state = State::default();
        state.take(News::Seen {
            agents: vec![agent("a"), paused, waiting],
            host: Vec::new(),
        });
        state
    }

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn type_in(state: &mut State, text: &str) -> Vec<Effect> {
        text.chars()
            .map(|c| press(state, key(KeyCode::Char(c))))
            .filter(|effect| *effect != Effect::None)
            .collect()
    }

    fn ordered(keys: &str) -> Vec<(String, &'static str)> {
        type_in(&mut state(), keys)
            .into_iter()
            .map(|effect| match effect {
                Effect::Order(ask) => (ask.agent, ask.order.name()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_selection_moves_and_stops_at_the_ends() {
        let mut state = state();
        for (code, index) in [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::Char('j'), 2),
            (KeyCode::Char('j'), 2),
            (KeyCode::Char('k'), 1),
            (KeyCode::Char('G'), 2),
            (KeyCode::Home, 0),
        ] {
            assert_eq!(press(&mut state, key(code)), Effect::None);
            assert_eq!(state.index(), index, "{code:?}");
        }
        let mut empty = State::default();
        assert_eq!(press(&mut empty, key(KeyCode::Down)), Effect::None);
        assert_eq!(type_in(&mut empty, "bPp"), []);
        assert_eq!(empty.ask, None);
    }

    #[test]
    fn an_order_is_given_only_after_it_was_confirmed() {
        assert_eq!(ordered("b"), []);
        assert_eq!(ordered("by"), [("a".to_owned(), "rollback")]);
        assert_eq!(ordered("bny"), []);
        assert_eq!(ordered("PPyy"), []);
        assert_eq!(ordered("jPY"), [("b".to_owned(), "promote")]);
    }

    #[test]
    fn one_key_pauses_what_goes_on_and_resumes_what_stands_still() {
        assert_eq!(ordered("py"), [("a".to_owned(), "pause")]);
        assert_eq!(ordered("jpy"), [("b".to_owned(), "resume")]);
        assert_eq!(ordered("jjpy"), [("c".to_owned(), "resume")]);
    }

    #[test]
    fn the_end_is_q_escape_or_control_c_which_asks_nothing() {
        assert_eq!(type_in(&mut state(), "q"), [Effect::Quit]);
        assert_eq!(press(&mut state(), key(KeyCode::Esc)), Effect::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let mut asked = state();
        type_in(&mut asked, "b");
        assert_eq!(press(&mut asked, control_c), Effect::Quit);
        // A question is answered with no first.
        assert_eq!(type_in(&mut state(), "bq"), []);
        let mut helped = state();
        type_in(&mut helped, "?");
        assert_eq!(press(&mut helped, key(KeyCode::Esc)), Effect::None);
        assert!(!helped.help);
    }

    #[test]
    fn what_was_said_goes_away_with_the_next_key_and_releases_are_no_keys() {
        let mut state = state();
        state.said = Some(Said {
            text: "done".to_owned(),
            tone: Tone::Good,
            at: 0,
        });
        let mut release = key(KeyCode::Char('q'));
        release.kind = KeyEventKind::Release;
        assert_eq!(press(&mut state, release), Effect::None);
        assert!(state.said.is_some());
        type_in(&mut state, "x");
        assert!(state.said.is_none());
    }
}
