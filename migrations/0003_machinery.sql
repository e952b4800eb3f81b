-- What workers share.

-- Fitted models; the newest of a kind is used.
create table models (
  kind {key} not null,
  version {key} not null,
  created_at bigint not null,
  body text not null,                   -- JSON
  primary key (kind, version)
);
create index models_newest on models (kind, created_at);

-- Shared rates (GCRA): the theoretical arrival time of the next slot, microseconds since the Unix epoch.
create table limits (
  key {key} not null primary key,
  arrival_us bigint not null
);

-- Workers that are, or were, alive.
create table workers (
  id {key} not null primary key,
  host text not null,
  started_at bigint not null,
  seen_at bigint not null
);
