-- Whoever asks what became of an event, and what people do about it.

-- The delivery log says what comes next, and is read by event, webhook and project.
ALTER TABLE attempts ADD COLUMN resend TEXT;
ALTER TABLE attempts ADD COLUMN next TEXT;
ALTER TABLE attempts ADD COLUMN next_at BIGINT;
CREATE INDEX attempts_webhook ON attempts (webhook, started_at);
CREATE INDEX attempts_project ON attempts (project, started_at);

-- A message for one webhook alone; a resend carries an event that has another id.
ALTER TABLE events ADD COLUMN only_webhook TEXT;
ALTER TABLE events ADD COLUMN original TEXT;
-- The archive: it stays until this time whether a row needs it or not; 0 is no time.
ALTER TABLE events ADD COLUMN keep_until BIGINT NOT NULL DEFAULT 0;
-- Its place when it was archived: replays go by it.
ALTER TABLE events ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
CREATE INDEX events_original ON events (original) WHERE original IS NOT NULL;
CREATE INDEX events_kept ON events (keep_until) WHERE keep_until > 0;
CREATE INDEX events_project ON events (project, sequence) WHERE keep_until > 0;

-- A dead letter that was sent again or discarded is closed: it stays for a while, for whoever looks for it.
ALTER TABLE dead_letters ADD COLUMN closed_at BIGINT;
ALTER TABLE dead_letters ADD COLUMN closed_by TEXT;
ALTER TABLE dead_letters ADD COLUMN closed_reason TEXT;
ALTER TABLE dead_letters ADD COLUMN resent_as TEXT;
CREATE INDEX dead_letters_webhook ON dead_letters (webhook, died_at);
CREATE INDEX dead_letters_closed ON dead_letters (closed_at) WHERE closed_at IS NOT NULL;

-- What people wanted of a webhook's lane, written with its effect; until the last step of it, done_at is NULL.
CREATE TABLE steerings (
    id TEXT NOT NULL PRIMARY KEY,
    webhook TEXT NOT NULL REFERENCES webhooks (id),
    project TEXT NOT NULL,
    command TEXT NOT NULL,
    event TEXT,
    reason TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    done_at BIGINT,
    -- Deliveries that it moved.
    deliveries BIGINT NOT NULL,
    -- What else there is to say, as JSON: of a check, its report.
    outcome TEXT
);
CREATE INDEX steerings_webhook ON steerings (webhook, asked_at);

-- Jobs that send many events again to one webhook. Whoever runs one holds it until a time.
CREATE TABLE replays (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    webhook TEXT NOT NULL REFERENCES webhooks (id),
    what TEXT NOT NULL,
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    rate BIGINT,
    state TEXT NOT NULL,
    total BIGINT NOT NULL,
    sent BIGINT NOT NULL DEFAULT 0,
    cursor_sequence BIGINT,
    cursor_event TEXT,
    runner TEXT,
    runs_until BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX replays_webhook ON replays (webhook, created_at);
CREATE INDEX replays_running ON replays (created_at) WHERE state = 'running';

-- What a platform wants to hear of, written with what it tells of, until the queue has it as an event.
CREATE TABLE notices (
    id TEXT NOT NULL PRIMARY KEY,
    -- The type of its event.
    kind TEXT NOT NULL,
    project TEXT NOT NULL,
    webhook TEXT NOT NULL,
    event TEXT,
    detail TEXT,
    at BIGINT NOT NULL
);
CREATE INDEX notices_at ON notices (at);

-- What one process does for all, and until when it alone does.
CREATE TABLE duties (
    name TEXT NOT NULL PRIMARY KEY,
    runner TEXT NOT NULL,
    runs_until BIGINT NOT NULL
);

-- How a webhook wants its deliveries. The headers rest encrypted: their values may be credentials.
ALTER TABLE webhooks ADD COLUMN headers BYTEA;
ALTER TABLE webhooks ADD COLUMN rate_limit BIGINT;
ALTER TABLE webhooks ADD COLUMN attempt_timeout_ms BIGINT;

