//! Looks at bytes that want to be an agent, without compiling or running anything.
//!
//! The stages go from cheap to dear, and each refusal says what is wrong, where, and what to do.

use crate::store::PROVIDED;
use wasmtime::wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmtime::wasmparser::types::Types;
use wasmtime::wasmparser::{ComponentTypeRef, Encoding, Parser, Payload, Validator, WasmFeatures};

/// The largest component that is looked at: 100 MiB, several times the largest language runtime of today.
pub const MAX_COMPONENT_SIZE: u64 = 100 << 20;

const MAGIC: [u8; 4] = *b"\0asm";
const HTTP_P3: &str = "wasi:http/handler";
const HTTP_P2: &str = "wasi:http/incoming-handler";
const HANDLER: &str = "caxton:agent/handler";
const HEALTH: &str = "caxton:agent/health";
const STATE: &str = "caxton:agent/state";

/// How an agent is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// `wasi:http/handler` 0.3.
    HttpP3,
    /// `wasi:http/incoming-handler` 0.2.
    HttpP2,
    /// `caxton:agent/handler` 0.1.
    Handler,
}

impl Contract {
    /// All of them; of several that a component exports the first one counts.
    const NEWEST_FIRST: [Self; 3] = [Self::HttpP3, Self::HttpP2, Self::Handler];

    /// Whether it is called by HTTP requests, and not by messages.
    #[must_use]
    pub fn is_http(self) -> bool {
        match self {
            Self::HttpP3 | Self::HttpP2 => true,
            Self::Handler => false,
        }
    }

    /// The interface and its compatible line, as in `wasi:http/handler@0.3`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpP3 => "wasi:http/handler@0.3",
            Self::HttpP2 => "wasi:http/incoming-handler@0.2",
            Self::Handler => "caxton:agent/handler@0.1",
        }
    }

    fn interface(self) -> (&'static str, &'static str) {
        match self {
            Self::HttpP3 => (HTTP_P3, "0.3"),
            Self::HttpP2 => (HTTP_P2, "0.2"),
            Self::Handler => (HANDLER, "0.1"),
        }
    }
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// How it is called: the newest contract that it exports.
    pub contract: Contract,
    /// The other contracts that it exports, newest first. Nobody calls it through them.
    pub passed_over: Vec<Contract>,
    /// Whether it exports `caxton:agent/health`.
    pub health: bool,
    /// Whether it exports `caxton:agent/state`, and so needs one instance that outlives its calls.
    pub state: bool,
    /// Names of all imports.
    pub imports: Vec<String>,
    /// Names of all exports.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// Why bytes cannot be an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing there.
    #[error("the file is empty; write the component to a temporary name and rename it into place")]
    Empty,
    /// Over [`MAX_COMPONENT_SIZE`].
    #[error(
        "the file has {size} bytes, more than the {limit} allowed; strip it of debug information, or build it for size"
    )]
    TooLarge {
        /// Bytes of the file.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// It stops in the middle.
    #[error(
        "the file ends in the middle of a section, after {size} bytes: it is still being written, or was cut off; copy it again"
    )]
    Incomplete {
        /// Bytes that are there.
        size: u64,
    },
    /// Not WebAssembly.
    #[error(
        "the file is not WebAssembly: it begins with {first:?} instead of \"\\0asm\"; build with a target such as wasm32-wasip2"
    )]
    NotWasm {
        /// Its first bytes, readable.
        first: String,
    },
    /// A module, not a component.
    #[error(
        "the file is a core module, not a component; make one of it with `wasm-tools component new FILE -o OUT`, or build for wasm32-wasip2"
    )]
    CoreModule,
    /// It does not validate.
    #[error(
        "the component is not valid, at byte {offset}: {}; build it again, and check with `wasm-tools validate`",
        short(.message)
    )]
    Invalid {
        /// Where.
        offset: u64,
        /// What the validator says.
        message: String,
    },
    /// Written for a draft of a contract that this host has in another version.
    #[error(
        "the component exports {}, a draft, and this host serves {served}: build it with tools that have the release",
        short(.draft)
    )]
    Draft {
        /// What it exports.
        draft: String,
        /// What this host has in its place.
        served: String,
    },
    /// No way to call it.
    #[error(
        "the component exports nothing that an agent is called through: expected wasi:http/handler@0.3, \
         wasi:http/incoming-handler@0.2 or caxton:agent/handler@0.1, found {}",
        list(.exports)
    )]
    NoContract {
        /// What it exports.
        exports: Vec<String>,
    },
    /// This host has not what it needs.
    #[error(
        "the component imports {}, which this host does not provide{}",
        short(.import),
        nearest_hint(.nearest.as_deref())
    )]
    MissingImport {
        /// What it imports.
        import: String,
        /// What the host has that is most like it.
        nearest: Option<String>,
    },
}

