//! What someone probably meant who wrote a name that there is not.

/// Below this two words have little in common (Jaro-Winkler, from 0 to 1).
const ALIKE: f64 = 0.75;

/// The known name that is most like `unknown`, if any is.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_a_stranger_is_not() {
        let known = ["evidence", "thresholds", "manual"];
        assert_eq!(nearest("threshold", known), Some("thresholds"));
        assert_eq!(nearest("evidnce", known), Some("evidence"));
        assert_eq!(nearest("latency-guard", known), None);
    }
}
