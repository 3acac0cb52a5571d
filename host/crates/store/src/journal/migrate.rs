//! Layouts of a journal: each follows from the one before it, in one transaction, and none is ever changed once released.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction};

/// The steps from nothing to the present layout: the first makes layout 1, the second turns that into 2, and so on.
pub(super) const STEPS: &[&str] = &[include_str!("schema.sql")];

/// The present layout.
#[expect(clippy::cast_possible_wrap, reason = "there is a handful of steps")]
pub(super) const LAYOUT: i64 = STEPS.len() as i64;

/// `CAXT` in a journal's header: what tools show of a file, and what tells a journal from another database.
pub(super) const APPLICATION: i64 = 0x4341_5854;

/// `CAXB`: the same of a backup, which is no journal that could be written to.
pub(super) const BACKUP: i64 = 0x4341_5842;

/// The layout that a database has; 0 where there is none yet.
pub(super) fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whose database it is; 0 where nobody has said so.
pub(super) fn application(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Takes the steps that are missing, up to and with the `until`th.
///
/// # Errors
/// The database stays at the last step that succeeded.
pub(super) fn migrate(
    connection: &mut Connection,
    steps: &[&str],
    until: i64,
) -> rusqlite::Result<()> {
    let mut at = layout(connection)?;
    for step in steps.iter().skip(usize::try_from(at).unwrap_or(0)) {
        if at >= until {
            break;
        }
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        at += 1;
        transaction.pragma_update(None, "user_version", at)?;
        if at == 1 {
            begin(&transaction)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Whether everything stands there that a layout has; what else somebody put there does not matter.
pub(super) fn is_as_made(connection: &Connection, layout: i64) -> rusqlite::Result<bool> {
    let mut model = Connection::open_in_memory()?;
    migrate(&mut model, STEPS, layout)?;
    let parts = |of: &Connection| {
        of.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?
            .query_map([], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })?
            .collect::<rusqlite::Result<BTreeSet<[Option<String>; 4]>>>()
    };
    Ok(parts(connection)?.is_superset(&parts(&model)?))
}

/// What a new journal says of itself.
fn begin(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('made_at', datetime('now')), ('made_by', ?1)",
        [concat!("caxton ", env!("CARGO_PKG_VERSION"))],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_taken_once_and_a_step_that_fails_leaves_the_layout_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [
            STEPS[0],
            "ALTER TABLE acts ADD COLUMN who TEXT; UPDATE acts SET who = 'somebody';",
            "ALTER TABLE acts ADD COLUMN where_from TEXT; SELECT nonsense;",
        ];
        migrate(&mut connection, &steps, 1).unwrap();
        assert_eq!(layout(&connection).unwrap(), 1);
        assert_eq!(application(&connection).unwrap(), APPLICATION);
        connection
            .execute(
                "INSERT INTO acts (at, agent, act) VALUES (1, 'a', 'pause')",
                [],
            )
            .unwrap();
        assert!(migrate(&mut connection, &steps, 3).is_err());
        assert_eq!(layout(&connection).unwrap(), 2);
        let who: String = connection
            .query_row("SELECT who FROM acts", [], |row| row.get(0))
            .unwrap();
        assert_eq!(who, "somebody");
        assert!(connection.prepare("SELECT where_from FROM acts").is_err());
        migrate(&mut connection, &steps[..2], 2).unwrap();
        assert_eq!(layout(&connection).unwrap(), 2);
    }
}
