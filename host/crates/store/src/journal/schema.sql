-- Layout 1 of a journal. Times are milliseconds since the Unix epoch in UTC, digests are SHA-256 as lower-case hexadecimal,
-- and the views at the end show times as text. Layouts only ever follow one another: see migrate.rs.

CREATE TABLE meta (
  -- One fact about the journal itself in each row.
  key   TEXT NOT NULL PRIMARY KEY,  -- made_at, made_by
  value TEXT NOT NULL
) STRICT;

CREATE TABLE agents (
  -- One agent in each row, also one whose file is gone.
  name             TEXT NOT NULL PRIMARY KEY,  -- the stem of its file
  next_number      INTEGER,           -- the number of its next version; NULL at the end of the range
  wanted_component TEXT,              -- what the directory asks for; NULL where the agent's file is gone
  wanted_config    TEXT,              -- the same: the part of the configuration that a version runs with
  serving          INTEGER,           -- the version that gets new requests
  permanent        INTEGER,           -- the version that a start serves and a rollback returns to
  removed_at       INTEGER,           -- when its file went
  last_error       TEXT,              -- what went wrong last
  rollbacks        TEXT NOT NULL,     -- when reloads were rolled back by policies, oldest first: a JSON list of times
  updated_at       INTEGER NOT NULL   -- when this row was written
) STRICT;

CREATE TABLE versions (
  -- The versions that a pointer, a reload that goes on, or the list of kept versions names.
  agent         TEXT NOT NULL REFERENCES agents (name) ON DELETE CASCADE,
  number        INTEGER NOT NULL,
  component     TEXT NOT NULL,        -- the file artifacts/COMPONENT.wasm
  config        TEXT NOT NULL,        -- of the part of the configuration that it runs with; see contents
  size          INTEGER NOT NULL,     -- bytes of the component
  has_health    INTEGER NOT NULL,     -- 1: there is a health check to make
  stateful      INTEGER NOT NULL,     -- 1: it keeps state
  reload        TEXT NOT NULL,        -- the reload that brought it in
  created_at    INTEGER NOT NULL,     -- when that began
  place         INTEGER NOT NULL,     -- its place in the list of the agent's versions, from 0
  kept          INTEGER,              -- its place among those that can be gone back to, 0 the last one; NULL: it is none of them
  memory_peak   INTEGER,              -- while it was permanent: the most memory of one instance, in bytes; NULL: it is so still
  fuel          INTEGER,              -- while it was permanent: fuel, where it is metered
  requests      INTEGER,              -- while it was permanent: requests that were answered
  failures      INTEGER,              -- of these, how many failed
  mean_response_us INTEGER,           -- their mean time in microseconds
  PRIMARY KEY (agent, number)
) STRICT;

CREATE TABLE contents (
  -- What an agent's versions can be made of: a component with its configuration, as its files once had them.
  agent     TEXT NOT NULL,
  component TEXT NOT NULL,            -- the file artifacts/COMPONENT.wasm
  config    TEXT NOT NULL,            -- of the part of the configuration that a version runs with
  file      TEXT NOT NULL,            -- the configuration whole: the file artifacts/FILE.toml, which may hold secrets
  shown     TEXT NOT NULL,            -- the same for people, without the values of granted variables
  size      INTEGER NOT NULL,         -- bytes of the component
  taken_at  INTEGER NOT NULL,         -- when it was first taken
  seen_at   INTEGER NOT NULL,         -- when it was taken last: what nothing names goes some time after this
  PRIMARY KEY (agent, component, config)
) STRICT;

