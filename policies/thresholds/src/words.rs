//! Figures in sentences.

/// A share or a difference in per cent: finer where it is small, so that what is barely above a limit does not look equal to it.
pub(crate) fn per_cent(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2} %")
    } else {
        format!("{value:.1} %")
    }
}

/// A number of bytes in the largest unit that keeps it at or above one.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS.iter().find(|(unit, _)| value >= *unit).map_or_else(
        || format!("{value} bytes"),
        |(unit, name)| format!("{:.1} {name}", value as f64 / *unit as f64),
    )
}

/// A time in milliseconds.
pub(crate) fn milliseconds(microseconds: f64) -> String {
    format!("{:.2} ms", microseconds / 1000.0)
}
