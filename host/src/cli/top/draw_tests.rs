use expect_test::{Expect, expect};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::json;

use super::*;
use crate::cli::top::state::{News, Said};

const NOW: u64 = 1_795_474_081_000;
const PLAIN: Theme = Theme { colour: false };

fn drawn(state: &State, theme: Theme, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(state, NOW, theme, frame.area(), frame.buffer_mut()))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    rows.map(|row| {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    })
    .collect()
}

fn check(state: &State, expected: Expect) {
    expected.assert_eq(&text(&drawn(state, PLAIN, (80, 24))));
}

fn busy() -> State {
    let mut state = State::selecting(Some("shop".to_owned()));
    let agents = json!([
        {
            "agent": "counter", "state": "serving", "serving": 4, "split": 0, "in_flight": 1,
            "stable": {"number": 4, "digest": "aa"}, "candidate": {"number": 5, "digest": "bb"},
            "gate": {"closed": true, "waiting": 37},
            "reload": {"id": "1", "status": "in-progress", "strategy": "graceful", "started_at": NOW - 1_000},
            "live": [{"number": 4, "in_flight": 1, "requests_per_second": 40.4, "failures_per_second": 0.0,
                "p99_ms": 212.6, "stateful": true}]
        },
        {"agent": "old-host", "state": "serving", "serving": 1, "in_flight": 0, "stable": {"number": 1, "digest": "cc"}},
        {
            "agent": "shop", "state": "serving", "serving": 2, "split": 10, "split_actual": 9.84, "in_flight": 12,
            "stable": {"number": 2, "digest": "3f2a91c4d5e6f708"}, "candidate": {"number": 3, "digest": "77aa"},
            "gate": null,
            "reload": {"id": "2", "status": "in-progress", "strategy": "traffic-splitting", "stage": 1, "stages": 5,
                "since": NOW - 12_300, "at_least_ms": 30_000, "at_least_requests": 50, "requests": 34,
                "started_at": NOW - 42_000, "paused": false, "waits_for": "there is not enough evidence yet"},
            "live": [
                {"number": 2, "in_flight": 11, "requests_per_second": 361.2, "failures_per_second": 0.0,
                    "p50_ms": 1.24, "p99_ms": 8.0},
                {"number": 3, "in_flight": 1, "requests_per_second": 39.4, "failures_per_second": 1.25,
                    "p50_ms": 1.5, "p99_ms": 9.5}
            ],
            "verdicts": [
                {"policy": "thresholds", "enforcing": true, "verdict": "undecided", "faults": 0,
                    "why": {"summary": "12 of 20 requests: too few to judge rates by, and no trigger that needs no sample has fired"}}
            ],
            "attention": [{"kind": "needs-operator", "since": NOW - 2_000, "text": "stage 2 waits for an operator",
                "command": "caxton resume shop"}]
        },
        {"agent": "a-name-that-is-longer-than-its-column", "state": "failed", "in_flight": 0,
            "last_error": "it traps\u{1b}[2J", "diverged": "it was refused",
            "attention": [{"kind": "quarantined", "since": NOW - 60_000, "text": "it does not come in: it was refused",
                "command": "caxton retry x"}]}
    ]);
    state.take(News::Seen {
        agents: serde_json::from_value(agents).unwrap(),
        host: Vec::new(),
    });
    let events = [
        ("shop", "reload-started", json!({"from": 2, "to": 3})),
        ("counter", "swapped", json!({"from": 3, "to": 4})),
        (
            "shop",
            "verdict",
            json!({"policy": "thresholds", "enforcing": true, "verdict": "undecided", "why": {"summary": "12 of 20 requests"}}),
        ),
        ("", "directory-found", json!({})),
    ];
    for (agent, kind, fields) in events {
        state.take(News::Happened(Happened {
            at: NOW - 40_000,
            agent: (!agent.is_empty()).then(|| agent.to_owned()),
            kind: kind.to_owned(),
            fields: fields.as_object().unwrap().clone(),
        }));
    }
    state
}

