//! How a decision is kept: the same JSON, but its candidates in a fraction of the space.
//!
//! Candidates are most of a decision, and their names most of them. Those of one score and probability stand together
//! in one list: both numbers, the first name, then of each further name how many bytes it shares with the one before
//! it, a colon, and the rest: `[1.0,0.25,"journey/compare/a+tone=calm","26:warm"]`.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use serde::ser::SerializeSeq as _;
use serde_json::Value;

use super::Candidate;
use super::Choice;
use super::Decision;
use super::RuledOut;
use super::Scoring;
use super::Slice;
use super::VariantId;
use super::Withdrawn;
use crate::campaign::CampaignId;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::stage::Stage;

/// Every field of a [`Decision`], which reads this back.
#[derive(Debug, Serialize)]
pub struct StoredDecision<'a> {
    send: &'a SendId,
    campaign: &'a CampaignId,
    profile: &'a ProfileId,
    at: Timestamp,
    stage: Stage,
    stage_reason: &'a str,
    choice: &'a Choice,
    propensity: f64,
    slice: Slice,
    #[serde(serialize_with = "write_candidates")]
    candidates: &'a [Candidate],
    ruled_out: &'a [RuledOut],
    reasons: &'a [String],
    policy: &'a str,
    policy_version: &'a str,
    catalog_version: &'a str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn_at: Option<f64>,
    #[serde(skip_serializing_if = "<[Withdrawn]>::is_empty")]
    withdrawn: &'a [Withdrawn],
    #[serde(skip_serializing_if = "Option::is_none")]
    scoring: Option<&'a Scoring>,
    inputs: &'a Value,
}

impl<'a> From<&'a Decision> for StoredDecision<'a> {
    fn from(decision: &'a Decision) -> Self {
        // Taken apart by name, so that no field can be forgotten.
        let Decision {
            send,
            campaign,
            profile,
            at,
            stage,
            stage_reason,
            choice,
            propensity,
            slice,
            candidates,
            ruled_out,
            reasons,
            policy,
            policy_version,
            catalog_version,
            seed,
            drawn_at,
            withdrawn,
            scoring,
            inputs,
        } = decision;
        Self {
            send,
            campaign,
            profile,
            at: *at,
            stage: *stage,
            stage_reason,
            choice,
            propensity: *propensity,
            slice: *slice,
            candidates,
            ruled_out,
            reasons,
            policy,
            policy_version,
            catalog_version,
            seed: *seed,
            drawn_at: *drawn_at,
            withdrawn,
            scoring: scoring.as_ref(),
            inputs,
        }
    }
}

fn write_candidates<S: Serializer>(candidates: &&[Candidate], serializer: S) -> Result<S::Ok, S::Error> {
    let alike = |one: &Candidate, other: &Candidate| {
        one.score.to_bits() == other.score.to_bits()
            && one.probability.to_bits() == other.probability.to_bits()
    };
    serializer.collect_seq(candidates.chunk_by(alike).map(Alike))
}

/// Candidates of one score and one probability, at least one.
struct Alike<'a>(&'a [Candidate]);

impl Serialize for Alike<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((first, others)) = self.0.split_first() else { return serializer.serialize_unit() };
        let mut list = serializer.serialize_seq(Some(self.0.len() + 2))?;
        list.serialize_element(&first.score)?;
        list.serialize_element(&first.probability)?;
        list.serialize_element(&first.variant)?;
        let mut before = first.variant.as_str();
        let (mut digits, mut short) = (itoa::Buffer::new(), String::new());
        for candidate in others {
            let name = candidate.variant.as_str();
            let shared = name.floor_char_boundary(shared_bytes(before, name));
            short.clear();
            short.extend([digits.format(shared), ":", &name[shared..]]);
            list.serialize_element(&short)?;
            before = name;
        }
        list.end()
    }
}

/// Eight at a time, then one by one.
fn shared_bytes(one: &str, other: &str) -> usize {
    let (words, _) = one.as_bytes().as_chunks::<8>();
    let (other_words, _) = other.as_bytes().as_chunks::<8>();
    let alike = 8 * words.iter().zip(other_words).take_while(|(one, other)| one == other).count();
    let rest = one.bytes().skip(alike).zip(other.bytes().skip(alike));
    alike + rest.take_while(|(one, other)| one == other).count()
}

