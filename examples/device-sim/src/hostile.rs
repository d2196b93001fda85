//! Devices that do not belong to the fleet and try to get in as one that does, again and again. Each has
//! to be turned away: one that gets in, and one that was never answered, make the run fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::device::{World, now_ms};
use crate::fleet::{Device, Version};
use crate::ledger::Line;
use crate::link::{End, Link, Signal};
use crate::orders::Stage;
use crate::security::{Proof, Security};

/// Between two attempts of one device.
const PAUSE: Duration = Duration::from_secs(1);

/// What is wrong with a hostile device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Profile {
    /// Its certificate is of a CA that the gateway does not know
    WrongCa,
    /// Its certificate, or else its token, has come to its end
    Expired,
    /// It proves to be one device of the fleet, and uses the client id of another
    ForeignId,
    /// Its token is signed by another key, or its password is wrong
    WrongLogin,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Profile::WrongCa => "wrong-ca",
            Profile::Expired => "expired",
            Profile::ForeignId => "foreign-id",
            Profile::WrongLogin => "wrong-login",
        }
    }
}

/// One of them.
pub struct Hostile {
    /// Whose id it uses.
    device: String,
    profile: Profile,
    proof: Arc<Proof>,
    version: Version,
}

/// What became of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    profile: Profile,
    turned_away: u64,
    got_in: bool,
}

/// So many of each profile, each after a device of the fleet.
pub fn cast(
    security: &Security,
    profiles: &[Profile],
    count: u32,
    fleet: &[Device],
) -> anyhow::Result<Vec<Hostile>> {
    let mut cast = Vec::new();
    for &profile in profiles {
        for number in 0..count as usize {
            let target = &fleet[number % fleet.len()];
            let (made, missing) = match profile {
                Profile::WrongCa => {
                    (security.of_a_strange_ca(&target.id)?, "--make-ca or --certificates")
                }
                Profile::Expired => (security.expired(&target.id)?, "--make-ca or --make-tokens"),
                Profile::ForeignId => {
                    anyhow::ensure!(
                        fleet.len() > 1,
                        "--hostile foreign-id needs two devices at least: write --devices 2"
                    );
                    let other = &fleet[(number + 1) % fleet.len()];
                    let proof = security.under_foreign_id(&other.id, &target.id)?;
                    let missing =
                        "--make-ca, --make-tokens or another way for devices to prove themselves";
                    (security.proves().then_some(proof), missing)
                }
                Profile::WrongLogin => {
                    (security.of_a_strange_login(&target.id)?, "--make-tokens or a password")
                }
            };
            let proof = made
                .ok_or_else(|| anyhow::anyhow!("--hostile {} needs {missing}", profile.name()))?;
            cast.push(Hostile {
                device: target.id.clone(),
                profile,
                proof: Arc::new(proof),
                version: target.version,
            });
        }
    }
    Ok(cast)
}

impl Hostile {
    /// Tries to get in while the fleet talks, and until it was answered once; a device that is in stops
    /// there.
    pub async fn knock(self, world: World) -> Verdict {
        let mut orders = world.orders.clone();
        let mut verdict = Verdict { profile: self.profile, turned_away: 0, got_in: false };
        loop {
            let now = orders.borrow_and_update().stage;
            if now == Stage::Ended || (now == Stage::Settling && verdict.turned_away > 0) {
                return verdict;
            }
            let (device, profile) = (self.device.clone(), self.profile.name().to_owned());
            let mut link = Link::connect(&world.way, &self.proof, self.version);
            match link.next().await {
                Signal::Ended(End::Refused(why)) => {
                    verdict.turned_away += 1;
                    world.counters.hostile_turned_away.fetch_add(1, Ordering::Relaxed);
                    let (profile, at_ms) = (Some(profile), now_ms());
                    world.ledger.write(Line::TurnedAway { device, profile, why, at_ms }).await;
                }
                // Nobody was there to let it in.
                Signal::Ended(End::Unreachable(_) | End::Lost(_)) => {}
                Signal::Connected { .. } | Signal::Left(_) | Signal::Acknowledged { .. } => {
                    verdict.got_in = true;
                    world.counters.hostile_got_in.fetch_add(1, Ordering::Relaxed);
                    world
                        .counters
                        .note(&format!("a hostile device got in: {profile}"), Some(&device));
                    world.ledger.write(Line::GotIn { device, profile, at_ms: now_ms() }).await;
                    return verdict;
                }
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                _ = orders.wait_for(|orders| orders.stage != now) => {}
            }
        }
    }
}

/// All were answered, and none got in.
pub fn repelled(verdicts: &[Verdict], sent_in: usize) -> bool {
    verdicts.len() == sent_in
        && verdicts.iter().all(|verdict| verdict.turned_away > 0 && !verdict.got_in)
}

pub fn got_in(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| verdict.got_in).count()
}

/// Those that nobody answered: what would become of them is not known.
pub fn unanswered(verdicts: &[Verdict], sent_in: usize) -> usize {
    let answered = verdicts.iter().filter(|verdict| verdict.turned_away > 0 || verdict.got_in);
    sent_in - answered.count()
}

/// How often they were turned away.
pub fn turned_away(verdicts: &[Verdict]) -> BTreeMap<&'static str, u64> {
    let mut by_profile = BTreeMap::new();
    for verdict in verdicts {
        *by_profile.entry(verdict.profile.name()).or_default() += verdict.turned_away;
    }
    by_profile
}

pub fn summary(verdicts: &[Verdict], sent_in: usize) -> String {
    let by_profile = turned_away(verdicts);
    let times: Vec<String> =
        by_profile.iter().map(|(profile, times)| format!("{profile} {times}")).collect();
    let (got_in, unanswered) = (got_in(verdicts), unanswered(verdicts, sent_in));
    let mut text = format!(
        "{sent_in} hostile devices, turned away {} times ({}), {got_in} got in",
        by_profile.values().sum::<u64>(),
        times.join(", "),
    );
    if got_in > 0 {
        text.push_str(": THE GATEWAY LETS IN WHO DOES NOT BELONG; the ledger says as whom");
    }
    if unanswered > 0 {
        text.push_str(&format!(
            "\n{unanswered} hostile devices were never answered, which proves nothing: is the gateway up?"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answered_refusal_proves_something() {
        let verdict =
            |turned_away, got_in| Verdict { profile: Profile::Expired, turned_away, got_in };
        assert!(repelled(&[], 0) && repelled(&[verdict(3, false)], 1));
        assert!(!repelled(&[verdict(3, true)], 1), "it got in after a while");
        assert!(!repelled(&[verdict(0, false)], 1), "it was never answered");
        assert!(!repelled(&[verdict(3, false)], 2), "one has no verdict");
        let text = summary(&[verdict(3, false), verdict(1, true)], 3);
        assert!(text.starts_with("3 hostile devices, turned away 4 times (expired 4), 1 got in"));
        assert!(text.contains("1 hostile devices were never answered"), "{text}");
    }
}