CREATE TABLE reloads (
  -- One reload in each row: the one that goes on, and earlier ones.
  id            TEXT NOT NULL PRIMARY KEY,
  agent         TEXT NOT NULL REFERENCES agents (name) ON DELETE CASCADE,
  number        INTEGER NOT NULL,     -- the candidate
  component     TEXT,                 -- what the candidate is made of
  config        TEXT,
  size          INTEGER,              -- bytes of its component
  going_on      INTEGER NOT NULL,     -- 1: it goes on; an earlier one may go on again, to be rolled back
  status        TEXT NOT NULL,        -- pending, preparing, starting, in-progress, completed, failed, cancelled, rolling-back, rolled-back
  strategy      TEXT NOT NULL,        -- graceful, immediate, parallel, traffic-splitting
  stage         INTEGER,              -- while it goes on: the present stage, from 0
  split         INTEGER,              -- while it goes on: per cent of new requests that are meant for the candidate
  stable        INTEGER,              -- the permanent version when it began
  started_at    INTEGER NOT NULL,
  return_target INTEGER,              -- where it goes back to, once that is decided
  return_aside  TEXT,                 -- what becomes of the candidate then: quarantined, blameless, ended, hosts-fault
  return_reason TEXT,                 -- why it goes back
  ended_at      INTEGER,              -- when it ended
  outcome       TEXT,                 -- how, in the words of policies: completed, failed, cancelled, rolled-back, superseded
  result        TEXT,                 -- the whole result, a JSON object as `history` shows it
  rank          INTEGER NOT NULL      -- of the agent's reloads, the one with the highest rank is the newest
) STRICT;
CREATE INDEX reloads_by_agent ON reloads (agent, rank);

CREATE TABLE endings (
  -- What does not come in, or did not once: quarantined and set aside.
  agent     TEXT NOT NULL REFERENCES agents (name) ON DELETE CASCADE,
  component TEXT NOT NULL,
  config    TEXT NOT NULL,
  aside     TEXT NOT NULL,            -- quarantined, blameless, ended, hosts-fault
  reason    TEXT NOT NULL,
  since     INTEGER NOT NULL,
  again_at  INTEGER,                  -- when it is tried again by itself
  blocks    INTEGER NOT NULL,         -- 0: it is being tried again
  tries     INTEGER NOT NULL,         -- how often it ended so
  place     INTEGER NOT NULL,         -- its place in the list of the agent's endings, from 0
  PRIMARY KEY (agent, component, config)
) STRICT;

CREATE TABLE events (
  -- Everything that happened to agents, every change of a reload's status among it.
  seq    INTEGER PRIMARY KEY,         -- in the order in which it happened
  at     INTEGER NOT NULL,
  agent  TEXT,                        -- NULL: it is about the journal
  reload TEXT,                        -- during which reload
  kind   TEXT NOT NULL,               -- as in the event stream: reload-started, status-changed, swapped, ...
  detail TEXT NOT NULL                -- the rest, a JSON object
) STRICT;
CREATE INDEX events_by_agent ON events (agent, seq);

CREATE TABLE acts (
  -- What operators did.
  seq     INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  agent   TEXT NOT NULL,
  act     TEXT NOT NULL,              -- in the words of the command line: rollback --to 3
  refused TEXT                        -- why it was not taken; NULL: it was
) STRICT;
CREATE INDEX acts_by_agent ON acts (agent, seq);

CREATE TABLE pins (
  -- The policies that a reload began with; it is judged by these whatever stands in the policies directory later.
  reload   TEXT NOT NULL,
  place    INTEGER NOT NULL,          -- in their order, from 0
  agent    TEXT NOT NULL,
  policy   TEXT NOT NULL,
  kind     TEXT NOT NULL,             -- strategy-policy or rollback-policy
  mode     TEXT NOT NULL,             -- enforce, monitor, off
  digest   TEXT NOT NULL,             -- the file policies/DIGEST.wasm
  settings TEXT NOT NULL,             -- a JSON object
  PRIMARY KEY (reload, place)
) STRICT;
CREATE INDEX pins_by_agent ON pins (agent);

