//! The file of rows: an SQLite database with a write-ahead log.
//!
//! Each row has a checksum of its own, because SQLite has none for its pages; a row whose `sum` is NULL is taken as it is, so
//! that an operator may change one by hand. `facts` has the number of the last transaction.
//!
//! Invariant: nobody else opens the file meanwhile (`locking_mode=EXCLUSIVE`: there is no shared memory), and memory is bounded
//! by `cache_size`.

use super::{Found, RowChange, StoredRow};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi, params};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What the file is: the bytes `Mica`.
const APPLICATION: i64 = 0x4d69_6361;
/// The shape of the tables; a reader refuses what it does not know.
const VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layers (number INTEGER PRIMARY KEY, row TEXT NOT NULL, sum INTEGER);
CREATE TABLE IF NOT EXISTS snapshots
    (key TEXT PRIMARY KEY, row TEXT NOT NULL, sum INTEGER, written INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removals (number INTEGER PRIMARY KEY, layer TEXT NOT NULL);
";
/// The fact that is the number of the last transaction.
const WRITTEN: &str = "written";
const SNAPSHOTS: &str = "SELECT key, row, sum, written FROM snapshots ORDER BY key";

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Its content makes no sense.
    Damaged(String),
    /// It is of another program, or a later one.
    Strange(String),
    /// It could not be asked.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ if is_short_read(&error) => Self::Damaged(error.to_string()),
            _ => Self::Failed(error),
        }
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// It is as it was.
    Undone(rusqlite::Error),
    /// No one knows whether it will be there after the next start.
    Unknown(rusqlite::Error),
}

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// What is written is on the device when a transaction ends.
    Durable,
    /// It is there as long as the machine runs.
    Fleeting,
    /// Nothing can be written, because the file system is read-only. What only the write-ahead log has is not seen.
    ReadOnly,
}

/// The open file.
#[derive(Debug)]
pub(super) struct RowFile {
    connection: Connection,
    /// Whether a transaction waits for the device; none for a file of which none ever does.
    waits: Option<bool>,
    /// The number of the last transaction.
    pub(super) written: u64,
}

impl RowFile {
    /// Opens the file, or makes it, without looking at its rows.
    pub(super) fn open(path: &Path, use_as: Use) -> Result<Self, Unusable> {
        let connection = match use_as {
            Use::ReadOnly => connect_read_only(path)?,
            Use::Durable | Use::Fleeting => connect(path)?,
        };
        let fact = |name| connection.pragma_query_value(None, name, |value| value.get::<_, i64>(0));
        let (application, version) = (fact("application_id")?, fact("user_version")?);
        // 0 is a file that was just made, or one whose first transaction a kill cut off.
        if ![0, APPLICATION].contains(&application) {
            return Err(Unusable::Strange("it is of another program".into()));
        }
        if !(0..=VERSION).contains(&version) {
            return Err(Unusable::Strange(format!(
                "it has version {version}, this program reads {VERSION}"
            )));
        }
        let synchronous = match use_as {
            Use::Durable => "FULL",
            Use::Fleeting | Use::ReadOnly => "OFF",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        Ok(Self {
            connection,
            waits: (use_as == Use::Durable).then_some(true),
            written: 0,
        })
    }

    /// Has the next transaction wait for the device, or not: then the write-ahead log is synced with a later one, or when it
    /// is moved into the file.
    fn wait(&mut self, waits: bool) -> rusqlite::Result<()> {
        if self.waits.is_some_and(|now| now != waits) {
            let synchronous = if waits { "FULL" } else { "NORMAL" };
            let connection = &self.connection;
            connection.pragma_update(None, "synchronous", synchronous)?;
            self.waits = Some(waits);
        }
        Ok(())
    }

    /// Makes the tables that are missing.
    pub(super) fn prepare(&mut self) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.commit()
    }

    /// Whether it has tables.
    pub(super) fn is_made(&self) -> Result<bool, Unusable> {
        let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'facts'";
        let tables: i64 = self.connection.query_row(count, [], |row| row.get(0))?;
        Ok(tables > 0)
    }

