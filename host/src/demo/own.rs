//! A rollback policy of one's own before the demo's versions.

use std::path::Path;

use caxton_runtime::policy::PolicyKind;

use crate::cli::Failure;
use crate::cli::policy::find::{Found, find};
use crate::cli::policy::kit::{self, CacheArgs};
use crate::policies;

/// The name of a policy in the demo whose own cannot be used there.
const STAND_IN: &str = "your-policy";

/// A policy that judges in the demo, and nobody else does.
#[derive(Debug)]
pub(super) struct OwnPolicy {
    /// As the demo's host knows it.
    pub name: String,
    found: Found,
}

impl OwnPolicy {
    /// The policy that `policy` means, which a host must take. What is compiled for that is left in `data`, for the host.
    ///
    /// # Errors
    /// There is none, a host would refuse it, or it is none that goes back.
    pub(super) async fn find(policy: &str, data: &Path) -> Result<Self, Failure> {
        let found = find(policy)?;
        let cache = CacheArgs {
            data_dir: data.to_owned(),
        };
        let (loaded, _) = kit::load(&cache.runtime()?, &found).await?;
        if loaded.kind() != PolicyKind::Rollback {
            return Err(Failure::Usage(format!(
                "{} is a {}, and the demo asks a rollback policy; --strategy chooses how versions come in",
                found.place(),
                loaded.kind()
            )));
        }
        let is_embedded = policies::embedded().any(|(name, _)| name == found.name);
        let fits = found.file.is_none() || (caxton_watch::is_name(&found.name) && !is_embedded);
        Ok(Self {
            name: if fits {
                found.name.clone()
            } else {
                STAND_IN.to_owned()
            },
            found,
        })
    }

    /// Puts it where the demo's host looks for policies, with the settings that lie beside it.
    pub(super) fn put_into(&self, folder: &Path) -> std::io::Result<()> {
        let Some(file) = &self.found.file else {
            return Ok(());
        };
        std::fs::create_dir_all(folder)?;
        let settings = file.with_extension("toml");
        if settings.is_file() {
            std::fs::copy(settings, folder.join(format!("{}.toml", self.name)))?;
        }
        std::fs::write(
            folder.join(format!("{}.wasm", self.name)),
            &self.found.bytes,
        )
    }
}
