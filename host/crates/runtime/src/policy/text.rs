//! Text from a guest, made safe to show and to keep: bounded, on one line, without control characters.

/// The longest prefix of `text` that has at most `most` bytes and ends between characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// The longest suffix of `text` that has at most `most` bytes and begins between characters.
pub(super) fn tail(text: &str, most: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(most));
    text.get(from..).unwrap_or(text)
}

/// `text` without control characters, so that it cannot move a terminal's cursor or fake a second line.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
        .collect()
}

/// `text` on one line, at most `most` bytes.
pub(super) fn one_line(text: &str, most: usize) -> String {
    cut(printable(text).trim(), most).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("aéb", 9), "aéb");
        assert_eq!(tail("aéb", 2), "b");
        assert_eq!(tail("aéb", 3), "éb");
        assert_eq!(tail("aéb", 9), "aéb");
    }

    #[test]
    fn one_line_is_one_line_and_holds_no_escape() {
        assert_eq!(one_line(" a\nb\u{1b}[2Jc ", 99), "a b [2Jc");
    }
}
