//! Figures in sentences.

/// A share or a difference in per cent: finer where it is small, so that what is barely above a limit does not look equal to it.
pub fn per_cent(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2} %")
    } else {
        format!("{value:.1} %")
    }
}

/// A number of bytes in the largest unit that keeps it at or above one.
pub fn bytes(value: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS.iter().find(|(unit, _)| value >= *unit).map_or_else(
        || format!("{value} bytes"),
        |(unit, name)| format!("{:.1} {name}", value as f64 / *unit as f64),
    )
}

/// A time in milliseconds.
pub fn milliseconds(microseconds: f64) -> String {
    format!("{:.2} ms", microseconds / 1000.0)
}

/// Whole seconds where they are whole, otherwise milliseconds.
pub fn seconds(milliseconds: u64) -> String {
    let (whole, rest) = (milliseconds / 1000, milliseconds % 1000);
    if rest == 0 {
        format!("{whole} s")
    } else {
        format!("{milliseconds} ms")
    }
}
