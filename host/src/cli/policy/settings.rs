//! Settings for a policy, as a person gives them to a tool.

use std::io::{self, Read};
use std::path::Path;

use super::find::Found;
use crate::cli::failure::Failure;
use crate::policies::{self, Settings};

/// Bytes of a file with settings that are read: far more than a person writes, and than a host takes from one.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a policy is given: the file NAME.toml beside it, and `--settings` over that, key by key.
pub(super) fn given(found: &Found, argument: Option<&str>) -> Result<Settings, Failure> {
    let below = beside(found)?;
    Ok(match argument {
        Some(argument) => policies::laid_over(below, written(argument)?),
        None => below,
    })
}

/// What `--settings` says: a file in TOML or JSON, or a JSON object as it is.
pub(super) fn written(argument: &str) -> Result<Settings, Failure> {
    let wrong = |what: String| Failure::Usage(format!("--settings {argument}: {what}"));
    if argument.trim_start().starts_with('{') {
        return serde_json::from_str(argument)
            .map_err(|error| wrong(format!("this is no JSON object: {error}")));
    }
    let path = Path::new(argument);
    let text = read(path).map_err(|error| {
        wrong(format!(
            "{error}; name a file in TOML or JSON, or give a JSON object: --settings '{{\"minimum_sample\": 50}}'"
        ))
    })?;
    if path.extension().is_some_and(|ending| ending == "json") {
        return serde_json::from_str(&text)
            .map_err(|error| wrong(format!("it is no JSON object: {error}")));
    }
    table(&text).map_err(wrong)
}

/// What the file NAME.toml beside a policy says; nothing where there is none. A file that is wrong is as wrong usage as a
/// wrong `--settings` is.
pub(crate) fn beside(found: &Found) -> Result<Settings, Failure> {
    let Some(file) = found.file.as_ref().map(|file| file.with_extension("toml")) else {
        return Ok(Settings::new());
    };
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", file.display()));
    match read(&file) {
        Ok(text) => table(&text).map_err(wrong),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Settings::new()),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// The text of a file, which may also be one without an end.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes, and no settings are"
        )));
    }
    Ok(text)
}

fn table(text: &str) -> Result<Settings, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    policies::as_json(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_settings_is_read_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        let long = "# settings\n".repeat(100_000);
        std::fs::write(&file, &long).unwrap();
        let refused = written(&file.display().to_string()).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        let words = "it is longer than 1048576 bytes, and no settings are";
        assert!(refused.to_string().contains(words), "{refused}");
        let found = Found {
            name: "s".to_owned(),
            bytes: Vec::new().into(),
            file: Some(folder.path().join("s.wasm")),
        };
        let refused = beside(&found).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
        assert_eq!(refused.exit_code(), 2, "like what is on the command line");
        std::fs::write(&file, "a = 1").unwrap();
        assert_eq!(beside(&found).unwrap().len(), 1);
    }
}
