//! Durations, sizes and digests as people write them: `"30s"`, `"64MiB"`, `"sha256:…"`, each within its bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use caxton_rollout::Digest;
use serde::de::{Deserialize, Deserializer, Error};

use super::written::Interval;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const MIB: u64 = 1024 * 1024;

/// Drain and rollback: past half an hour a person should be looking.
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(30 * MINUTE);
/// Waits that may be skipped: warm-up, bake and the like. A week is longer than anyone watches one version.
pub(super) const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * DAY);
/// Limits of single calls and intervals: zero would refuse everything or spin.
pub(super) const LIMIT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(DAY);
/// Looking back over less than a second sees nothing, and what is older than a week is history.
pub(super) const WINDOW: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * DAY);
/// What the address space of a 32-bit linear memory allows.
pub(super) const MEMORY: RangeInclusive<u64> = MIB..=4096 * MIB;
/// Bodies stream, so the bound is against a slip of the pen rather than against memory.
pub(super) const BODY: RangeInclusive<u64> = 1..=1024 * 1024 * MIB;
/// What is kept on the disk: from a few reloads' decision records to more than anybody reads.
pub(super) const KEPT: RangeInclusive<u64> = MIB..=1024 * 1024 * MIB;
/// How long it is kept: a minute for those who want to see things go, ten years for those who must not.
pub(super) const AGE: RangeInclusive<Duration> =
    Duration::from_secs(MINUTE)..=Duration::from_secs(10 * DAY * 1_461 / 4);

/// A time after which something is cut: 0 to 30 minutes.
pub fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from, &TIMEOUT)
}

/// A time that is waited: 0 to 7 days.
pub fn wait<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from, &WAIT)
}

/// The limit of one call, or an interval: 1 ms to a day.
pub fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from, &LIMIT)
}

/// A time that is looked back over: 1 s to 7 days.
pub fn window<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from, &WINDOW)
}

/// A time between two of something, or "off".
pub fn interval_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Interval>, D::Error> {
    let text = quoted(from, "a duration or \"off\"", "10s", "s")?;
    if text == "off" {
        return Ok(Some(Interval::Off));
    }
    if text.parse::<humantime::Duration>().is_err() {
        return Err(D::Error::custom(format!(
            "`{text}` is neither a duration nor \"off\"; write for example \"10s\", or \"off\" for never"
        )));
    }
    let every = duration_of(text, &LIMIT)?;
    Ok(every.map(Interval::Every))
}

/// The memory of one instance: 1 MiB to 4 GiB.
pub fn memory<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from, &MEMORY)
}

/// The size of a body: 1 byte to 1 TiB.
pub fn body<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from, &BODY)
}

/// The size of what is kept on the disk: 1 MiB to 1 TiB.
pub fn kept<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from, &KEPT)
}

/// How long something is kept: a minute to ten years.
pub fn age<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from, &AGE)
}

/// A SHA-256 as `sha256:` and 64 hexadecimal digits.
pub fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
    let text = quoted(from, "a digest", "sha256:…", "")?;
    let bytes = text.strip_prefix("sha256:").and_then(unhex);
    let digest = bytes.map(Digest::new).ok_or_else(|| {
        D::Error::custom(format!(
            "`{text}` is no digest: write \"sha256:\" and 64 hexadecimal digits, as sha256sum prints them"
        ))
    })?;
    Ok(Some(digest))
}

/// The 32 bytes that 64 hexadecimal digits stand for.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        let pair = text.get(2 * at..2 * at + 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

fn duration<'de, D: Deserializer<'de>>(
    from: D,
    bounds: &RangeInclusive<Duration>,
) -> Result<Option<Duration>, D::Error> {
    duration_of(quoted(from, "a duration", "30s, 5m or 1h", "s")?, bounds)
}

fn duration_of<E: Error>(
    text: String,
    bounds: &RangeInclusive<Duration>,
) -> Result<Option<Duration>, E> {
    if is_bare(&text) && text != "0" {
        return Err(no_unit(&text, "s", "\"500ms\" or \"5m\""));
    }
    let value = humantime::parse_duration(&text).map_err(|problem| {
        E::custom(format!(
            "`{text}` is no duration ({problem}); write for example \"30s\", \"500ms\" or \"5m\""
        ))
    })?;
    within(text, value, bounds, |bound| {
        humantime::format_duration(bound).to_string()
    })
}

fn size<'de, D: Deserializer<'de>>(
    from: D,
    bounds: &RangeInclusive<u64>,
) -> Result<Option<u64>, D::Error> {
    let text = quoted(from, "a size", "64MiB", "MiB")?;
    let value: ByteSize = text.parse().map_err(|problem| {
        D::Error::custom(format!(
            "`{text}` is no size ({problem}); write for example \"64MiB\" or \"512KiB\""
        ))
    })?;
    if is_bare(&text) && value.as_u64() > 0 && !bounds.contains(&value.as_u64()) {
        return Err(no_unit(&text, "MiB", "\"512KiB\" or \"1GiB\""));
    }
    within(text, value.as_u64(), bounds, |bound| {
        ByteSize::b(bound).to_string()
    })
}

/// Nothing but a number.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn no_unit<E: Error>(text: &str, unit: &str, others: &str) -> E {
    E::custom(format!(
        "`{text}` has no unit; write \"{text}{unit}\", or for example {others}"
    ))
}

/// A text in quotes; for a number without them it says what was probably meant, with this unit.
fn quoted<'de, D: Deserializer<'de>>(
    from: D,
    what: &str,
    example: &str,
    unit: &str,
) -> Result<String, D::Error> {
    match toml::Value::deserialize(from)? {
        toml::Value::String(text) => Ok(text),
        other => {
            let meant = match &other {
                toml::Value::Integer(number) if *number >= 0 && !unit.is_empty() => {
                    format!("; did you mean \"{number}{unit}\"?")
                }
                _ => String::new(),
            };
            Err(D::Error::custom(format!(
                "expected {what} in quotes, such as {example}, and found {}{meant}",
                kind(&other)
            )))
        }
    }
}

/// What it is, with its article.
fn kind(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "text",
        toml::Value::Integer(_) => "a number without quotes",
        toml::Value::Float(_) => "a number without quotes",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

fn within<T: PartialOrd + Copy, E: Error>(
    text: String,
    value: T,
    bounds: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<Option<T>, E> {
    if bounds.contains(&value) {
        return Ok(Some(value));
    }
    Err(E::custom(format!(
        "`{text}` is out of bounds: from {} to {}",
        show(*bounds.start()),
        show(*bounds.end())
    )))
}
