-- What the learning policy needs to be scored again.

-- What the variants of a catalogue were, apart from their words. Decisions name the catalogue's version.
create table catalogs (
  version {key} not null primary key,
  traits text not null                  -- JSON of select::features::CampaignTraits
);