CREATE TABLE snapshots (
  -- The newest saved state of each version.
  agent           TEXT NOT NULL,
  number          INTEGER NOT NULL,   -- the version that can load it
  component       TEXT NOT NULL,      -- what that version is made of
  config          TEXT NOT NULL,
  taken_at        INTEGER NOT NULL,
  cause           TEXT NOT NULL,      -- checkpoint, hand-over, stop
  format          TEXT NOT NULL,      -- what the agent calls its format
  saved_by        TEXT NOT NULL,      -- the component that saved it
  saved_by_number INTEGER NOT NULL,   -- the version that saved it
  blob            TEXT NOT NULL,      -- the file state/BLOB.bin
  size            INTEGER NOT NULL,   -- its bytes
  PRIMARY KEY (agent, number)
) STRICT;

CREATE TABLE recordings (
  -- The decision records of one reload in each row: what its policies were told, what they said, what was done.
  reload  TEXT NOT NULL PRIMARY KEY,
  agent   TEXT NOT NULL,
  began   INTEGER NOT NULL,           -- when the first line came
  changed INTEGER NOT NULL,           -- when the last line came
  lines   INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,           -- of all lines
  is_over INTEGER NOT NULL            -- 1: it may go when room is needed
) STRICT;

CREATE TABLE records (
  -- Their lines.
  reload TEXT NOT NULL REFERENCES recordings (reload) ON DELETE CASCADE,
  line   INTEGER NOT NULL,            -- from 0
  at     INTEGER NOT NULL,
  text   TEXT NOT NULL,               -- a JSON object, as `caxton records` shows it
  PRIMARY KEY (reload, line)
) STRICT;

CREATE TABLE unreadable (
  -- Rows of other tables that made no sense when the journal was opened, and were taken out of them.
  at     INTEGER NOT NULL,
  origin TEXT NOT NULL,               -- the table
  reason TEXT NOT NULL,               -- what made no sense
  row    TEXT NOT NULL                -- what stood there, a JSON object
) STRICT;

-- Where each agent stands.
CREATE VIEW overview AS
  SELECT agents.name AS agent, agents.serving, agents.permanent, substr(agents.wanted_component, 1, 12) AS wanted,
         reloads.number AS candidate, reloads.status, reloads.strategy, reloads.split,
         (SELECT group_concat(number, ' ') FROM (SELECT number FROM versions
            WHERE versions.agent = agents.name AND kept IS NOT NULL ORDER BY kept)) AS kept,
         (SELECT count(*) FROM endings WHERE endings.agent = agents.name AND blocks) AS out_of_the_way,
         datetime(agents.removed_at / 1000, 'unixepoch') AS removed, agents.last_error,
         datetime(agents.updated_at / 1000, 'unixepoch') AS updated
  FROM agents LEFT JOIN reloads ON reloads.agent = agents.name AND reloads.going_on
  ORDER BY agents.name;

-- What happened and what operators did, in the order of time.
CREATE VIEW timeline AS
  SELECT strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS time, agent, reload, kind, detail, seq FROM events
  UNION ALL
  SELECT strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch'), agent, NULL, 'operator',
         json_object('act', act, 'refused', refused), seq FROM acts
  ORDER BY time, seq;

-- Every change of a reload's status.
CREATE VIEW statuses AS
  SELECT strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS time, agent, reload,
         detail ->> 'from' AS was, detail ->> 'to' AS became, detail ->> 'reason' AS reason
  FROM events WHERE kind = 'status-changed' ORDER BY seq;

-- The reloads of all agents, newest first.
CREATE VIEW history AS
  SELECT datetime(started_at / 1000, 'unixepoch') AS began, datetime(ended_at / 1000, 'unixepoch') AS ended, agent, number, status,
         strategy, outcome, result ->> 'evidence' AS evidence, coalesce(result ->> 'rollback_reason', result ->> 'error') AS why, id
  FROM reloads ORDER BY started_at DESC, agent, rank DESC;

-- What does not come in.
CREATE VIEW quarantine AS
  SELECT agent, aside, substr(component, 1, 12) AS component, substr(config, 1, 12) AS config, reason,
         datetime(since / 1000, 'unixepoch') AS since, datetime(again_at / 1000, 'unixepoch') AS again, tries
  FROM endings WHERE blocks ORDER BY agent, place;
