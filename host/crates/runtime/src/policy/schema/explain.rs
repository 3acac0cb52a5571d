//! What is wrong with settings, in the words of whoever wrote them.

use jsonschema::error::{ValidationError, ValidationErrorKind};

use super::super::refusal::SettingsProblem;
use super::super::text;
use crate::nearest::nearest;

/// Bytes of one problem's path and of its message; a message quotes the value that is wrong.
pub(super) const PROBLEM_BYTES_MAX: usize = 1024;

/// Names that are told where none is like the one that was written.
const NAMES_MAX: usize = 20;

pub(super) fn problem(path: &str, message: &str) -> SettingsProblem {
    SettingsProblem {
        path: text::one_line(path, PROBLEM_BYTES_MAX),
        message: text::one_line(message, PROBLEM_BYTES_MAX),
    }
}

/// What is wrong where every shape has a tag at one place, and none has the tag that was written.
pub(super) fn unknown_tag(shapes: &[Vec<ValidationError<'static>>]) -> Option<SettingsProblem> {
    let tag = |errors: &'_ Vec<ValidationError<'static>>| {
        errors.iter().find_map(|error| match error.kind() {
            ValidationErrorKind::Constant { expected_value } => Some((
                error.instance_path().as_str().to_owned(),
                expected_value.as_str()?.to_owned(),
                error.instance().clone().into_owned(),
            )),
            _ => None,
        })
    };
    let tags = shapes.iter().map(tag).collect::<Option<Vec<_>>>()?;
    let (path, _, written) = tags.first()?;
    if tags.iter().any(|(other, ..)| other != path) {
        return None;
    }
    let known: Vec<&str> = tags.iter().map(|(_, tag, _)| tag.as_str()).collect();
    let near = nearest(written.as_str().unwrap_or_default(), known.iter().copied());
    let names = known.join(", ");
    let message = format!("{written} is none of: {names}{}", did_you_mean(near));
    Some(problem(path, &message))
}

pub(super) fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

pub(super) fn unknown_setting(key: &str, known: &[&str]) -> String {
    match (nearest(key, known.iter().copied()), known) {
        (Some(near), _) => format!("there is no such setting; did you mean `{near}`?"),
        (None, []) => "there is no such setting".to_owned(),
        (None, known) => {
            let names: Vec<&str> = known.iter().copied().take(NAMES_MAX).collect();
            format!("there is no such setting; there are: {}", names.join(", "))
        }
    }
}

/// Of several shapes that a value may have, the one that was surely meant: no other has the right type and the right tag.
pub(super) fn meant<'a>(
    path: &str,
    shapes: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a [ValidationError<'static>]> {
    let mut fitting = shapes.iter().filter(|errors| {
        !errors.iter().any(|error| match error.kind() {
            ValidationErrorKind::Type { .. } => error.instance_path().as_str() == path,
            ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. } => true,
            _ => false,
        })
    });
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}
