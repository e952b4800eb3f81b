-- Consent that came by a mailed link was given at the address that the link went to, and at no other.
alter table consents add column address {key};  -- lower case: where the link went; none where no link was mailed
update consents set address = (select p.address_key from profiles as p where p.id = consents.profile_id)
where source in ('confirmation link', 'preferences link') and not exists (
  select 1 from consents as later where later.profile_id = consents.profile_id and later.at > consents.at);

-- What is asked with a key that anybody can read must not use up what programs may ask.
alter table consent_requests add column trust {key} not null default 'full';  -- full, public