    /// Checks that its pages make sense.
    pub(super) fn check(&self) -> Result<(), Unusable> {
        let answer: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        match answer.as_str() {
            "ok" => Ok(()),
            problem => Err(Unusable::Damaged(problem.to_owned())),
        }
    }

    /// Reads all rows that can be read, and says how many tables could not be read to their end.
    pub(super) fn read(&mut self) -> Found {
        let mut found = Found::default();
        let facts = self.each("SELECT name, value FROM facts", &mut |row| {
            found.facts.insert(row.get(0)?, row.get(1)?);
            Ok(true)
        });
        found.count(facts);
        self.written = found.facts.remove(WRITTEN).unwrap_or(0);
        for order in ["", " DESC"] {
            let before = found.unreadable;
            self.read_snapshots(order, &mut found);
            self.read_numbered("layers", "row, sum", order, &mut found);
            self.read_numbered("removals", "layer, NULL", order, &mut found);
            // From the other end, what lies behind a damaged page can be read as well.
            if found.unreadable == before {
                break;
            }
        }
        // The fact may be what could not be read. With a lower number, rows from now on would look older than records are.
        let newest = found.snapshots.values().map(|row| row.written).max();
        self.written = self.written.max(newest.unwrap_or(0));
        found.written = self.written;
        found
    }

    fn read_snapshots(&self, order: &str, found: &mut Found) {
        let Found { snapshots, .. } = found;
        let read = self.each(&format!("{SNAPSHOTS}{order}"), &mut |row| {
            let (key, text): (String, String) = (row.get(0)?, row.get(1)?);
            let is_sound = is_sound(row.get(2)?, key.as_bytes(), &text);
            let written = row.get(3)?;
            if is_sound {
                snapshots.insert(key, StoredRow { text, written });
            }
            Ok(is_sound)
        });
        found.count(read);
    }

    fn read_numbered(&self, table: &str, columns: &str, order: &str, found: &mut Found) {
        let rows = match table {
            "layers" => &mut found.layers,
            _ => &mut found.removals,
        };
        let text = format!("SELECT number, {columns} FROM {table} ORDER BY number{order}");
        let read = self.each(&text, &mut |row| {
            let (number, text): (u64, String) = (row.get(0)?, row.get(1)?);
            let is_sound = is_sound(row.get(2)?, &number.to_le_bytes(), &text);
            if is_sound {
                rows.insert(number, text);
            }
            Ok(is_sound)
        });
        found.count(read);
    }

    /// Reads rows until one cannot be read. Counts those that are not what was written.
    fn each(
        &self,
        text: &str,
        take: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<usize, usize> {
        let mut damaged = 0;
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(text)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // A row of wrong types is damaged, and those behind it are still read.
                if !take(row).unwrap_or(false) {
                    damaged += 1;
                }
            }
            Ok(())
        };
        match read() {
            Ok(()) => Ok(damaged),
            Err(_) => Err(damaged),
        }
    }

    /// Makes changes in one transaction: all or none. Whether they are on the device then is what `is_waited` says, for a file
    /// that is [`Use::Durable`].
    pub(super) fn write<'a>(
        &mut self,
        changes: impl Iterator<Item = &'a RowChange>,
        is_waited: bool,
    ) -> Result<(), Unwritten> {
        self.wait(is_waited).map_err(Unwritten::Undone)?;
        let written = self.written + 1;
        if let Err(error) = self.begin(changes, written) {
            self.roll_back();
            return Err(Unwritten::Undone(error));
        }
        match self.connection.execute_batch("COMMIT") {
            Ok(()) => {
                self.written = written;
                Ok(())
            }
            Err(error) => {
                self.roll_back();
                Err(sorted(error))
            }
        }
    }

    fn begin<'a>(
        &self,
        changes: impl Iterator<Item = &'a RowChange>,
        written: u64,
    ) -> rusqlite::Result<()> {
        let connection = &self.connection;
        // Takes the write lock at once, so that a failure to get it is one of `begin` and nothing is to be undone.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for change in changes {
            change.write(connection, written)?;
        }
        let fact = RowChange::PutFact(WRITTEN.into(), written);
        fact.write(connection, written)?;
        Ok(())
    }

    fn roll_back(&self) {
        // SQLite rolls back by itself after some errors, and a second ROLLBACK would be an error.
        if !self.connection.is_autocommit() {
            // An error means that there is nothing to roll back any more.
            let _rolled_back = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Lets the file grow no more, as on a full disk.
    #[cfg(test)]
    pub(super) fn limit_pages(&self) {
        let pages: i64 = self
            .connection
            .pragma_query_value(None, "page_count", |value| value.get(0))
            .unwrap();
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    }

    /// Moves everything from the write-ahead log into the file.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(checkpoint, [], |_| Ok(()))
    }
}

