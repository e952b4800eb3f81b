-- What other systems are told.

insert into counters (name, value) values ('outcome_log', 0);

-- What became of attempts, in order of arrival; written only while webhooks are configured, and emptied as it is read.
create table outcome_log (
  seq bigint not null primary key,
  send_id {key} not null,
  state {key} not null,
  reason {key} not null,
  detail text not null,
  at bigint not null
);

-- How far each receiver has been told, in the order of arrival of each source.
create table webhook_cursors (
  endpoint {key} not null,              -- a hash of its address
  source {key} not null,                -- events, outcome_log
  place bigint not null,
  primary key (endpoint, source)
){clustered};

-- Messages that were not taken yet.
create table webhook_messages (
  endpoint {key} not null,
  id {key} not null,                    -- webhook-id: what happened once is one message
  kind {key} not null,
  profile_id {key} not null,            -- whom it is about
  body text not null,                   -- JSON, as it is signed
  place bigint not null,                -- in the order of arrival of its source
  created_at bigint not null,
  attempt bigint not null,
  due_at bigint not null,
  fault text,                           -- why the last attempt failed
  primary key (endpoint, id)
){clustered};
create index webhook_messages_due on webhook_messages (endpoint, due_at, place);
