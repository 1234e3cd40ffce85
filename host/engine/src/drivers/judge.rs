//! What a component would be told of and asked for, if it were loaded: for whoever decides about it.
//!
//! Invariant: nothing is compiled, run, kept or changed, and every rule is that of the load itself.

use super::grants::Consent;
use super::trust::{Papers, Voucher};
use super::view::world_word;
use super::{Drivers, Slot};
use crate::view::{
    AskView, DifferenceView, DriverJudgement, ManifestView, RefusalView, RunningBuildView,
    SignatureView,
};
use crate::{Error, Result, driver_error};
use mica_runtime::manifest::{Ask, Profile, differences};
use mica_runtime::{Error as DriverError, Generation, Grants, Inspection, digest_of};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Drivers<'_> {
    /// Looks at a component as a load of it would.
    pub(super) fn judge_component(
        self,
        bytes: &[u8],
        papers: Papers,
        name: Option<&str>,
    ) -> Result<DriverJudgement> {
        let explain = |error| driver_error::translate("?", "look at the component", error);
        let all = self.engine.runtime.inspect(bytes, &Grants::all());
        let inspection = all.map_err(explain)?;
        let digest = digest_of(bytes);
        let manifest = inspection.manifest.as_ref();
        let said = manifest.map(|manifest| manifest.name.to_string());
        let name = name.map(str::to_owned).or_else(|| said.clone());
        let slot = name
            .as_deref()
            .and_then(|name| self.engine.registry.get(name).ok());
        let running = slot.as_ref().and_then(|slot| slot.active().ok());
        let mut judgement = DriverJudgement {
            size_bytes: bytes.len() as u64,
            world: world_word(inspection.world).to_owned(),
            contract: inspection.contract.to_string(),
            manifest: manifest.map(ManifestView::from),
            signature: SignatureView::default(),
            asks: self.asks(&inspection, name.as_deref(), &digest, slot.as_deref())?,
            needs: Vec::new(),
            step_back: None,
            refusals: inspection.refusals().filter_map(refusal).collect(),
            running: None,
            differences: Vec::new(),
            digest,
            name,
        };
        judgement
            .refusals
            .extend(self.further_refusals(&judgement, said.as_deref()));
        match self.vouch(judgement.name.as_deref(), bytes, &Voucher::Papers(papers)) {
            Ok(known) => judgement.signature = SignatureView::of(known.as_ref()),
            Err(Error::DriverUntrusted { reason, remedy }) => {
                judgement.signature = SignatureView::refused(reason.clone());
                judgement.refusals.push(RefusalView { reason, remedy });
            }
            Err(error) => return Err(error),
        }
        match (&slot, &running) {
            (Some(slot), Some(active)) => {
                self.compare(slot, &active.generation, &inspection, &mut judgement)?;
                judgement.running = Some(RunningBuildView {
                    version: active.generation.description().version.to_string(),
                    digest: active.build.digest.clone(),
                });
            }
            _ => {
                let missing = judgement.asks.iter().filter(|ask| !ask.granted);
                judgement.needs = missing.map(|ask| ask.what.clone()).collect();
            }
        }
        Ok(judgement)
    }

    fn compare(
        self,
        slot: &Arc<Slot>,
        old: &Generation,
        new: &Inspection,
        judgement: &mut DriverJudgement,
    ) -> Result<()> {
        let profile: Profile<'_> = new.profile();
        let found = differences(old.profile(), profile);
        judgement.differences = found.iter().map(DifferenceView::from).collect();
        let nothing = Consent::default();
        let more = self.unapproved(slot, old, profile, (&judgement.digest, &nothing))?;
        let missing = judgement.asks.iter().filter(|ask| !ask.granted);
        let mut needs: BTreeSet<String> = missing.map(|ask| ask.what.clone()).collect();
        needs.extend(more.iter().map(ToString::to_string));
        judgement.needs = needs.into_iter().collect();
        judgement.step_back = self.step_back(slot, old, profile);
        Ok(())
    }

    /// What it asks for beyond what every driver has.
    fn asks(
        self,
        inspection: &Inspection,
        name: Option<&str>,
        digest: &str,
        slot: Option<&Slot>,
    ) -> Result<Vec<AskView>> {
        let approved = slot.map(|slot| slot.history.lock().approved.clone());
        let approved = approved.unwrap_or_default();
        let granted = match name {
            Some(name) => self.grants_of(name, digest, &approved)?.0,
            None => Grants::standard(),
        };
        let standard = Grants::standard();
        let manifest = inspection.manifest.as_ref();
        let imported = inspection.imported().into_iter();
        let asks = imported.filter(|grant| !standard.allows(*grant) || !granted.allows(*grant));
        let asks = asks.map(|grant| AskView {
            what: Ask::Interface(grant).to_string(),
            about: grant.about().to_owned(),
            reason: manifest
                .and_then(|manifest| manifest.capabilities.get(&grant))
                .map(ToString::to_string),
            granted: granted.allows(grant) || granted.is_audited(),
        });
        Ok(asks.collect())
    }

    fn further_refusals(self, judgement: &DriverJudgement, said: Option<&str>) -> Vec<RefusalView> {
        let mut found = Vec::new();
        if let (Some(said), Some(name)) = (said, &judgement.name)
            && said != name
        {
            found.push(RefusalView {
                reason: format!("its manifest calls it `{said}`, not `{name}`"),
                remedy: format!("load it as `{said}`"),
            });
        }
        if let Some(Error::DriverRejected { reason, remedy }) =
            self.check_manifest(judgement.manifest.is_some()).err()
        {
            found.push(RefusalView { reason, remedy });
        }
        found
    }

    /// Refuses a stranger's component without a manifest where one is required.
    pub(super) fn check_manifest(self, has_manifest: bool) -> Result<()> {
        match has_manifest || !self.engine.settings.require_manifest {
            true => Ok(()),
            false => Err(Error::DriverRejected {
                reason: "it has no manifest".to_owned(),
                remedy: "add one with `mica driver manifest add`; `drivers.require_manifest` of the configuration asks for it"
                    .to_owned(),
            }),
        }
    }
}

fn refusal(error: &DriverError) -> Option<RefusalView> {
    let (reason, remedy) = error.rejection()?;
    Some(RefusalView {
        reason: reason.to_string(),
        remedy: remedy.to_string(),
    })
}
