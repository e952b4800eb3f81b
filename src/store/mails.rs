//! What profiles were sent, and what came of it.

use std::collections::HashMap;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::args;
use super::packed::Packed;
use super::profiles::id_rows;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::clock::from_millisecond;
use crate::decision::VariantId;
use crate::history::MAILS_PER_PROFILE_MAX;
use crate::history::Mail;
use crate::profile::ProfileId;
use crate::send::SendId;

/// `$1` profiles, `$2` how many mails each.
pub(super) const MAILS_SQL: &str = "select value->>0, (
       select string_agg(format('%s:%s%s:%s%s:%s%s:%s%s:%s%s:%s:%s:', octet_length(m.id), m.id,
         octet_length(m.campaign), m.campaign, octet_length(m.kind), m.kind, octet_length(m.variant), m.variant,
         octet_length(m.products), m.products, m.submitted_at, m.opened_at, m.clicked_at), '')
       from (
         select id, campaign, kind, coalesce(variant, '') as variant, coalesce(products, '[]') as products,
           submitted_at, opened_at, clicked_at
         from sends
         where profile_id = value->>0 and submitted_at is not null and state in ('sent', 'unknown')
         order by submitted_at desc, seq desc limit cast($2 as bigint)
       ) as m
     )
     from {rows}";

impl Store {
    /// The mails that these profiles got, or may have got, newest first, at most [`MAILS_PER_PROFILE_MAX`] each. A
    /// profile without any has no entry.
    pub async fn mails_of(&self, profiles: &[ProfileId]) -> Result<HashMap<ProfileId, Vec<Mail>>, Error> {
        let mut found = HashMap::with_capacity(profiles.len());
        for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<(String, Option<String>)> =
                self.pools.all(MAILS_SQL, args![id_rows(chunk), MAILS_PER_PROFILE_MAX]).await?;
            for (profile, list) in rows {
                let mails = list.map_or(Ok(Vec::new()), |list| read_list(&profile, &list))?;
                if !mails.is_empty() {
                    found.insert(
                        ProfileId::parse(&profile).map_err(|fault| unreadable(&profile, fault))?,
                        mails,
                    );
                }
            }
        }
        Ok(found)
    }
}

fn read_list(profile: &str, list: &str) -> Result<Vec<Mail>, Error> {
    let mut mails = Vec::new();
    let mut packed = Packed::new(list);
    while !packed.is_empty() {
        mails.push(read_packed(&mut packed).map_err(|fault| unreadable(profile, fault))?);
    }
    Ok(mails)
}

fn read_packed(packed: &mut Packed<'_>) -> Result<Mail, String> {
    let (id, campaign, kind) = (packed.text()?, packed.text()?, packed.text()?);
    let (variant, products) = (packed.text()?, packed.text()?);
    Ok(Mail {
        send: SendId::parse(id).ok_or_else(|| format!("the id {id} is not 32 hex digits"))?,
        campaign: CampaignId(campaign.to_owned()),
        kind: if kind == Kind::Transactional.as_str() { Kind::Transactional } else { Kind::Lifecycle },
        variant: VariantId::new(variant),
        products: serde_json::from_str(products).map_err(|fault| format!("send {id}: {fault}"))?,
        at: packed.number()?.map(from_millisecond).ok_or("a mail without a time")?,
        opened_at: packed.number()?.map(from_millisecond),
        clicked_at: packed.number()?.map(from_millisecond),
    })
}

fn unreadable(key: &str, fault: impl std::fmt::Display) -> Error {
    Error::unreadable("sends", key, fault)
}
