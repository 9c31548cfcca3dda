-- Times are epoch milliseconds, ids hyphenated UUIDs, flags 0 or 1. The twin of this file in migrations/postgres has no
-- tables of the embedded queue.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    -- Raised in the same transaction as each change of the project's webhooks.
    registry BIGINT NOT NULL DEFAULT 0,
    -- Rises over all projects with each change, so that a reader finds what changed since it looked last.
    changed BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX projects_changed ON projects (changed);

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    url TEXT NOT NULL,
    -- Version byte, nonce, ciphertext.
    secret BLOB NOT NULL,
    previous_secret BLOB,
    previous_until BIGINT,
    -- A JSON array; NULL is all.
    event_types TEXT,
    disabled_at BIGINT,
    disabled_reason TEXT,
    -- The registry version that added it.
    added BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- Rows stay: what rests for a deleted webhook points at them.
    deleted_at BIGINT
);
CREATE UNIQUE INDEX webhooks_url ON webhooks (project, url) WHERE deleted_at IS NULL;

CREATE TABLE partitions (
    id BIGINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    highest BIGINT NOT NULL DEFAULT 0
);

-- The body of an event, once, as long as a row of backlog, set_aside or dead_letters needs it.
CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    event_type TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    registry BIGINT NOT NULL,
    traceparent TEXT,
    body BLOB NOT NULL
);

CREATE TABLE backlog (
    event TEXT NOT NULL REFERENCES events (id),
    webhook TEXT NOT NULL REFERENCES webhooks (id),
    partition_id BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    PRIMARY KEY (event, webhook)
);
CREATE INDEX backlog_lane ON backlog (webhook, sequence);
CREATE INDEX backlog_partition ON backlog (partition_id, webhook);

CREATE TABLE set_aside (
    event TEXT NOT NULL REFERENCES events (id),
    webhook TEXT NOT NULL REFERENCES webhooks (id),
    partition_id BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    last TEXT NOT NULL,
    set_aside_at BIGINT NOT NULL,
    PRIMARY KEY (event, webhook)
);
CREATE INDEX set_aside_lane ON set_aside (webhook, sequence);
CREATE INDEX set_aside_partition ON set_aside (partition_id, webhook);

CREATE TABLE dead_letters (
    event TEXT NOT NULL REFERENCES events (id),
    webhook TEXT NOT NULL REFERENCES webhooks (id),
    project TEXT NOT NULL,
    partition_id BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    reason TEXT NOT NULL,
    fault TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    last TEXT,
    died_at BIGINT NOT NULL,
    PRIMARY KEY (event, webhook)
);
CREATE INDEX dead_letters_project ON dead_letters (project, died_at);

CREATE TABLE lanes (
    webhook TEXT NOT NULL PRIMARY KEY REFERENCES webhooks (id),
    partition_id BIGINT NOT NULL,
    -- suspect or outage; the four columns behind it are an outage's.
    mode TEXT NOT NULL,
    exhausted BIGINT NOT NULL,
    since BIGINT,
    probes BIGINT,
    next_probe BIGINT,
    proven BIGINT
);
CREATE INDEX lanes_partition ON lanes (partition_id);

-- The delivery log.
CREATE TABLE attempts (
    event TEXT NOT NULL,
    webhook TEXT NOT NULL,
    project TEXT NOT NULL,
    event_type TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    number BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    connect_ms BIGINT,
    first_byte_ms BIGINT,
    total_ms BIGINT NOT NULL,
    status BIGINT,
    failure TEXT,
    retry_after_ms BIGINT,
    address TEXT,
    snippet TEXT NOT NULL,
    PRIMARY KEY (event, webhook, started_at, number)
);
CREATE INDEX attempts_started ON attempts (started_at);

CREATE TABLE quarantine (
    id TEXT NOT NULL PRIMARY KEY,
    partition_id BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    detail TEXT NOT NULL,
    quarantined_at BIGINT NOT NULL
);

-- The embedded queue. Positions are never used twice, and become visible in their order.
CREATE TABLE queue (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    partition_id BIGINT NOT NULL,
    event TEXT NOT NULL,
    project TEXT NOT NULL,
    event_type TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    registry BIGINT NOT NULL,
    traceparent TEXT,
    again BIGINT NOT NULL,
    body BLOB NOT NULL
);
-- Its entries end with the position, so that it keeps the order too.
CREATE INDEX queue_partition ON queue (partition_id);
CREATE INDEX queue_event ON queue (event);

-- Settled deliveries of events that are still in the queue.
CREATE TABLE done (
    event TEXT NOT NULL,
    webhook TEXT NOT NULL,
    PRIMARY KEY (event, webhook)
) WITHOUT ROWID;

-- Idempotency records, written with the queue's row.
CREATE TABLE idempotency (
    project TEXT NOT NULL,
    key BLOB NOT NULL,
    event TEXT NOT NULL,
    body BLOB NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (project, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires_at);
