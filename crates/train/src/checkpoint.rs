//! A run's state on disk, from which `--resume` goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::fit::{Best, Epoch, Run};
use nn::Params;

/// What a checkpoint says besides its tensors.
#[derive(Serialize, Deserialize)]
struct State {
    about: BTreeMap<String, String>,
    steps: u32,
    history: Vec<Epoch>,
    best_epoch: usize,
    best_loss: f64,
}

/// The state file.
const CHECKPOINT_STATE: &str = "checkpoint.json";
const CHECKPOINT_TENSORS: &str = "checkpoint.safetensors";

/// Whether there is a checkpoint in `folder`.
pub(super) fn exists(folder: &Path) -> bool {
    folder.join(CHECKPOINT_STATE).exists()
}

impl Run {
    /// Both files are written beside their final places and renamed, tensors first: the state
    /// file names the tensors' steps, so a crash between the two is seen at load.
    pub(super) fn save(
        &self,
        folder: &Path,
        params: &Params,
        about: &BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let (optimizer, _) = self.optimizer.state()?;
        let best = self.best.as_ref();
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        let mut put = |kind: &str, values: &BTreeMap<String, Tensor>| {
            tensors.extend(values.iter().map(|(name, t)| (format!("{kind}/{name}"), t.clone())));
        };
        put("params", &params.snapshot()?);
        put("average", self.average.values());
        put("optimizer", &optimizer);
        if let Some(best) = best {
            put("best", &best.values);
        }
        tensors.insert("steps".to_string(), Tensor::new(self.steps, &Device::Cpu)?);
        let state = State {
            about: about.clone(),
            steps: self.steps,
            history: self.history.clone(),
            best_epoch: best.map_or(0, |b| b.epoch),
            best_loss: best.map_or(f64::INFINITY, |b| b.loss),
        };
        let new = folder.join(format!("{CHECKPOINT_TENSORS}.new"));
        safetensors::serialize_to_file(tensors, None, &new)?;
        std::fs::rename(&new, folder.join(CHECKPOINT_TENSORS))?;
        let new = folder.join(format!("{CHECKPOINT_STATE}.new"));
        std::fs::write(&new, serde_json::to_vec_pretty(&state)?)?;
        std::fs::rename(&new, folder.join(CHECKPOINT_STATE))?;
        Ok(())
    }

    pub(super) fn load(
        &mut self,
        folder: &Path,
        params: &Params,
        about: &BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        let file = folder.join(CHECKPOINT_STATE);
        let state: State = serde_json::from_slice(&std::fs::read(&file)?)
            .with_context(|| format!("{} is no checkpoint of this program", file.display()))?;
        let names: BTreeSet<&String> = about.keys().chain(state.about.keys()).collect();
        let other: Vec<&str> = names
            .into_iter()
            .filter(|name| about.get(*name) != state.about.get(*name))
            .map(String::as_str)
            .collect();
        ensure!(
            other.is_empty(),
            "the checkpoint in {} was made with other {}; resume with the same, or train without --resume",
            folder.display(),
            other.join(" and ")
        );
        let tensors = candle_core::safetensors::load(folder.join(CHECKPOINT_TENSORS), &Device::Cpu)?;
        let steps = tensors.get("steps").map(|t| t.to_scalar::<u32>()).transpose()?;
        ensure!(steps == Some(state.steps), "the checkpoint in {} is torn", folder.display());
        let part = |kind: &str| -> BTreeMap<String, Tensor> {
            let prefix = format!("{kind}/");
            let named = tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_string(), t.clone())));
            named.collect()
        };
        params.restore(&part("params"))?;
        self.optimizer.restore(&part("optimizer"), state.steps)?;
        self.average.restore(part("average"));
        self.steps = state.steps;
        self.history = state.history;
        self.best = Some(Best { epoch: state.best_epoch, loss: state.best_loss, values: part("best") });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::fit::tests::{Line, Points, options};
    use crate::fit::{FitOptions, Session, fit};

    fn run(folder: &Path, resume: bool, data: &str, options: &FitOptions) -> anyhow::Result<Vec<Epoch>> {
        let mut params = Params::fresh(0);
        let network = Line::new(&mut params);
        let stop = AtomicBool::new(false);
        let about = BTreeMap::from([("data".to_string(), data.to_string())]);
        let checkpoint = Some(folder.to_path_buf());
        let session = Session { stop: &stop, checkpoint, resume, about, progress: false };
        fit(&network, &params, &Points::new(1), &Points::new(1), 2, options, &session)
    }

    #[test]
    fn a_checkpoint_is_gone_on_from_only_by_the_run_that_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("checkpoint");
        let error =
            |data: &str, options: &FitOptions| format!("{:#}", run(&place, true, data, options).unwrap_err());
        // Where there is none, the run begins at the beginning.
        let first = run(&place, true, "hearts", &options()).unwrap();
        assert_eq!(run(&place, true, "hearts", &options()).unwrap().len(), first.len());
        assert!(error("lungs", &options()).contains("was made with other data;"));
        let faster = FitOptions { learning_rate: 0.5, ..options() };
        assert!(error("hearts", &faster).contains("was made with other settings;"));
        assert!(error("lungs", &faster).contains("was made with other data and settings;"));
        assert!(run(&place, false, "lungs", &faster).is_ok(), "without --resume it is written over");
    }

    #[test]
    fn a_torn_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |folder: &Path| format!("{:#}", run(folder, true, "hearts", &options()).unwrap_err());
        run(folder.path(), false, "hearts", &options()).unwrap();
        let file = folder.path().join(CHECKPOINT_STATE);
        let mut state: State = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        state.steps += 1;
        std::fs::write(&file, serde_json::to_vec(&state).unwrap()).unwrap();
        let said = error(folder.path());
        assert!(said.contains("is torn"), "{said}");
        std::fs::write(&file, "{}").unwrap();
        let said = error(folder.path());
        assert!(said.contains("no checkpoint of this program"), "{said}");
        run(folder.path(), false, "hearts", &options()).unwrap();
        std::fs::write(folder.path().join(CHECKPOINT_TENSORS), "torn").unwrap();
        let said = error(folder.path());
        assert!(said.contains(&format!("the checkpoint in {}", folder.path().display())), "{said}");
    }
}
