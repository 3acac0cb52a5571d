//! Whether some bytes are a policy, and of which kind, before anything is compiled.

use caxton_rollout::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmtime::wasmparser::{Parser, Payload, Validator, WasmFeatures};

use super::PolicyKind;
use super::refusal::RefusalReason;

/// Bytes of the largest component that is read: the same as for agents.
const COMPONENT_BYTES_MAX: usize = 100 * 1024 * 1024;

/// The contract's package.
const PACKAGE: &str = "caxton:policy";

/// The contract's version that this host speaks. Patch releases of it are the same to wasmtime's linker.
const VERSION: &str = "0.1.0";

/// The interfaces of the contract that a policy may import; `types` has no functions.
const IMPORTS: [&str; 2] = ["log", "types"];

/// The packages of WASI that are there, and inert.
const WASI: [&str; 6] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// What can be seen of a policy without compiling it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyFacts {
    /// What it decides.
    pub kind: PolicyKind,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Bytes that it has.
    pub size: u64,
    /// What it imports, as written in it.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// What `bytes` are as a policy, or why they are none.
pub(super) fn inspect(bytes: &[u8]) -> Result<PolicyFacts, RefusalReason> {
    if bytes.is_empty() {
        return Err(RefusalReason::Empty);
    }
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(RefusalReason::TooLarge {
            size: bytes.len(),
            limit: COMPONENT_BYTES_MAX,
        });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(RefusalReason::NotWebAssembly);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(RefusalReason::CoreModule);
    }
    let names = Names::read(bytes)?;
    let kind = names.kind()?;
    if let Some(import) = names.imports.iter().find(|import| !allowed(import)) {
        return Err(RefusalReason::Import(import.clone()));
    }
    Ok(PolicyFacts {
        kind,
        digest: Digest::new(Sha256::digest(bytes).into()),
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        imports: names.imports,
        exports: names.exports,
    })
}

/// What a component calls its imports and exports.
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    fn read(bytes: &[u8]) -> Result<Self, RefusalReason> {
        let invalid = |error: wasmtime::wasmparser::BinaryReaderError| {
            RefusalReason::Invalid(error.to_string())
        };
        let mut features = WasmFeatures::default();
        features.remove(WasmFeatures::THREADS | WasmFeatures::CM_ASYNC);
        Validator::new_with_features(features)
            .validate_all(bytes)
            .map_err(invalid)?;

        let mut names = Self {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(invalid)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(invalid)?;
                        names.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(invalid)?;
                        names.exports.push(export.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(names)
    }

    fn kind(&self) -> Result<PolicyKind, RefusalReason> {
        let about = self.exports_ours("about")?;
        let strategy = self.exports_ours("strategy")?;
        let rollback = self.exports_ours("rollback")?;
        match (about, strategy, rollback) {
            (_, true, true) => Err(RefusalReason::BothKinds),
            (true, true, false) => Ok(PolicyKind::Strategy),
            (true, false, true) => Ok(PolicyKind::Rollback),
            (false, false, false) if self.exports.iter().any(|name| agent(name)) => {
                Err(RefusalReason::Agent)
            }
            (false, _, _) => Err(RefusalReason::NoExport("about")),
            (true, false, false) => Err(RefusalReason::NoExport("strategy or rollback")),
        }
    }

    /// Whether the contract's `interface` is exported, in the version that this host speaks.
    fn exports_ours(&self, interface: &'static str) -> Result<bool, RefusalReason> {
        let versions: Vec<&str> = self
            .exports
            .iter()
            .map(|name| Name::parse(name))
            .filter(|name| name.package == PACKAGE && name.interface == interface)
            .map(|name| name.version)
            .collect();
        match versions.first() {
            None => Ok(false),
            Some(_) if versions.iter().any(|version| ours(version)) => Ok(true),
            Some(version) => Err(RefusalReason::Version {
                interface,
                found: (*version).to_owned(),
            }),
        }
    }
}

/// `package/interface@version`; what is missing is empty.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Self {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        let (package, interface) = path.split_once('/').unwrap_or(("", path));
        Self {
            package,
            interface,
            version,
        }
    }
}

fn allowed(import: &str) -> bool {
    let name = Name::parse(import);
    if name.package == PACKAGE {
        IMPORTS.contains(&name.interface) && ours(name.version)
    } else {
        WASI.contains(&name.package) && compatible(name.version, "0.2.")
    }
}

fn ours(version: &str) -> bool {
    compatible(version, VERSION.trim_end_matches('0'))
}

/// Whether `version` is a release of the `series`, which ends in a dot. A pre-release is like no other version.
fn compatible(version: &str, series: &str) -> bool {
    version
        .strip_prefix(series)
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

fn agent(export: &str) -> bool {
    let name = Name::parse(export);
    name.package == "caxton:agent" || name.package == "wasi:http"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_imports() {
        for (import, expected) in [
            ("caxton:policy/log@0.1.0", true),
            ("caxton:policy/log@0.1.7", true),
            ("caxton:policy/types@0.1.0", true),
            ("caxton:policy/log@0.2.0", false),
            ("caxton:policy/log@0.1.0-rc.1", false),
            ("caxton:policy/log@0.10.0", false),
            ("caxton:policy/log", false),
            ("caxton:policy/about@0.1.0", false),
            ("caxton:policyx/log@0.1.0", false),
            ("wasi:io/poll@0.2.0", true),
            ("wasi:io/poll@0.2.12", true),
            ("wasi:clocks/monotonic-clock@0.3.0", false),
            ("wasi:http/outgoing-handler@0.2.0", false),
            ("wasi:iox/poll@0.2.0", false),
            ("caxton:agent/metrics@0.1.0", false),
            ("now", false),
        ] {
            assert_eq!(allowed(import), expected, "{import}");
        }
    }
}
