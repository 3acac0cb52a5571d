//! Which file names mean something.
//!
//! Only `*.wasm` and `*.toml` are looked at. Ignored without a word, because they are what tools
//! leave beside a file while they work:
//! - hidden names: `.x.wasm`, vim's `.x.wasm.swp`, rsync's `.x.wasm.Ab12Cd`, Kubernetes' `..data`,
//!   Emacs' `.#x.wasm`, NFS' `.nfs0000`, macOS' `._x.wasm`;
//! - any other ending, which covers backups and partial copies: `x.wasm~`, `x.wasm.tmp`,
//!   `x.wasm.part`, `x.wasm.swp`, `x.wasm.bak`, `x.wasm.crdownload`, Emacs' `#x.wasm#`, vim's
//!   `4913`;
//! - the same endings before `.wasm` or `.toml`: `x.tmp.wasm`, `x.part.wasm`, `x~.wasm`;
//! - a `*.toml` whose stem cannot be a name: alone it would wait silently anyway.
//!
//! A `*.wasm` whose stem cannot be a name is none of these and is refused.

use crate::Problem;

/// Longest name in characters: it goes into paths, URLs and metric labels.
pub const NAME_MAX: usize = 64;

/// Endings of a stem that mark a file as somebody's work in progress.
const UNFINISHED: [&str; 9] = [
    "~",
    ".tmp",
    ".temp",
    ".swp",
    ".swx",
    ".part",
    ".partial",
    ".bak",
    ".crdownload",
];

/// What a file name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// `NAME.wasm`.
    Component(String),
    /// `NAME.toml`.
    Config(String),
    /// `*.wasm`, but the stem cannot be a name.
    Misnamed(Problem),
    /// Nothing.
    Ignored,
}

/// What the file of this name is.
#[must_use]
pub fn role(file: &str) -> Role {
    if file.starts_with('.') || file.starts_with('#') {
        return Role::Ignored;
    }
    let (stem, component) = match (file.strip_suffix(".wasm"), file.strip_suffix(".toml")) {
        (Some(stem), _) => (stem, true),
        (None, Some(stem)) => (stem, false),
        (None, None) if file.to_ascii_lowercase().ends_with(".wasm") => (file, true),
        (None, None) => return Role::Ignored,
    };
    if UNFINISHED.iter().any(|ending| stem.ends_with(ending)) {
        return Role::Ignored;
    }
    match (is_name(stem), component) {
        (true, true) => Role::Component(stem.to_owned()),
        (true, false) => Role::Config(stem.to_owned()),
        (false, true) => Role::Misnamed(Problem::Name {
            file: file.to_owned(),
            suggestion: format!("{}.wasm", nearest_name(stem)),
        }),
        (false, false) => Role::Ignored,
    }
}

/// Whether a file stem is a valid name: 1 to [`NAME_MAX`] of a-z 0-9 - _, starting with a letter
/// or digit.
#[must_use]
pub fn is_name(stem: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    stem.len() <= NAME_MAX
        && stem.bytes().next().is_some_and(plain)
        && stem
            .bytes()
            .all(|byte| plain(byte) || byte == b'-' || byte == b'_')
}

fn nearest_name(stem: &str) -> String {
    let lower = stem.to_ascii_lowercase();
    let near: String = lower
        .strip_suffix(".wasm")
        .unwrap_or(&lower)
        .chars()
        .map(|character| match character {
            fine @ ('a'..='z' | '0'..='9' | '-' | '_') => fine,
            _ => '-',
        })
        .skip_while(|character| matches!(character, '-' | '_'))
        .take(NAME_MAX)
        .collect();
    let near = near.trim_end_matches('-');
    if near.is_empty() {
        "agent".to_owned()
    } else {
        near.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn every_kind_of_name_has_its_role() {
        let files = [
            "echo.wasm",
            "echo.toml",
            "7-up_x.wasm",
            ".echo.wasm",
            "..data",
            "echo.wasm~",
            "echo~.wasm",
            "#echo.wasm#",
            "#echo.wasm",
            "4913",
            "echo.wasm.swp",
            "echo.tmp.wasm",
            "echo.part.toml",
            "README.md",
            "Echo.wasm",
            "Echo.toml",
            "two words.wasm",
            "-.wasm",
            "_x.wasm",
            "é.wasm",
            "a.b.wasm",
            ".wasm",
            "ECHO.WASM",
        ];
        let table: String = files
            .iter()
            .map(|file| {
                let role = match role(file) {
                    Role::Misnamed(problem) => problem.to_string(),
                    other => format!("{other:?}"),
                };
                format!("{file:16} {role}\n")
            })
            .collect();
        expect![[r#"
            echo.wasm        Component("echo")
            echo.toml        Config("echo")
            7-up_x.wasm      Component("7-up_x")
            .echo.wasm       Ignored
            ..data           Ignored
            echo.wasm~       Ignored
            echo~.wasm       Ignored
            #echo.wasm#      Ignored
            #echo.wasm       Ignored
            4913             Ignored
            echo.wasm.swp    Ignored
            echo.tmp.wasm    Ignored
            echo.part.toml   Ignored
            README.md        Ignored
            Echo.wasm        Echo.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to echo.wasm
            Echo.toml        Ignored
            two words.wasm   two words.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to two-words.wasm
            -.wasm           -.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to agent.wasm
            _x.wasm          _x.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to x.wasm
            é.wasm           é.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to agent.wasm
            a.b.wasm         a.b.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to a-b.wasm
            .wasm            Ignored
            ECHO.WASM        ECHO.WASM: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to echo.wasm
        "#]].assert_eq(&table);
    }

    #[test]
    fn a_name_ends_at_its_limit() {
        assert!(is_name(&"a".repeat(NAME_MAX)));
        assert!(!is_name(&"a".repeat(NAME_MAX + 1)));
        assert!(!is_name(""));
    }

    #[test]
    fn what_is_suggested_is_always_a_name() {
        for stem in [
            "Echo",
            "--",
            "",
            "ÄÖÜ",
            "a b",
            "x.y.z",
            &"Q".repeat(300),
            "-_-x",
        ] {
            assert!(is_name(&nearest_name(stem)), "{stem}");
        }
    }
}
