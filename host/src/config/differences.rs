//! In what two configurations differ.
//!
//! Invariant: a setting that counts only from the next start on is never left out.

use super::Config;

impl Config {
    /// Settings that are others than before, but for `log`.
    pub(crate) fn differences(&self, before: &Self) -> Vec<String> {
        let (engine, old) = (&self.engine, &before.engine);
        let parts = [
            ("root", engine.root == old.root),
            ("run_dir", engine.run_dir == old.run_dir),
            ("driver", engine.selection.named == old.selection.named),
            (
                "prior_drivers",
                engine.selection.prior == old.selection.prior,
            ),
            ("durability", engine.durability == old.durability),
            ("bake_seconds", engine.bake == old.bake),
            ("slow_call_seconds", engine.slow_call == old.slow_call),
            ("scrub", engine.scrub == old.scrub),
            ("max_depth", engine.max_depth == old.max_depth),
            (
                "drivers",
                engine.grants == old.grants
                    && engine.grants_file == old.grants_file
                    && engine.require_manifest == old.require_manifest
                    && engine.driver_depths == old.driver_depths
                    && engine.trust == old.trust,
            ),
            ("socket", self.socket == before.socket),
            ("tcp", self.tcp == before.tcp),
            ("metrics", self.metrics == before.metrics),
            ("telemetry", self.telemetry == before.telemetry),
            ("drivers_dir", self.drivers_dir == before.drivers_dir),
            ("docker", self.docker == before.docker),
            ("containerd", self.containerd == before.containerd),
        ];
        let parts = parts.into_iter().filter(|(_, is_same)| !is_same);
        let numbers = |config: &Self| {
            let limits = config
                .limits
                .numbers()
                .into_iter()
                .map(|one| ("limits", one));
            let api = config.api.numbers().into_iter().map(|one| ("api", one));
            limits.chain(api).collect::<Vec<_>>()
        };
        let numbers = numbers(self).into_iter().zip(numbers(before));
        let numbers = numbers.filter(|(one, other)| one != other);
        parts
            .map(|(name, _)| name.to_owned())
            .chain(numbers.map(|((section, one), _)| format!("{section}.{}", one.name)))
            .collect()
    }
}