impl RowChange {
    fn write(&self, connection: &Connection, written: u64) -> rusqlite::Result<usize> {
        match self {
            Self::PutFact(name, value) => connection.execute(
                "INSERT OR REPLACE INTO facts VALUES (?1, ?2)",
                params![name, value],
            ),
            Self::PutSnapshot(key, row) => connection.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4)",
                params![key, row, sum(key.as_bytes(), row), written],
            ),
            Self::DropSnapshot(key) => {
                connection.execute("DELETE FROM snapshots WHERE key = ?1", params![key])
            }
            Self::PutLayer(number, row) => connection.execute(
                "INSERT OR REPLACE INTO layers VALUES (?1, ?2, ?3)",
                params![number, row, sum(&number.to_le_bytes(), row)],
            ),
            Self::DropLayer(number) => {
                connection.execute("DELETE FROM layers WHERE number = ?1", params![number])
            }
            Self::PutRemoval(number, layer) => connection.execute(
                "INSERT OR REPLACE INTO removals VALUES (?1, ?2)",
                params![number, layer],
            ),
            Self::DropRemoval(number) => {
                connection.execute("DELETE FROM removals WHERE number = ?1", params![number])
            }
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let set = |name, value: &str| connection.pragma_update(None, name, value);
    // Before the first access, so that the write-ahead log needs no shared memory.
    set("locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // An error of the disk under a mapping is SIGBUS, which would end the daemon; read(2) answers EIO.
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    set("temp_store", "MEMORY")?;
    // A damaged file is to stay as it was found.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Opens a file that nobody can change, without looking for its write-ahead log.
fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    // Every byte is escaped, because `?` and `#` of a path would be read as parts of the URI.
    let bytes = path.as_os_str().as_bytes().iter();
    let escaped: String = bytes.map(|byte| format!("%{byte:02x}")).collect();
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

/// Memory for pages: all rows are in memory as well, so few pages are asked for again.
const CACHE_KIB: i64 = 2048;
/// What stays of the write-ahead log after a checkpoint: twice what lies between two of them.
const LOG_BYTES: i64 = 8 << 20;

impl Found {
    fn count(&mut self, read: Result<usize, usize>) {
        self.unreadable += usize::from(read.is_err());
        let (Ok(damaged) | Err(damaged)) = read;
        self.damaged += damaged;
    }
}

/// Whether a row is what was written. One without a checksum was changed by an operator.
fn is_sound(stored: Option<u32>, key: &[u8], text: &str) -> bool {
    stored.is_none_or(|stored| stored == sum(key, text))
}

/// The checksum of a row: CRC-32 of key and text.
fn sum(key: &[u8], text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(text.as_bytes());
    hasher.finalize()
}

/// A full disk is met before the last page of a transaction is written, and that page makes it count. After any other error
/// of a commit, no one knows what is on the device: a sync that failed is not tried again, because the kernel reports
/// lost pages once.
fn sorted(error: rusqlite::Error) -> Unwritten {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Unwritten::Undone(error),
        _ => Unwritten::Unknown(error),
    }
}

fn is_short_read(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(ffi::SQLITE_IOERR_SHORT_READ)
}
