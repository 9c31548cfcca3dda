-- For whoever looks after a deployment: which URLs were down, and which processes there are.

-- Written with the lane's record. An outage that lasts has no end.
CREATE TABLE outages (
    webhook TEXT NOT NULL REFERENCES webhooks (id),
    project TEXT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    PRIMARY KEY (webhook, since)
);
CREATE INDEX outages_since ON outages (since);
CREATE INDEX outages_project ON outages (project, since);
-- Those that last already.
INSERT INTO outages (webhook, project, since)
    SELECT l.webhook, w.project, l.since FROM lanes l JOIN webhooks w ON w.id = l.webhook
    WHERE l.mode = 'outage' AND l.since IS NOT NULL;

-- What each process says of itself, as JSON.
CREATE TABLE members (
    id TEXT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    said TEXT NOT NULL
);
