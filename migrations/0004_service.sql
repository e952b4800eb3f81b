-- What the HTTP service keeps.

-- Keys of programs that may ask for things. The secret itself is never kept.
create table api_keys (
  id {key} not null primary key,        -- the part of the key that may be shown
  name text not null,                   -- for people
  secret_hash {key} not null,           -- SHA-256 of the whole key, hex
  scopes text not null,                 -- space-separated
  created_at bigint not null,
  revoked_at bigint
);

-- Who people without a name turned out to be: what comes under the anonymous id belongs to the profile.
create table aliases (
  alias_id {key} not null primary key,  -- anon:…
  profile_id {key} not null,
  at bigint not null
);
create index aliases_profile on aliases (profile_id);