impl Refusal {
    /// A stable word for logs and for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too-large",
            Self::Incomplete { .. } => "incomplete",
            Self::NotWasm { .. } => "not-wasm",
            Self::CoreModule => "core-module",
            Self::Invalid { .. } => "invalid",
            Self::Draft { .. } => "draft",
            Self::NoContract { .. } => "no-contract",
            Self::MissingImport { .. } => "missing-import",
        }
    }
}

/// A component has as many exports as its author likes; a message names so many, each as far as it fits.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| short(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => "no exports".into(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What a component chose to say, on one line and no longer than anybody reads.
fn short(text: &str) -> String {
    const SHOWN: usize = 200;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN).map(plain).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn nearest_hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; the nearest that it provides is {nearest}"),
        None => "; it provides WASI 0.2 and 0.3 and caxton:agent/metrics".into(),
    }
}

/// Whether these bytes are the beginning of something longer: a WebAssembly binary that stops inside its header or a section.
/// False for nothing at all, and for bytes that never were WebAssembly.
///
/// It reads section headers only. A file that is cut exactly between two sections looks whole.
pub fn incomplete(bytes: &[u8]) -> bool {
    if bytes.is_empty() || !bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic) {
        return false;
    }
    let Some(mut rest) = bytes.get(8..) else {
        return true;
    };
    while let Some((_id, after_id)) = rest.split_first() {
        let Some((size, body)) = section_size(after_id) else {
            // Five bytes without an end are no size at all, and the validator's business.
            return after_id.len() < 5;
        };
        match body.get(size..) {
            Some(next) => rest = next,
            None => return true,
        }
    }
    false
}

/// A LEB128 number of at most five bytes, and what follows it.
fn section_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut size = 0usize;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..).map(|rest| (size, rest));
        }
    }
    None
}

/// All stages, in order.
pub(crate) fn inspect(bytes: &[u8], features: WasmFeatures) -> Result<Inspection, Refusal> {
    let size = bytes.len() as u64;
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if size > MAX_COMPONENT_SIZE {
        return Err(Refusal::TooLarge {
            size,
            limit: MAX_COMPONENT_SIZE,
        });
    }
    if incomplete(bytes) {
        return Err(Refusal::Incomplete { size });
    }
    if !bytes.starts_with(&MAGIC) {
        let first = bytes.get(..bytes.len().min(8)).unwrap_or_default();
        return Err(Refusal::NotWasm {
            first: String::from_utf8_lossy(first).into_owned(),
        });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Refusal::CoreModule);
    }
    let types = Validator::new_with_features(features)
        .validate_all(bytes)
        .map_err(invalid)?;
    let names = outer_names(bytes, &types)?;
    let inspection = contract(names.imports, names.exports, size)?;
    match names.needed.iter().find(|name| !is_provided(name)) {
        Some(import) => Err(Refusal::MissingImport {
            import: import.clone(),
            nearest: nearest(import),
        }),
        None => Ok(inspection),
    }
}

fn invalid(error: wasmtime::wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Invalid {
        offset: error.offset() as u64,
        message: error.message().to_owned(),
    }
}

