-- The journal's first form. It holds calls, accesses, accounts and what the retention job did: no picture, no patient's
-- name, no free text. Moments are Unix milliseconds (service time for calls, accesses and events; wall clock for
-- accounts and the security log, which other processes write too).

CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    bay TEXT NOT NULL,
    button TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ringing', 'escalated', 'acknowledged', 'attended', 'closed')),
    priority TEXT NOT NULL,
    presses INTEGER NOT NULL,
    pressed_at INTEGER NOT NULL,
    last_press_at INTEGER NOT NULL,
    shown TEXT NOT NULL,            -- JSON list of [screen, name, sound, at_ms]
    escalations INTEGER NOT NULL,
    escalated_at INTEGER,
    acknowledged_by TEXT,
    acknowledged_at INTEGER,
    attended_by TEXT,
    attended_at INTEGER,
    closed_by TEXT,
    closed_at INTEGER,
    restores INTEGER NOT NULL
) STRICT;

-- A bay has one open call at most: further presses grow it.
CREATE UNIQUE INDEX calls_open ON calls (bay) WHERE state != 'closed';
CREATE INDEX calls_closed ON calls (closed_at);

-- Every press that was accepted, by the id that the client made: the same id twice is one press.
CREATE TABLE presses (
    id TEXT PRIMARY KEY,
    call TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX presses_call ON presses (call);

-- Every change of a call: who, from where, when.
CREATE TABLE call_events (
    id INTEGER PRIMARY KEY,
    call TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    state TEXT NOT NULL,            -- after it
    who TEXT NOT NULL,
    place TEXT NOT NULL,            -- the screen's session or the button
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX call_events_call ON call_events (call);

-- What pages may ask for again with Last-Event-ID. AUTOINCREMENT: an id is never used twice, whatever was deleted.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bay TEXT NOT NULL,
    data TEXT NOT NULL,             -- the call as JSON
    patient_data TEXT NOT NULL,     -- the same without names of staff
    at_ms INTEGER NOT NULL
) STRICT;

-- Who watched which bay from when to when. to_ms is null while it goes on.
CREATE TABLE access_log (
    id TEXT PRIMARY KEY,
    who TEXT NOT NULL,
    role TEXT NOT NULL,
    token TEXT NOT NULL,
    screen TEXT NOT NULL,
    bay TEXT NOT NULL,
    stream TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER,
    why TEXT NOT NULL DEFAULT ''    -- what ended it
) STRICT;
CREATE INDEX access_log_open ON access_log (to_ms);

-- Sign-ins that worked and that did not, tokens made and revoked.
CREATE TABLE security_log (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    event TEXT NOT NULL,
    who TEXT NOT NULL,
    token TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT;

-- Secrets are 256 random bits: a plain SHA-256 of them cannot be searched, so a slow password hash would only cost time.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    button TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER
) STRICT;

CREATE TABLE sign_in_codes (
    hash BLOB PRIMARY KEY,
    token TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,            -- names the session in logs; opens nothing
    hash BLOB NOT NULL UNIQUE,
    token TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

-- Curtains outlast a restart: a patient's no is not forgotten. A row is deleted when its curtain opens.
CREATE TABLE curtains (
    bay TEXT PRIMARY KEY,
    closed_by TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER
) STRICT;

-- When the server was last known to run: accesses that a crash cut off end there.
CREATE TABLE alive (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at_ms INTEGER NOT NULL
) STRICT;

-- The deletion job's own runs: when, and how many rows of each kind.
CREATE TABLE retention_runs (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    deleted TEXT NOT NULL           -- JSON: table → rows
) STRICT;
