-- People who asked to be forgotten, by keyed hashes that do not say who they are: what is named here is not taken in
-- again by accident.
create table tombstones (
  print {key} not null primary key,     -- src/store/fingerprint.rs: of an id or of an address in lower case
  kind {key} not null,                  -- profile, address
  at bigint not null
){clustered};