struct Names {
    imports: Vec<String>,
    /// Of the imports, those that somebody must provide: an instance of nothing but value types needs nobody.
    needed: Vec<String>,
    exports: Vec<String>,
}

/// Imports and exports of the outermost component.
fn outer_names(bytes: &[u8], types: &Types) -> Result<Names, Refusal> {
    let mut names = Names {
        imports: Vec::new(),
        needed: Vec::new(),
        exports: Vec::new(),
    };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version {
                encoding: Encoding::Component | Encoding::Module,
                ..
            } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(invalid)?;
                    let name = import.name.name.to_owned();
                    if needs_provider(import.ty, types) {
                        names.needed.push(name.clone());
                    }
                    names.imports.push(name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
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

fn needs_provider(import: ComponentTypeRef, types: &Types) -> bool {
    let ComponentTypeRef::Instance(index) = import else {
        return !matches!(import, ComponentTypeRef::Type(_));
    };
    let types = types.as_ref();
    let ComponentAnyTypeId::Instance(id) = types.component_any_type_at(index) else {
        return true;
    };
    types.get(id).is_none_or(|instance| {
        instance.exports.values().any(|item| match item.ty {
            ComponentEntityType::Type { created, .. } => {
                matches!(created, ComponentAnyTypeId::Resource(_))
            }
            _ => true,
        })
    })
}

fn contract(imports: Vec<String>, exports: Vec<String>, size: u64) -> Result<Inspection, Refusal> {
    let has =
        |interface: &str, line: &str| exports.iter().any(|name| is_version(name, interface, line));
    let mut exported = Contract::NEWEST_FIRST.into_iter().filter(|contract| {
        let (interface, line) = contract.interface();
        has(interface, line)
    });
    let Some(contract) = exported.next() else {
        return Err(match exports.iter().find_map(|name| draft(name)) {
            Some(refusal) => refusal,
            None => Refusal::NoContract { exports },
        });
    };
    Ok(Inspection {
        contract,
        passed_over: exported.collect(),
        health: has(HEALTH, "0.1"),
        state: has(STATE, "0.1"),
        imports,
        exports,
        size,
    })
}

/// The refusal of an export that is a contract of this host in another version with a pre-release: `0.3.0-rc-2025-09-16`. No two
/// of those are compatible.
fn draft(name: &str) -> Option<Refusal> {
    let (interface, version) = name.split_once('@')?;
    let contract = Contract::NEWEST_FIRST
        .into_iter()
        .find(|contract| contract.interface().0 == interface)?;
    version.contains('-').then(|| Refusal::Draft {
        draft: name.to_owned(),
        served: format!("{interface}@{}.0", contract.interface().1),
    })
}

/// Whether `name` is `interface@line.x`.
fn is_version(name: &str, interface: &str, line: &str) -> bool {
    name.strip_prefix(interface)
        .and_then(|rest| rest.strip_prefix('@'))
        .and_then(|version| version.strip_prefix(line))
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

/// The linker takes any version of the same compatible line: of 0.x versions those with the same x.
fn is_provided(import: &str) -> bool {
    PROVIDED.iter().any(|(package, version, interfaces)| {
        let line = version.rsplit_once('.').map_or(*version, |(line, _)| line);
        interfaces
            .iter()
            .any(|name| is_version(import, &format!("{package}/{name}"), line))
    })
}

/// The provided interface that shares the longest beginning with the import, if it shares at least the namespace.
fn nearest(import: &str) -> Option<String> {
    let shared = |name: &str| {
        name.bytes()
            .zip(import.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let namespace = import
        .split_once(':')
        .map_or(import.len(), |(namespace, _)| namespace.len() + 1);
    PROVIDED
        .iter()
        .flat_map(|(package, version, names)| {
            names
                .iter()
                .map(move |name| format!("{package}/{name}@{version}"))
        })
        .map(|name| (shared(&name), name))
        .filter(|(shared, _)| *shared >= namespace)
        .max_by(|(a, a_name), (b, b_name)| a.cmp(b).then(b_name.cmp(a_name)))
        .map(|(_, name)| name)
}
