//! On which line of a file a key stands.

use toml::de::{DeTable, DeValue};

/// The line, from 1, of the key with these names from the outside to the inside; a number names an entry of a list. The first
/// `needed` of them must be there: of what lies deeper, the line of the innermost that is there is told.
pub(super) fn line_of_key(text: &str, path: &[String], needed: usize) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut here = &DeValue::Table(document.into_inner());
    let mut offset = None;
    for (depth, name) in path.iter().enumerate() {
        let Some((start, inner)) = inside(here, name) else {
            if depth < needed {
                return None;
            }
            break;
        };
        offset = Some(start);
        here = inner;
    }
    let before = text.get(..offset?)?;
    Some(before.matches('\n').count() + 1)
}

/// The key whose value stands at this byte, from the outside to the inside, without places in lists.
pub(super) fn key_at(text: &str, offset: usize) -> Vec<String> {
    let mut path = Vec::new();
    if let Ok(document) = DeTable::parse(text) {
        holds(&DeValue::Table(document.into_inner()), offset, &mut path);
    }
    path
}

/// Whether it stands in one of the values below, and under which keys.
fn holds(value: &DeValue<'_>, offset: usize, path: &mut Vec<String>) -> bool {
    let DeValue::Table(table) = value else {
        return false;
    };
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        let is_here = (key.span().start..value.span().end).contains(&offset);
        if holds(value.get_ref(), offset, path) || is_here {
            return true;
        }
        path.pop();
    }
    false
}

fn inside<'v, 'i>(value: &'v DeValue<'i>, name: &str) -> Option<(usize, &'v DeValue<'i>)> {
    match value {
        DeValue::Table(table) => {
            let mut entries = table.iter();
            let (key, value) = entries.find(|(key, _)| key.get_ref() == name)?;
            Some((key.span().start, value.get_ref()))
        }
        DeValue::Array(list) => {
            let value = list.get(name.parse::<usize>().ok()?)?;
            Some((value.span().start, value.get_ref()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_found() {
        let text = "a = 1\n[b.c]\nd = [\n 2]\n[b]\ne = { f = 3 }\n[[g]]\nh = 4\n";
        let at = |value: &str| key_at(text, text.find(value).unwrap()).join(".");
        assert_eq!(at("1"), "a");
        assert_eq!(at("2"), "b.c.d");
        assert_eq!(at("3"), "b.e.f");
        assert_eq!(at("4"), "");
        assert_eq!(key_at("a = ", 0), [""; 0]);
    }

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let text = "\u{feff}a.b = 1\n[c]\nd = {\n  e = [\n    1,\n    { f = 2 },\n  ],\n}\n[[g]]\nh = 1\n[[g]]\nh = 2\n[c.i]\nj = 1\n";
        let at = |path: &str, needed| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            line_of_key(text, &path, needed)
        };
        assert_eq!(at("a.b", 2), Some(1));
        assert_eq!(at("c.d.e", 3), Some(4));
        assert_eq!(at("c.d.e.1.f", 3), Some(6));
        assert_eq!(at("g.1.h", 1), Some(12));
        assert_eq!(at("g.1.missing", 1), Some(11));
        assert_eq!(at("c.i.j", 3), Some(14));
        assert_eq!(at("c.missing", 2), None);
        assert_eq!(at("c.missing.deeper", 1), Some(2));
    }
}
