//! `caxton top`: a live view of all agents, and of the selected one in detail.
//!
//! It shows what `caxton ls`, `status` and `events` show, from the same answers, and orders what the commands order; it
//! knows nothing that they do not. What is drawn is a function of [`State`] and the time, and what a key does is a
//! function of [`State`] and the key: both are tested without a terminal.
//!
//! What must hold: the terminal is left as it was found, whatever ends the view; a host that goes away ends nothing, it
//! is looked for until it is back; nothing is ordered without a confirmation; nothing is told by colour alone.

mod detail;
mod draw;
mod feed;
mod input;
mod keys;
mod screen;
mod state;
mod table;
mod theme;

use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::crossterm::event::Event as Terminal;

use super::args::TopArgs;
use super::client::Client;
use super::failure::Failure;
use super::signals::Signals;
use super::text::Paint;
use super::time::now_ms;
use feed::Feed;
use input::Effect;
use keys::Keys;
use screen::Screen;
use state::State;
use theme::Theme;

/// How often it is drawn anew when nothing happens, for the spans of time that it shows.
const REDRAW: Duration = Duration::from_millis(500);

pub(super) async fn top(args: &TopArgs) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "`caxton top` draws on a terminal, and this is none: `caxton status AGENT` shows an agent as text, and \
             `caxton ls --json` or `caxton status AGENT --json` is for tools"
                .to_owned(),
        ));
    }
    // What is wrong with the connection from the start is said as every command says it.
    Client::find(&args.connection)?.get("host").await?;
    let mut signals = Signals::listen()?;
    let theme = Theme {
        colour: Paint::stdout().colour(),
    };
    let mut screen = Screen::enter()?;
    let view = view(args, theme, &mut screen);
    tokio::select! {
        ended = view => ended,
        () = signals.asked(1) => Ok(()),
    }
}

/// Shows and obeys until a key ends it.
async fn view(args: &TopArgs, theme: Theme, screen: &mut Screen) -> Result<(), Failure> {
    let mut state = State::selecting(args.agent.as_ref().map(ToString::to_string));
    let mut feed = Feed::start(&args.connection);
    let mut keys = Keys::start();
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        screen.draw(|area, buffer| draw::draw(&state, now_ms(), theme, area, buffer))?;
        tokio::select! {
            news = feed.next() => {
                state.take(news?);
                // What came together is drawn once.
                while let Some(more) = feed.ready() {
                    state.take(more);
                }
            }
            event = keys.next() => {
                if let Terminal::Key(key) = event? {
                    match input::press(&mut state, key) {
                        Effect::None => {}
                        Effect::Quit => return Ok(()),
                        Effect::Order(ask) => feed.order(&args.connection, ask),
                    }
                }
            }
            _ = redraw.tick() => {}
        }
    }
}