/// The candidates of a decision as they are kept, for whoever reads nothing else of it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct KeptCandidates(#[serde(deserialize_with = "read_candidates")] pub Vec<Candidate>);

/// Reads candidates, kept in lists or written out.
pub(super) fn read_candidates<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Candidate>, D::Error> {
    let groups = Vec::<Group>::deserialize(deserializer)?;
    Ok(groups.into_iter().flat_map(|group| group.0).collect())
}

/// One candidate that is written out, or several that are alike.
struct Group(Vec<Candidate>);

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GroupVisitor)
    }
}

struct GroupVisitor;

impl<'de> Visitor<'de> for GroupVisitor {
    type Value = Group;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a candidate, or a list of a score, a probability and names")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Group, A::Error> {
        Candidate::deserialize(MapAccessDeserializer::new(map)).map(|candidate| Group(vec![candidate]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Group, A::Error> {
        let missing = || A::Error::custom("a list of candidates without score and probability");
        let score = list.next_element()?.ok_or_else(missing)?;
        let probability = list.next_element()?.ok_or_else(missing)?;
        let mut candidates: Vec<Candidate> = Vec::new();
        while let Some(written) = list.next_element::<String>()? {
            let name = match candidates.last() {
                None => written,
                Some(before) => rejoined(before.variant.as_str(), &written)
                    .ok_or_else(|| A::Error::custom(format!("`{written}` continues no name")))?,
            };
            candidates.push(Candidate { variant: VariantId::new(name), score, probability });
        }
        Ok(Group(candidates))
    }
}

fn rejoined(before: &str, written: &str) -> Option<String> {
    let (shared, rest) = written.split_once(':')?;
    Some([before.get(..shared.parse().ok()?)?, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, score: f64, probability: f64) -> Candidate {
        Candidate { variant: VariantId::new(name), score, probability }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept(#[serde(serialize_with = "write", deserialize_with = "read_candidates")] Vec<Candidate>);

    fn write<S: Serializer>(candidates: &[Candidate], serializer: S) -> Result<S::Ok, S::Error> {
        write_candidates(&candidates, serializer)
    }

    #[test]
    fn candidates_come_back_as_they_were() {
        for (candidates, expected) in [
            (vec![], "[]"),
            (
                vec![
                    candidate("a/b+tone=calm", 1.0, 0.25),
                    candidate("a/b+tone=warm", 1.0, 0.25),
                    candidate("é", 1.0, 0.25),
                    candidate("è:1", 1.0, 0.25),
                    candidate("no_send", 0.0, 0.0),
                ],
                r#"[[1.0,0.25,"a/b+tone=calm","9:warm","0:é","0:è:1"],[0.0,0.0,"no_send"]]"#,
            ),
            (
                vec![candidate("a", 0.1 + 0.2, 1e-9), candidate("a", 0.3, 1e-9)],
                r#"[[0.30000000000000004,1e-9,"a"],[0.3,1e-9,"a"]]"#,
            ),
        ] {
            let kept = Kept(candidates);
            let text = serde_json::to_string(&kept).unwrap();
            assert_eq!(text, expected);
            assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
        }
    }

    #[test]
    fn candidates_that_are_written_out_are_read_too() {
        let text = r#"[{"variant":"a","score":1.0,"probability":0.5},[2.0,0.5,"b"]]"#;
        let expected = vec![candidate("a", 1.0, 0.5), candidate("b", 2.0, 0.5)];
        assert_eq!(serde_json::from_str::<Kept>(text).unwrap(), Kept(expected));
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        for text in
            ["[[]]", "[[1.0]]", r#"[[1.0,0.5,"a","2:b"]]"#, r#"[[1.0,0.5,"a","b"]]"#, "[1]", "[[1.0,0.5,3]]"]
        {
            assert!(serde_json::from_str::<Kept>(text).is_err(), "{text}");
        }
    }
}
