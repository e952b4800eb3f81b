-- Work to be done, what became of it, and why it was done so.

-- A row to be done: states scheduled, leased, submitting, deferred, and the terminal sent, failed, suppressed,
-- skipped, unknown, expired, canceled.
create table sends (
  seq {serial},                         -- order of planning: claims go by it, so neighbours are worked on together
  id {key} not null,                    -- its name for ever; the Message-ID is made from it
  campaign {key} not null,
  profile_id {key} not null,
  occurrence {key} not null,            -- unique within campaign and profile: planning twice adds nothing
  kind {key} not null,                  -- lifecycle, transactional
  guarantee {key} not null,             -- amo, alo
  priority bigint not null,             -- less is sooner
  due_at bigint not null,
  first_due_at bigint not null,         -- as it was planned; due_at moves with every deferral
  expires_at bigint not null,
  state {key} not null,
  held bigint not null default 0,       -- 1: its campaign was paused when it came due; not looked at until resumed
  attempt bigint not null default 0,    -- claims so far, less those that were not the mail's fault
  orphaned bigint not null default 0,   -- how often a worker died while it decided or rendered this
  data text not null,                   -- JSON object that the request or the event brought along
  to_address text,                      -- overrides the profile's address
  lease_token {key},                    -- fencing: a write with another token changes nothing
  lease_until bigint,
  reason {key},                         -- machine word for the state
  detail text,                          -- the relay's reply, or a sentence for people
  relay {key},
  address text,                         -- where it was last put on the wire to
  domain_group {key},
  variant {key},
  products text,                        -- JSON list of the product ids that it showed
  submitted_at bigint,                  -- time of the mark; null again when the mail was not taken
  finished_at bigint,
  opened_at bigint,                     -- first by a person
  clicked_at bigint                     -- first by a person
);
create unique index sends_id on sends (id);
create unique index sends_occurrence on sends (campaign, profile_id, occurrence);
-- Claims read only this: finished work is not in it, so it costs nothing.
create index sends_claim on sends (priority, due_at, seq) where state in ('scheduled', 'deferred') and held = 0;
-- Orphans are found by this.
create index sends_lease on sends (lease_until) where state in ('leased', 'submitting');
-- Resuming a campaign reads this.
create index sends_held on sends (campaign) where held = 1;
-- Frequency caps and mail history read this.
create index sends_submitted on sends (profile_id, submitted_at) where submitted_at is not null;

-- What became of attempts other than a success at the first. The same reason at the same attempt is counted.
create table attempts (
  send_id {key} not null,
  attempt bigint not null,
  reason {key} not null,
  at bigint not null,                   -- the last time
  times bigint not null,
  state {key} not null,
  detail text not null,
  relay {key},
  primary key (send_id, attempt, reason)
){clustered};

-- Why this person got this mail; written once, before anything is rendered. Retries render from it.
create table decisions (
  send_seq bigint not null primary key, -- sends.seq
  send_id {key} not null,
  profile_id {key} not null,
  campaign {key} not null,
  at bigint not null,
  stage {key} not null,
  variant {key},                        -- null: NO SEND
  template {key},
  slice {key} not null,                 -- policy, uniform, holdout
  propensity double precision not null,
  policy {key} not null,
  policy_version {key} not null,
  body text not null                    -- JSON of decision::Decision: candidates, reasons, seed, inputs
);
create index decisions_profile on decisions (profile_id, at);
create index decisions_campaign on decisions (campaign, at);

-- Compiled templates by the hash of their content, so that a retry renders what was decided.
create table templates (
  hash {key} not null primary key,
  body text not null                    -- JSON of the compiled template
);

-- Campaigns that are not simply running.
create table campaign_states (
  campaign {key} not null primary key,
  state {key} not null,                 -- running, paused, canceled
  reason text not null,
  since bigint not null
){clustered};

-- How far planning has come: a time, or a place in the order of arrival.
create table plan_cursors (
  campaign {key} not null,
  key {key} not null,
  value text not null,
  primary key (campaign, key)
){clustered};
