-- People, what they did, and what may be shown to them.
--
-- One set of migrations for SQLite and PostgreSQL. Times are milliseconds since the Unix epoch, ids are text, JSON is
-- text. src/store/dialect.rs says what {key}, {serial} and {clustered} stand for; lines between `-- postgres:` and `-- end`
-- are for PostgreSQL only. Everything about a person is keyed by profile_id.

-- postgres:
-- The clock that decides due times, leases and rates, in milliseconds and microseconds. Tests replace it by one that
-- they move by hand.
create function bespoke_now() returns bigint language sql stable as
$$ select floor(extract(epoch from statement_timestamp()) * 1000)::bigint $$;
create function bespoke_now_us() returns bigint language sql stable as
$$ select floor(extract(epoch from statement_timestamp()) * 1000000)::bigint $$;
-- end

-- A person we may write to.
create table profiles (
  id {key} not null primary key,        -- the customer's own id of this person
  address text,                         -- where mail goes, as it is written
  address_key {key},                    -- the same in lower case: suppressions are found by it
  traits text not null,                 -- JSON object
  locale text,
  time_zone text,
  consent {key} not null,               -- unknown, granted, withdrawn
  created_at bigint not null,
  updated_at bigint not null
);
create index profiles_address on profiles (address_key) where address_key is not null;

-- Proof of consent, never changed: who said what, when, where, and to which words.
create table consents (
  profile_id {key} not null,
  at bigint not null,
  status {key} not null,                -- granted, withdrawn
  source {key} not null,                -- form, import, api, unsubscribe link …
  who text not null,                    -- who said it: the person, an operator, an IP address
  wording text not null,                -- the words agreed to, or their version
  primary key (profile_id, at, status, source)
);

-- The last number given out in each order of arrival (src/store/arrival.rs).
create table counters (
  name {key} not null primary key,
  value bigint not null
);
insert into counters (name, value) values ('events', 0), ('stage_transitions', 0);

-- What profiles did. On SQLite the rows of one profile stand together, because they are read together.
create table events (
  profile_id {key} not null,
  at bigint not null,
  id {key} not null,                    -- message id: the same id of the same profile is the same event
  seq bigint not null,                  -- order of arrival
  name {key} not null,
  properties text not null,             -- JSON object
  primary key (profile_id, at, id)
){clustered};
create unique index events_id on events (profile_id, id);
create index events_arrival on events (seq, name);

-- What may be shown and bought.
create table products (
  id {key} not null primary key,
  body text not null,                   -- JSON of product::Product
  updated_at bigint not null
);

-- What goes well with a product, best first by score.
create table neighbours (
  product_id {key} not null,
  neighbour_id {key} not null,
  score double precision not null,
  primary key (product_id, neighbour_id)
){clustered};

-- Where a profile stands now, and why.
create table stages (
  profile_id {key} not null primary key,
  stage {key} not null,                 -- discover, educate, compare, purchase
  reason text not null,
  since bigint not null
){clustered};

-- How it came there. The funnel report reads this, and campaigns start by it.
create table stage_transitions (
  seq bigint not null primary key,      -- order of arrival
  profile_id {key} not null,
  from_stage {key},                     -- null: never placed before
  to_stage {key} not null,
  at bigint not null,
  reason text not null
);
create unique index stage_transitions_profile on stage_transitions (profile_id, at, to_stage);
create index stage_transitions_stage on stage_transitions (to_stage, seq);

-- Addresses that must not be written to. topic: * for everything, lifecycle for all but transactional, or a topic.
create table suppressions (
  address {key} not null,               -- lower case
  topic {key} not null,
  reason {key} not null,                -- hard_bounce, soft_bounces, complaint, unsubscribe, manual, erased
  at bigint not null,
  send_id {key},                        -- the send whose bounce, complaint or link it came by
  primary key (address, topic)
){clustered};

-- Bounces of addresses that exist (mailbox full …): N of them within 30 days suppress lifecycle mail.
create table soft_bounces (
  address {key} not null,               -- lower case
  send_id {key} not null,
  at bigint not null,
  primary key (address, send_id)
){clustered};

-- Codes of unique offers. One profile gets one code of an offer, and no code goes to two.
create table coupons (
  offer {key} not null,
  code {key} not null,
  profile_id {key},                     -- null while the code is free
  claimed_at bigint,
  primary key (offer, code)
){clustered};
create unique index coupons_profile on coupons (offer, profile_id) where profile_id is not null;
create index coupons_free on coupons (offer, code) where profile_id is null;
