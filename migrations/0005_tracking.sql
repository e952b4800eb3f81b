-- What people and machines do with mails, and what people want.

-- When a suppression ends by itself: somebody asked for a pause. null: it does not.
alter table suppressions add column until bigint;

-- Requests for the signed links and pixels of mails, as they came. Their class can be decided again from these rows.
create table hits (
  seq {serial},
  id {key} not null,                    -- also the id of its event
  send_id {key} not null,
  profile_id {key} not null,
  kind {key} not null,                  -- open, click, trap: a link that no person sees
  link bigint,                          -- which link of the template; null for opens and traps
  at bigint not null,
  method {key} not null,
  agent text not null,                  -- User-Agent
  prefetch text not null,               -- what the headers say of a prefetch; empty: nothing
  network {key} not null,               -- the address without its last 8 bits (IPv6: 80)
  class {key} not null,                 -- human, scanner, privacy_proxy
  reason {key} not null                 -- the rule that said so
);
create index hits_send on hits (send_id, at);
create index hits_profile on hits (profile_id);

-- Double opt-in: asked for by somebody, confirmed once by whoever reads the address.
create table consent_requests (
  id {key} not null primary key,
  profile_id {key} not null,
  address {key} not null,               -- lower case: where the question went
  source {key} not null,
  who text not null,
  wording text not null,
  requested_at bigint not null,
  expires_at bigint not null,
  confirmed_at bigint                   -- once
){clustered};
create index consent_requests_profile on consent_requests (profile_id);
