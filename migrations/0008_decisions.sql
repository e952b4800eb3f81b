-- What was chosen for other channels than mail. Rewarded by events of the same person that name it in decision_id.
create table web_decisions (
  id {key} not null primary key,
  profile_id {key} not null,
  campaign {key} not null,
  at bigint not null,
  channel {key} not null,               -- web
  variant {key},                        -- null: nothing
  propensity double precision not null,
  body text not null                    -- JSON of decision::Decision, without what it was made from
){clustered};
create index web_decisions_profile on web_decisions (profile_id, at);
create index web_decisions_campaign on web_decisions (campaign, at);
