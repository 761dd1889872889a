//! What an operator tells one plugin, and what its breakers do: reload, disable, enable, go back, push.

use std::{path::Path, sync::Arc, time::Instant};

use gantry_base::{disk::RealDisk, durable};

use super::{Entry, Tools};
use crate::{
    code::{self, Code},
    history::What,
    loader::Pushed,
    refusal::Refusal,
    signature,
    version::Version,
    watch::Fingerprint,
};

impl Entry {
    pub(crate) fn reload(&mut self, tools: &Tools, old: &mut Vec<Arc<Version>>) -> Result<String, String> {
        if self.state.disabled {
            return Err("it is disabled; `gantry plugin enable` puts it back in service".to_owned());
        }
        match (self.refresh(tools, old, true), self.wanted.plugin.current()) {
            (None, Some(version)) => Ok(version.label.clone()),
            (refusal, _) => Err(refusal.unwrap_or_else(|| "nothing is in service".to_owned())),
        }
    }

    pub(crate) fn disable(&mut self, tools: &Tools, old: &mut Vec<Arc<Version>>) -> Result<String, String> {
        let plugin = self.wanted.plugin.clone();
        if self.state.disabled {
            return Ok(format!("{} was disabled before", plugin.name()));
        }
        self.state.disabled = true;
        plugin.set_disabled(true);
        let version = plugin.swap(None);
        if let Some(version) = &version {
            self.keep(tools, version.code.clone());
        }
        self.note(What::Disabled, version.as_ref().map(|version| version.code.sha256.clone()), None);
        old.extend(version);
        tracing::warn!(plugin = plugin.name(), "plugin disabled");
        Ok(format!("{} is disabled", plugin.name()))
    }

    pub(crate) fn enable(&mut self, tools: &Tools, old: &mut Vec<Arc<Version>>) -> Result<String, String> {
        let plugin = self.wanted.plugin.clone();
        if self.state.disabled {
            self.state.disabled = false;
            plugin.set_disabled(false);
            self.note(What::Enabled, None, None);
            self.seen = None;
            if let Some(former) = self.former.pop_back().and_then(|former| self.code_of(tools, &former)) {
                // What served when it was disabled serves again; the file may have moved on, and is looked at next.
                let wiring = self.wiring();
                match self.prepare(tools, former, &wiring) {
                    Ok(fit) => self.put_in_service(tools, old, fit, What::InService, None),
                    Err(refusal) => plugin.set_refusal(Some(&refusal)),
                }
            }
            self.refresh(tools, old, false);
        }
        match plugin.current() {
            Some(version) => Ok(version.label.clone()),
            None => Err(plugin.last_refusal().unwrap_or_else(|| "nothing is in service".to_owned())),
        }
    }

    pub(crate) fn rollback(
        &mut self,
        tools: &Tools,
        old: &mut Vec<Arc<Version>>,
        to: Option<&str>,
    ) -> Result<String, String> {
        let place = match to {
            None => self.former.len().checked_sub(1),
            Some(hash) => self.former.iter().rposition(|former| !hash.is_empty() && former.sha256.starts_with(hash)),
        };
        let former = place.and_then(|place| self.former.get(place));
        let Some(code) = former.and_then(|former| self.code_of(tools, former)) else {
            let kept: Vec<&str> = self.former.iter().map(|former| code::short(&former.sha256)).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            return Err(format!("no such version is kept to go back to; kept are {kept}"));
        };
        self.go_back(tools, old, code, What::RolledBack, None).map_err(|refusal| refusal.to_string())
    }

    /// Puts pushed bytes in service, then writes them to the plugin's file, so that a restart finds them.
    pub(crate) fn push(
        &mut self,
        tools: &Tools,
        old: &mut Vec<Arc<Version>>,
        pushed: &Pushed,
    ) -> Result<String, String> {
        if self.state.disabled {
            return Err("it is disabled; `gantry plugin enable` puts it back in service".to_owned());
        }
        let file = self.wanted.spec.file.clone();
        let beside = signature::signature_file(&file);
        let serving = self.wanted.plugin.current();
        let checked = signature::check_bytes(&tools.options, &beside, &pushed.bytes, Ok(pushed.signature.clone()));
        let fit = checked
            .and_then(|()| self.code_from(tools, serving.as_deref(), &pushed.bytes, true))
            .and_then(|code| self.prepare(tools, code, &self.wiring()));
        let fit = match fit {
            Ok(fit) => fit,
            Err(refusal) => {
                self.note(What::Refused, None, Some(format!("pushed: {refusal}")));
                return Err(refusal.to_string());
            }
        };
        let label = fit.version.label.clone();
        self.put_in_service(tools, old, fit, What::InService, Some("pushed".to_owned()));
        self.wanted.plugin.set_refusal(None);
        let write = |path: &Path, bytes: &[u8]| durable::replace(&RealDisk, path, bytes, false);
        // The signature first: what the watcher finds in between is the old file under a signature that is not its own, which
        // leaves the new version serving.
        let signed = pushed.signature.as_ref().map_or(Ok(()), |signature| write(&beside, signature));
        if let Err(error) = signed.and_then(|()| write(&file, &pushed.bytes)) {
            return Err(format!(
                "{label} serves, but it could not be written to {}: {error}; a restart loads what is there",
                file.display()
            ));
        }
        (self.seen, self.settling) = (Some(Fingerprint::of(&file)), None);
        Ok(label)
    }

    /// A breaker opened while `sha256` served: within its probation the version before takes over.
    pub(crate) fn tripped(&mut self, tools: &Tools, old: &mut Vec<Arc<Version>>, sha256: &str, fault: &str) {
        let serves = self.wanted.plugin.current().is_some_and(|version| version.code.sha256 == sha256);
        let on_probation = self.probation.is_some_and(|until| Instant::now() < until);
        if !serves || !on_probation {
            return;
        }
        let Some(code) = self.former.back().and_then(|former| self.code_of(tools, former)) else { return };
        let name = self.wanted.plugin.name().to_owned();
        match self.go_back(tools, old, code, What::FailedProbation, Some(fault.to_owned())) {
            Ok(label) => {
                tracing::error!(
                    plugin = name,
                    "a new version failed on probation, {label} serves again; last fault: {fault}"
                );
            }
            Err(refusal) => {
                tracing::error!(
                    plugin = name,
                    "a new version failed on probation, and the one before cannot serve: {refusal}"
                );
            }
        }
        tools.news.announce();
    }

    /// Puts `code` back in service; what serves now is not loaded again by itself.
    fn go_back(
        &mut self,
        tools: &Tools,
        old: &mut Vec<Arc<Version>>,
        code: Arc<Code>,
        what: What,
        detail: Option<String>,
    ) -> Result<String, Refusal> {
        let wiring = self.wiring();
        let fit = self.prepare(tools, code, &wiring)?;
        let label = fit.version.label.clone();
        if let Some(bad) = self.wanted.plugin.current() {
            self.state.shun(&bad.code.sha256);
        }
        self.put_in_service(tools, old, fit, what, detail);
        self.probation = None;
        Ok(label)
    }
}
