//! A row of the journal as named fields. Rows are input: an error says what makes no sense.

use std::fmt::Display;
use std::str::FromStr;

use caxton_rollout::{Identity, Moment, VersionNumber};
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use serde::de::DeserializeOwned;

/// A row as named fields; an error says what makes no sense.
pub(super) struct Fields<'a>(pub &'a Row<'a>);

impl Fields<'_> {
    pub(super) fn get<T: FromSql>(&self, name: &str) -> Result<T, String> {
        self.0.get(name).map_err(|error| format!("{name}: {error}"))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        self.get(name)
    }

    pub(super) fn opt_text(&self, name: &str) -> Result<Option<String>, String> {
        self.get(name)
    }

    pub(super) fn count<T: TryFrom<i64>>(&self, name: &str) -> Result<T, String> {
        let number: i64 = self.get(name)?;
        T::try_from(number).map_err(|_| format!("{name}: {number} is out of range"))
    }

    pub(super) fn opt_count<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, String> {
        match self.get::<Option<i64>>(name)? {
            None => Ok(None),
            Some(_) => self.count(name).map(Some),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        self.get(name)
    }

    pub(super) fn time(&self, name: &str) -> Result<Moment, String> {
        self.count(name).map(Moment)
    }

    pub(super) fn opt_time(&self, name: &str) -> Result<Option<Moment>, String> {
        Ok(self.opt_count(name)?.map(Moment))
    }

    pub(super) fn opt_number(&self, name: &str) -> Result<Option<VersionNumber>, String> {
        let number: Option<u64> = self.opt_count(name)?;
        number
            .map(|number| VersionNumber::new(number).ok_or(format!("{name}: 0 is no version")))
            .transpose()
    }

    pub(super) fn number(&self, name: &str) -> Result<VersionNumber, String> {
        let number = self.opt_number(name)?;
        number.ok_or_else(|| format!("{name}: there is none"))
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, String> {
        let text: String = self.get(name)?;
        text.parse().map_err(|error| format!("{name}: {error}"))
    }

    pub(super) fn opt_parsed<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, String> {
        let text: Option<String> = self.get(name)?;
        text.map(|text| text.parse().map_err(|error| format!("{name}: {error}")))
            .transpose()
    }

    pub(super) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let word: String = self.get(name)?;
        serde_json::from_value(word.into()).map_err(|error| format!("{name}: {error}"))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let text: String = self.get(name)?;
        serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        !matches!(self.0.get_ref(name), Ok(ValueRef::Null) | Err(_))
    }

    pub(super) fn identity(&self) -> Result<Identity, String> {
        Ok(Identity {
            component: self.parsed("component")?,
            config: self.parsed("config")?,
        })
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let names = self.0.as_ref().column_names();
        let value = |name: &str| match self.0.get_ref(name) {
            Ok(ValueRef::Integer(number)) => number.into(),
            Ok(ValueRef::Real(number)) => number.into(),
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                String::from_utf8_lossy(bytes).into_owned().into()
            }
            Ok(ValueRef::Null) | Err(_) => serde_json::Value::Null,
        };
        let shown: serde_json::Map<_, _> = names
            .into_iter()
            .map(|name| (name.to_owned(), value(name)))
            .collect();
        serde_json::Value::Object(shown).to_string()
    }
}
