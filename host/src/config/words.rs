//! What the parser says, in words for whoever wrote the file.

use caxton_runtime::nearest;

/// The parser's message without the names of our types.
pub(super) fn plain(message: &str) -> String {
    if message == "duplicate key" {
        return "this key stands twice: leave one of them".to_owned();
    }
    if message == "invalid socket address syntax" {
        return "this is no address with a port; write for example \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned();
    }
    let Some((found, expected)) = found_and_expected(message) else {
        return message.replace('\n', ", ");
    };
    let wanted = match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number from 0".to_owned(),
        "a boolean" => "true or false, without quotes".to_owned(),
        "a string" | "path string" | "string or table" => "text in quotes".to_owned(),
        "a sequence" => "a list: [ ]".to_owned(),
        "a map" => "a table: { KEY = VALUE }".to_owned(),
        "socket address" => "an address and a port in quotes, such as 127.0.0.1:8080".to_owned(),
        name if name.starts_with("struct ") => {
            "a table: [NAME] on a line of its own and its keys below it, or NAME = { KEY = VALUE }"
                .to_owned()
        }
        other => other.to_owned(),
    };
    format!("expected {wanted}, and found {found}")
}

/// Of a value of the wrong kind, or one that does not fit into its kind.
fn found_and_expected(message: &str) -> Option<(&str, &str)> {
    if let Some(expected) = message.strip_prefix("wanted ") {
        return Some(("something else", expected));
    }
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    rest.rsplit_once(", expected ")
}

/// The known word that is most like the unknown one in the parser's message, if any is.
pub(super) fn meant(message: &str) -> Option<&str> {
    let rest = message
        .strip_prefix("unknown field `")
        .or_else(|| message.strip_prefix("unknown variant `"))?;
    let (unknown, known) = rest.split_once('`')?;
    nearest(unknown, known.split('`').skip(1).step_by(2))
}
