-- Which of a webhook's events wait for one another: project, space or none.
ALTER TABLE webhooks ADD COLUMN ordering TEXT NOT NULL DEFAULT 'project';

-- The event's space, by a hash of its id; 0 is none, as is what rested before this was known.
ALTER TABLE backlog ADD COLUMN space BIGINT NOT NULL DEFAULT 0;
ALTER TABLE set_aside ADD COLUMN space BIGINT NOT NULL DEFAULT 0;
CREATE INDEX backlog_space ON backlog (webhook, space, sequence);