#[test]
fn agents_and_a_split_with_its_verdict_and_what_waits() {
    check(
        &busy(),
        expect![[r#"
            caxton top  4 agents, 2 things wait for a person                       22:48:01Z
              AGENT     STATE    VER  NEXT      PHASE     GATE    CALLS REQ/S ERR/S P99 MS
              counter   serving  v4   v5 0 %    hand-over 37 wait     1    40     0    213
              old-host  serving  v1   -                   -           0     -     -      -
            > shop      serving  v2   v3 10 %   st. 2/5   -          12   401   1.2    9.5 !
              a-name-th failed   -    -         diverged  -           0     -     -      - !
            -- shop ------------------------------------------------------------------------
            !          needs-operator: stage 2 waits for an operator (2 s ago)
              try      caxton resume shop
            reload     v2 -> v3 in-progress, traffic-splitting, began 42 s ago
                       preparing > starting > [stage 2 of 5: 12 s of 30 s, 34 of 50
                       requests] > baking > permanent
            share      [##------------------] 10 % wanted, 9.8 % measured
            because    there is not enough evidence yet
            policy     thresholds says undecided: 12 of 20 requests: too few to judge rates
                       by, and no trigger that needs no sample has fired
            traffic    v2 361 requests/s, 0 failures/s, p50 1.2 ms, p99 8.0 ms
                       v3 39 requests/s, 1.2 failures/s, p50 1.5 ms, p99 9.5 ms
            -- events ----------------------------------------------------------------------
            22:47:21Z v3 comes in, v2 serves
            22:47:21Z policy thresholds says undecided: 12 of 20 requests
            22:47:21Z host: the agents directory is back

            up/down select   p pause/resume   P promote   b rollback   ? help   q quit
        "#]],
    );
}

#[test]
fn a_hand_over_with_requests_at_the_gate() {
    let mut state = busy();
    state.select(0);
    check(
        &state,
        expect![[r#"
            caxton top  4 agents, 2 things wait for a person                       22:48:01Z
              AGENT     STATE    VER  NEXT      PHASE     GATE    CALLS REQ/S ERR/S P99 MS
            > counter   serving  v4   v5 0 %    hand-over 37 wait     1    40     0    213
              old-host  serving  v1   -                   -           0     -     -      -
              shop      serving  v2   v3 10 %   st. 2/5   -          12   401   1.2    9.5 !
              a-name-th failed   -    -         diverged  -           0     -     -      - !
            -- counter ---------------------------------------------------------------------
            reload     v4 -> v5 in-progress, graceful, began 1 s ago
                       preparing > starting > [handing over] > baking > permanent
            gate       closed while state moves, 37 requests wait
            traffic    v4 40 requests/s, 0 failures/s, p99 213 ms
            -- events ----------------------------------------------------------------------
            22:47:21Z v4 gets all new requests, before: v3
            22:47:21Z host: the agents directory is back









            up/down select   p pause/resume   P promote   b rollback   ? help   q quit
        "#]],
    );
}

#[test]
fn an_agent_that_failed_and_text_that_would_act_on_the_terminal() {
    let mut state = busy();
    state.select(3);
    check(
        &state,
        expect![[r#"
            caxton top  4 agents, 2 things wait for a person                       22:48:01Z
              AGENT     STATE    VER  NEXT      PHASE     GATE    CALLS REQ/S ERR/S P99 MS
              counter   serving  v4   v5 0 %    hand-over 37 wait     1    40     0    213
              old-host  serving  v1   -                   -           0     -     -      -
              shop      serving  v2   v3 10 %   st. 2/5   -          12   401   1.2    9.5 !
            > a-name-th failed   -    -         diverged  -           0     -     -      - !
            -- a-name-that-is-longer-than-its-column ---------------------------------------
            !          quarantined: it does not come in: it was refused (1 min ago)
              try      caxton retry x
            stable     -
            last error it traps\u{1b}[2J
            -- events ----------------------------------------------------------------------
            22:47:21Z host: the agents directory is back










            up/down select   p pause/resume   P promote   b rollback   ? help   q quit
        "#]],
    );
}

#[test]
fn an_order_is_asked_about_and_its_answer_is_shown() {
    let footer = |state: &State| {
        let all = text(&drawn(state, PLAIN, (80, 24)));
        all.lines().last().unwrap_or_default().to_owned()
    };
    let mut state = busy();
    let orders = [Order::Pause, Order::Resume, Order::Promote, Order::Rollback];
    let mut told = String::new();
    for order in orders {
        state.ask = Some(Ask {
            agent: "shop".to_owned(),
            order,
        });
        told.push_str(&format!("{}\n", footer(&state)));
    }
    state.select(1);
    state.ask = Some(Ask {
        agent: "old-host".to_owned(),
        order: Order::Rollback,
    });
    told.push_str(&format!("{}\n", footer(&state)));
    state.ask = None;
    for ago in [1_000, 60_000] {
        state.said = Some(Said {
            text: "old-host: rollback is under way".to_owned(),
            tone: Tone::Good,
            at: NOW - ago,
        });
        told.push_str(&format!("{}\n", footer(&state)));
    }
    expect![[r#"
        pause the reload of shop?  y: yes, any other key: no
        let the reload of shop go on?  y: yes, any other key: no
        give the new version of shop all traffic?  y: yes, any other key: no
        take shop back to its permanent version?  y: yes, any other key: no
        take old-host back to the version before?  y: yes, any other key: no
        old-host: rollback is under way
        up/down select   p pause/resume   P promote   b rollback   ? help   q quit
    "#]]
    .assert_eq(&told);
}

#[test]
fn the_help_takes_the_place_of_the_detail() {
    let mut state = busy();
    state.help = true;
    check(
        &state,
        expect![[r#"
            caxton top  4 agents, 2 things wait for a person                       22:48:01Z
              AGENT     STATE    VER  NEXT      PHASE     GATE    CALLS REQ/S ERR/S P99 MS
              counter   serving  v4   v5 0 %    hand-over 37 wait     1    40     0    213
              old-host  serving  v1   -                   -           0     -     -      -
            > shop      serving  v2   v3 10 %   st. 2/5   -          12   401   1.2    9.5 !
              a-name-th failed   -    -         diverged  -           0     -     -      - !
            -- keys ------------------------------------------------------------------------
              up k, down j  select an agent; Home and End go to the first and the last
              p             pause the reload, or resume it where it is paused, held, or
                            waits for an operator
              P             promote: give the new version all traffic; it still bakes
              b             roll back: during a reload to the permanent version, otherwise
                            to the one before it
                            (each of these asks first; y gives the order)
              ?             this help
              q, Ctrl-C     leave; nothing changes for the agents
              columns       NEXT: the version that comes in and its share; CALLS: in flight;
                            rates without copies





            up/down select   p pause/resume   P promote   b rollback   ? help   q quit
        "#]],
    );
}

#[test]
fn a_host_that_went_away_is_told_and_what_was_known_stays() {
    let mut state = busy();
    state.take(News::Lost {
        why: "the host with the data directory .caxton (process 7) does not answer\nstart it"
            .to_owned(),
        at: NOW - 5_000,
    });
    let all = text(&drawn(&state, PLAIN, (80, 24)));
    let lines: Vec<&str> = all.lines().collect();
    let told = format!("{}\n{}\n", lines[0], lines[lines.len() - 1]);
    expect![[r#"
        caxton top  the host went away 5 s ago; looking for it                 22:48:01Z
        the host with the data directory .caxton (process 7) does not answer
    "#]]
    .assert_eq(&told);
    assert!(all.contains("shop"), "{all}");
    let mut early = State::default();
    let first = |state: &State| {
        let all = text(&drawn(state, PLAIN, (80, 24)));
        all.lines().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(first(&early)[0].contains("asking the host"));
    early.take(News::Seen {
        agents: Vec::new(),
        host: Vec::new(),
    });
    assert!(first(&early)[1].contains("no agents yet"));
}

#[test]
fn more_agents_than_rows_scroll_with_the_selection() {
    let agent = |number: usize| Agent {
        agent: format!("agent-{number:02}"),
        state: "serving".to_owned(),
        ..Agent::default()
    };
    let mut state = State::default();
    state.take(News::Seen {
        agents: (0..40).map(agent).collect(),
        host: Vec::new(),
    });
    for selected in [0, 20, 39] {
        state.select(selected);
        let all = text(&drawn(&state, PLAIN, (80, 24)));
        assert!(all.contains(&format!("> agent-{selected:02}")), "{all}");
    }
}

#[test]
fn a_narrow_terminal_leaves_out_figures_and_no_names() {
    let heading = |width| {
        let all = text(&drawn(&busy(), PLAIN, (width, 24)));
        let lines: Vec<&str> = all.lines().collect();
        format!("{}\n{}\n", lines[1], lines[4])
    };
    let told: String = [100, 80, 70, 60, 40].map(heading).concat();
    expect![[r#"
          AGENT                         STATE    VER  NEXT      PHASE     GATE    CALLS REQ/S ERR/S P99 MS
        > shop                          serving  v2   v3 10 %   st. 2/5   -          12   401   1.2    9.5 !
          AGENT     STATE    VER  NEXT      PHASE     GATE    CALLS REQ/S ERR/S P99 MS
        > shop      serving  v2   v3 10 %   st. 2/5   -          12   401   1.2    9.5 !
          AGENT         STATE    VER  NEXT      PHASE     REQ/S ERR/S P99 MS
        > shop          serving  v2   v3 10 %   st. 2/5     401   1.2    9.5 !
          AGENT      STATE    VER  NEXT      PHASE     REQ/S ERR/S
        > shop       serving  v2   v3 10 %   st. 2/5     401   1.2 !
          AGENT        STATE    VER  PHASE
        > shop         serving  v2   st. 2/5   !
    "#]].assert_eq(&told);
}

#[test]
fn any_size_is_drawn() {
    let mut asked = busy();
    asked.help = true;
    asked.ask = Some(Ask {
        agent: "shop".to_owned(),
        order: Order::Promote,
    });
    for state in [busy(), asked, State::default()] {
        for size in [(1, 1), (3, 2), (20, 5), (79, 7), (80, 23), (250, 80)] {
            drawn(&state, Theme { colour: true }, size);
        }
    }
}

#[test]
fn without_colour_no_cell_has_one_and_the_text_is_the_same() {
    let (plain, coloured) = (
        drawn(&busy(), PLAIN, (80, 24)),
        drawn(&busy(), Theme { colour: true }, (80, 24)),
    );
    let has_colour = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(!has_colour(&plain));
    assert!(has_colour(&coloured));
    assert_eq!(text(&plain), text(&coloured));
}
