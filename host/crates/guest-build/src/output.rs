//! What came of a build: components, the files they were built from, and constants that embed them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A finished component.
#[derive(Clone, Debug)]
pub struct Component {
    /// The guest's name: its package's, or the one it was given.
    pub name: String,
    /// Where its bytes are, under the build script's `OUT_DIR`.
    pub path: PathBuf,
}

/// All components of one build, in the order in which they were asked for.
#[derive(Debug)]
pub struct Built {
    components: Vec<Component>,
    sources: BTreeSet<PathBuf>,
}

impl Built {
    pub(crate) fn new(components: Vec<Component>, sources: BTreeSet<PathBuf>) -> Self {
        Self {
            components,
            sources,
        }
    }

    /// Every component, in the order in which they were asked for.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Where the component `name` is; none when no guest had that name.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.components
            .iter()
            .find(|component| component.name == name)
            .map(|component| component.path.as_path())
    }

    /// Files and directories that the components depend on.
    pub fn sources(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(PathBuf::as_path)
    }

    /// Rust source with a documented `pub const NAME: &[u8]` for each component, its name in upper case.
    pub fn constants(&self) -> String {
        let mut source = String::new();
        for component in &self.components {
            // Writing to a string cannot fail.
            let _ = writeln!(
                source,
                "/// The component `{}`, built from source.\npub const {}: &[u8] = include_bytes!({:?});",
                component.name,
                constant_name(&component.name),
                component.path
            );
        }
        source
    }

    /// Rust source with one constant `name`: the name and bytes of every component. It goes beside [`Built::constants`].
    pub fn list(&self, name: &str) -> String {
        let entries: String = self
            .components
            .iter()
            .map(|component| {
                format!(
                    "    ({:?}, {}),\n",
                    component.name,
                    constant_name(&component.name)
                )
            })
            .collect();
        format!(
            "/// Every component: its name and its bytes.\npub const {name}: &[(&str, &[u8])] = &[\n{entries}];\n"
        )
    }
}

fn constant_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The files that a dep-info file (`target: source source`) names, where a space inside a name is written `\ `.
pub(crate) fn sources_in_dep_info(text: &str) -> Vec<PathBuf> {
    const SPACE_IN_NAME: &str = "\u{0}";
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(_, sources)| {
            let sources = sources.replace("\\ ", SPACE_IN_NAME);
            let names: Vec<PathBuf> = sources
                .split_whitespace()
                .map(|source| PathBuf::from(source.replace(SPACE_IN_NAME, " ")))
                .collect();
            names
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> Built {
        let component = |name: &str| Component {
            name: name.to_owned(),
            path: PathBuf::from(format!("/out/{name}.wasm")),
        };
        Built::new(
            vec![component("demo-v1"), component("web")],
            BTreeSet::new(),
        )
    }

    #[test]
    fn each_component_becomes_a_constant_with_its_bytes() {
        assert_eq!(
            built().constants(),
            "/// The component `demo-v1`, built from source.\n\
             pub const DEMO_V1: &[u8] = include_bytes!(\"/out/demo-v1.wasm\");\n\
             /// The component `web`, built from source.\n\
             pub const WEB: &[u8] = include_bytes!(\"/out/web.wasm\");\n"
        );
    }

    #[test]
    fn the_list_names_every_constant() {
        assert!(
            built()
                .list("ALL")
                .ends_with("= &[\n    (\"demo-v1\", DEMO_V1),\n    (\"web\", WEB),\n];\n")
        );
    }

    #[test]
    fn a_component_is_found_by_its_name() {
        assert_eq!(built().path("web"), Some(Path::new("/out/web.wasm")));
        assert_eq!(built().path("nobody"), None);
    }

    #[test]
    fn dep_info_names_sources_with_and_without_spaces() {
        let text = "/t/guest.wasm: /w/src/lib.rs /my\\ work/wit/a.wit\n\n";
        assert_eq!(
            sources_in_dep_info(text),
            [
                PathBuf::from("/w/src/lib.rs"),
                PathBuf::from("/my work/wit/a.wit")
            ]
        );
    }
}
