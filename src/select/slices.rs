//! Which slice of the traffic a profile is in, by stable hash: holdout, uniform, policy.

use sha2::Digest as _;
use sha2::Sha256;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::decision::Slice;
use crate::profile::ProfileId;

/// A number in [0, 1) that is the same for this profile in this experiment for ever, and independent of every
/// other experiment.
pub fn position(profile: &ProfileId, experiment: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update((experiment.len() as u64).to_be_bytes());
    hash.update(experiment.as_bytes());
    hash.update(profile.as_str().as_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
    let position = (u64::from_be_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64;
    position
}

/// Whether a profile is held out of all lifecycle campaigns alike.
pub fn is_held_out_of_all(profile: &ProfileId, global_holdout_percent: f64) -> bool {
    position(profile, "holdout/all") * 100.0 < global_holdout_percent
}

/// The slice of a profile in a campaign. `global_holdout_percent` is held out of all lifecycle campaigns alike;
/// transactional mail is never held out.
pub fn slice(campaign: &Campaign, profile: &ProfileId, global_holdout_percent: f64) -> Slice {
    if campaign.kind == Kind::Transactional {
        return Slice::Policy;
    }
    if is_held_out_of_all(profile, global_holdout_percent) {
        return Slice::Holdout;
    }
    let own = position(profile, &format!("campaign/{}", campaign.id)) * 100.0;
    if own < campaign.holdout_percent {
        Slice::Holdout
    } else if own < campaign.holdout_percent + campaign.uniform_percent {
        Slice::Uniform
    } else {
        Slice::Policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(kind: &str) -> Campaign {
        let mut campaign: Campaign = toml::from_str(&format!(
            "kind = {kind:?}\ntrigger = {{ api = {{}} }}\nholdout_percent = 10.0\nuniform_percent = 20.0"
        ))
        .unwrap();
        campaign.id.0 = "journey".to_owned();
        campaign
    }

    fn profiles() -> impl Iterator<Item = ProfileId> {
        (0..20_000).map(|i| ProfileId::parse(&format!("p{i}")).unwrap())
    }

    #[test]
    fn slices_have_the_stated_sizes_and_stay_what_they_are() {
        let campaign = campaign("lifecycle");
        let count = |wanted| profiles().filter(|p| slice(&campaign, p, 5.0) == wanted).count();
        let (holdout, uniform) = (count(Slice::Holdout), count(Slice::Uniform));
        assert!((2_750..3_050).contains(&holdout), "{holdout}"); // 5 % + 95 % × 10 % = 14.5 %
        assert!((3_650..3_950).contains(&uniform), "{uniform}"); // 95 % × 20 % = 19 %
        assert!(profiles().all(|p| slice(&campaign, &p, 5.0) == slice(&campaign, &p, 5.0)));
    }

    #[test]
    fn transactional_mail_is_never_held_out() {
        let campaign = campaign("transactional");
        assert!(profiles().all(|p| slice(&campaign, &p, 100.0) == Slice::Policy));
    }
}
