-- What all workers know of hosts that asked for patience.

-- Groups of recipient domains whose host answered 421 or 4.7.x. The rate grows step by step with the time since then.
create table throttles (
  domain_group {key} not null primary key,
  rate double precision not null,       -- mails per second at the last refusal
  usual double precision not null,      -- mails per second before the first one
  refused_at bigint not null
);

-- Workers that send; where they run is nobody's question.
alter table workers drop column host;
