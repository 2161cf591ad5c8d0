//! The job. It reads and stages the file, checks the rows against the database, and writes them in one transaction. What is right
//! when it is checked may be wrong when it is applied: applying checks again, in the transaction that writes.

use std::borrow::Cow;
use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use serde_json::{Value, json};

use super::columns::Cells;
use super::kinds::{self, Kind};
use super::rules::{ImportFailure, ImportMode, ImportStatus, MOST_ERRORS, masked};
use super::stage::{self, Batch, Reading, Source, shortened};
use super::store::{self, ErrorRow, ImportRow, SealedRow};
use crate::access::{HeldRole, Scope};
use crate::accounts;
use crate::app::App;
use crate::audit::{self, Actor, Change};
use crate::db::scope::covers;
use crate::files;
use crate::http::problem::Place;
use crate::http::{Bilingual, Code, FieldError};
use crate::ids::{AccountId, ImportId, OrganizationId};
use crate::organizations;
use crate::system::operations::{self, GoOn, OperationStatus};
use crate::vault::{Purpose, hex};

/// Where the rows are sealed.
pub const PAYLOAD: &str = "import_rows.payload";
/// Rows that are checked and written at a time.
const CHUNK: i64 = 500;
/// How often applying starts again because somebody else wrote the same at the same time.
const ATTEMPTS: usize = 3;

/// Why the work ends before its end.
#[derive(Debug)]
pub enum Halt {
    /// Somebody stopped it.
    Stopped,
    /// Somebody wrote what this was about to write; checking again tells which row it is.
    Moved,
    /// Anything else.
    Failed(String),
}

impl From<DieselError> for Halt {
    fn from(error: DieselError) -> Self {
        use DatabaseErrorKind::{ExclusionViolation, ForeignKeyViolation, SerializationFailure, UniqueViolation};
        let moved = match &error {
            DieselError::DatabaseError(UniqueViolation | ForeignKeyViolation | ExclusionViolation | SerializationFailure, _) => {
                true
            }
            // The database has ended one of two that waited for one another.
            DieselError::DatabaseError(_, information) => information.message().contains("deadlock"),
            _ => false,
        };
        if moved { Self::Moved } else { Self::Failed(error.to_string()) }
    }
}

/// Something that is wrong with a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Number of the row in the file.
    pub number: i32,
    /// Its column, where it is not that of the field.
    pub column: Option<usize>,
    /// Its field.
    pub field: Option<String>,
    /// Stable code.
    pub code: Cow<'static, str>,
    /// What to change.
    pub message: Bilingual,
    /// What stands there; personal numbers masked.
    pub value: Option<String>,
}

impl Fault {
    /// A fault of a body as one of a row.
    pub fn of(number: i32, kind: &Kind, cells: &Cells, fault: FieldError) -> Self {
        let pointer = match fault.place {
            Place::Pointer(pointer) => pointer.trim_start_matches('/').replace('/', "."),
            Place::Parameter(name) | Place::Header(name) => name,
        };
        let column = kind.columns.iter().find(|column| column.field == pointer).or_else(|| {
            let first = pointer.split('.').next().unwrap_or_default();
            kind.columns.iter().find(|column| column.field == first)
        });
        let value = column.and_then(|column| match cells.json(column.field) {
            Value::Null => None,
            _ if column.secret => None,
            Value::String(text) if column.personal => Some(masked(&text)),
            Value::String(text) => Some(shortened(&text)),
            Value::Array(_) => Some(shortened(&cells.list(column.field).join("、"))),
            other => Some(other.to_string()),
        });
        let field = column.map(|column| column.field.to_owned());
        Self { number, column: None, field, code: fault.code, message: fault.message, value }
    }
}

/// What is wrong with rows: of very many those that were found first, and how many there are.
#[derive(Default)]
struct Faults {
    kept: Vec<Fault>,
    count: i32,
}

impl Faults {
    fn push(&mut self, fault: Fault) {
        self.count += 1;
        if self.kept.len() < MOST_ERRORS {
            self.kept.push(fault);
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A staged row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its number in the file.
    pub number: i32,
    /// Something is wrong with it by itself: it is not looked at, and what refers to it is not told off.
    pub faulty: bool,
    /// Its cells.
    pub cells: Cells,
}

/// An import at work: what a kind's function gets.
pub struct Work {
    /// The service.
    pub app: App,
    /// The import.
    pub import: ImportRow,
    /// Whether to write, in the transaction of [`Work::conn`], or only to check.
    pub write: bool,
    conn: Object<AsyncPgConnection>,
    kind: &'static Kind,
    /// Role by which who asked for it may do it now.
    role: Option<&'static str>,
    faults: Faults,
    /// Rows that were told that there is a record elsewhere.
    kept_elsewhere: u32,
    faulty: HashSet<i32>,
    counts: [i32; 3],
    after: i32,
    done: i64,
}

impl Work {
    /// The connection; of work that writes, in its transaction.
    pub fn conn(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }

    /// The place below which everything lies.
    pub fn place(&self) -> OrganizationId {
        self.import.organization_id
    }

    /// Who asked for it.
    pub fn actor(&self) -> AccountId {
        self.import.created_by
    }

    /// Domain time.
    pub fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }

    /// Today in Asia/Shanghai, by domain time.
    pub fn today(&self) -> NaiveDate {
        self.app.clock.today()
    }

    /// The next rows of the file; none: that was all. Reading through them counts as progress where `counts`.
    pub async fn rows(&mut self, counts: bool) -> Result<Option<Vec<Row>>, Halt> {
        let sealed = store::rows_after(&self.conn, self.import.id, self.after, CHUNK).await?;
        let Some(last) = sealed.last() else {
            self.after = 0;
            return Ok(None);
        };
        self.after = last.number;
        if counts {
            self.progress(sealed.len()).await?;
        }
        self.opened(sealed).map(Some)
    }

    /// The rows with these numbers, in this order.
    pub async fn rows_numbered(&mut self, numbers: &[i32]) -> Result<Vec<Row>, Halt> {
        let sealed = store::rows_numbered(&self.conn, self.import.id, numbers).await?;
        self.progress(numbers.len()).await?;
        let mut rows = self.opened(sealed)?;
        let order: std::collections::HashMap<i32, usize> = numbers.iter().copied().zip(0..).collect();
        rows.sort_by_key(|row| order.get(&row.number).copied());
        Ok(rows)
    }

    /// The same rows once more, which is no progress.
    pub async fn rows_again(&mut self, numbers: &[i32]) -> Result<Vec<Row>, Halt> {
        self.progress(0).await?;
        let sealed = store::rows_numbered(&self.conn, self.import.id, numbers).await?;
        self.opened(sealed)
    }

    /// Stages rows anew, with other cells.
    pub async fn restage(&mut self, rows: &[Row]) -> Result<(), Halt> {
        let sealed = |row: &Row| {
            let cells = serde_json::to_vec(&row.cells.0).map_err(|fault| Halt::Failed(fault.to_string()))?;
            Ok((row.number, self.app.vault.seal(Purpose::Personal, PAYLOAD, &cells)))
        };
        let sealed: Vec<(i32, Vec<u8>)> = rows.iter().map(sealed).collect::<Result<_, Halt>>()?;
        store::replace_payloads(&mut self.conn, self.import.id, &sealed).await?;
        Ok(())
    }

    fn opened(&self, sealed: Vec<SealedRow>) -> Result<Vec<Row>, Halt> {
        let open = |row: SealedRow| {
            let payload = self.app.vault.open(PAYLOAD, &row.payload).map_err(|fault| Halt::Failed(fault.to_string()))?;
            let cells = serde_json::from_slice(&payload).map_err(|fault| Halt::Failed(fault.to_string()))?;
            Ok(Row { number: row.number, faulty: row.faulty || self.faulty.contains(&row.number), cells: Cells(cells) })
        };
        sealed.into_iter().map(open).collect()
    }

    /// Tells how far it is, on a connection of its own, and finds out whether to go on.
    async fn progress(&mut self, rows: usize) -> Result<(), Halt> {
        self.done += rows as i64;
        go_on(&self.app, &self.import, self.done).await
    }

    /// Something is wrong with a row.
    pub fn fault(&mut self, row: &Row, fault: FieldError) {
        self.faulty.insert(row.number);
        self.faults.push(Fault::of(row.number, self.kind, &row.cells, fault));
    }

    /// Whether something was found to be wrong with a row.
    pub fn is_faulty(&self, number: i32) -> bool {
        self.faulty.contains(&number)
    }

    /// Whether nothing was found to be wrong yet.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether to write what has been checked: nothing was found to be wrong yet.
    pub fn writes(&self) -> bool {
        self.write && self.is_clean()
    }

    /// Something is wrong with a row, which tells that there is a record that who asked for it may not read: that stands in the
    /// audit trail, once for the import with the number of its rows.
    pub fn fault_kept_elsewhere(&mut self, row: &Row, fault: FieldError) {
        self.kept_elsewhere += 1;
        self.fault(row, fault);
    }

    /// Writes an entry of the audit trail for each change that a part of the rows has made.
    pub async fn record(&mut self, changes: Vec<Change>) -> Result<(), Halt> {
        let (wall, actor) = (self.app.clock.wall(), Actor { role: self.role, ..self.as_actor() });
        Ok(audit::record_all(&mut self.conn, wall, &actor, changes).await?)
    }

    fn as_actor(&self) -> Actor {
        Actor { account_id: Some(self.import.applied_by.unwrap_or(self.import.created_by).0), ..Actor::default() }
    }

    /// A row is of something new.
    pub fn count_new(&mut self) {
        self.counts[0] += 1;
    }

    /// A row changes something, or is so already.
    pub fn count_known(&mut self, changed: bool) {
        self.counts[if changed { 1 } else { 2 }] += 1;
    }
}

/// Tells how far an import is; stops where somebody wants that. Where no connection is free at this moment it is told the next time:
/// nothing is concluded that somebody has stopped.
async fn go_on(app: &App, import: &ImportRow, done: i64) -> Result<(), Halt> {
    let Ok(mut conn) = app.db.transaction_connection().await else { return Ok(()) };
    if !store::advance(&mut conn, import.id, import.status, done).await? {
        return Err(Halt::Stopped);
    }
    if operations::advance(&mut conn, import.operation_id, done).await? == GoOn::Stop {
        store::end(&mut conn, import.id, ImportStatus::Cancelled, None, app.clock.wall()).await?;
        return Err(Halt::Stopped);
    }
    Ok(())
}

/// The job: validates what is to be validated and applies what is to be applied. It can be run again after a failure.
pub async fn run(app: &App, payload: Value) -> Result<(), String> {
    let id: ImportId = serde_json::from_value(payload["import_id"].clone()).map_err(|fault| fault.to_string())?;
    let result = match work(app, id).await {
        Err(Halt::Moved) => Err("others wrote the same meanwhile".to_owned()),
        Err(Halt::Failed(fault)) => Err(fault),
        Ok(()) | Err(Halt::Stopped) => Ok(()),
    };
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    let import = store::get(&conn, id).await.map_err(|fault| fault.to_string())?;
    let status = match import.status {
        ImportStatus::Validating | ImportStatus::Applying => return result,
        ImportStatus::Validated | ImportStatus::Applied => OperationStatus::Succeeded,
        ImportStatus::Failed => OperationStatus::Failed,
        ImportStatus::Cancelled => OperationStatus::Cancelled,
    };
    if import.status.is_final() {
        // What an attempt staged while somebody stopped it.
        store::drop_rows(&mut conn, id).await.map_err(|fault| fault.to_string())?;
    }
    let error = (status == OperationStatus::Failed).then_some(crate::http::Code::ValidationFailed.as_str());
    let finished = operations::finish(&mut conn, import.operation_id, status, error, app.clock.wall()).await;
    finished.map_err(|fault| fault.to_string())?;
    result
}

/// No attempt came to an end: it has failed, and nothing was written.
pub async fn given_up(app: &App, payload: Value) -> Result<(), String> {
    let id: ImportId = serde_json::from_value(payload["import_id"].clone()).map_err(|fault| fault.to_string())?;
    let ended = async {
        let mut conn = connection(app).await?;
        let import = store::get(&conn, id).await?;
        let wall = app.clock.wall();
        store::end(&mut conn, id, ImportStatus::Failed, Some(ImportFailure::GivenUp), wall).await?;
        let error = Some(Code::Internal.as_str());
        operations::finish(&mut conn, import.operation_id, OperationStatus::Failed, error, wall).await?;
        Ok(())
    };
    ended.await.map_err(|halt: Halt| format!("{halt:?}"))
}

async fn work(app: &App, id: ImportId) -> Result<(), Halt> {
    let mut conn = connection(app).await?;
    let import = store::get(&conn, id).await?;
    if import.status.is_final() {
        return Ok(());
    }
    let total = import.total.filter(|_| import.status == ImportStatus::Applying);
    if operations::begin(&mut conn, import.operation_id, total, app.clock.wall()).await? == GoOn::Stop {
        store::end(&mut conn, id, ImportStatus::Cancelled, None, app.clock.wall()).await?;
        return Err(Halt::Stopped);
    }
    let mut import = import;
    if import.status == ImportStatus::Validating {
        validate(app, conn, &import).await?;
        conn = connection(app).await?;
        import = store::get(&conn, id).await?;
        if import.status == ImportStatus::Validated && import.mode == ImportMode::Apply {
            import = begin_applying(app, &mut conn, &import).await?;
        }
    }
    drop(conn);
    if import.status == ImportStatus::Applying { apply(app, &import).await } else { Ok(()) }
}

async fn connection(app: &App) -> Result<Object<AsyncPgConnection>, Halt> {
    app.db.transaction_connection().await.map_err(|fault| Halt::Failed(fault.to_string()))
}

/// A validated import of mode `apply` goes on by itself, unless the same file was applied meanwhile.
async fn begin_applying(app: &App, conn: &mut Object<AsyncPgConnection>, import: &ImportRow) -> Result<ImportRow, Halt> {
    let wall = app.clock.wall();
    AnsiTransactionManager::begin_transaction(&mut **conn).await?;
    let same = store::lock_same(conn, import).await?;
    if !import.again && same.iter().any(|(_, status)| applied(*status)) {
        let ended = store::end(conn, import.id, ImportStatus::Failed, Some(ImportFailure::AlreadyApplied), wall).await?;
        AnsiTransactionManager::commit_transaction(&mut **conn).await?;
        return ended.ok_or(Halt::Stopped);
    }
    let begun = store::start_applying(conn, import.id, import.operation_id, None, import.again, wall).await?;
    AnsiTransactionManager::commit_transaction(&mut **conn).await?;
    begun.ok_or(Halt::Stopped)
}

/// Whether such an import has written, or is about to.
pub fn applied(status: ImportStatus) -> bool {
    matches!(status, ImportStatus::Applied | ImportStatus::Applying)
}

/// Reads, stages and checks.
async fn validate(app: &App, mut conn: Object<AsyncPgConnection>, import: &ImportRow) -> Result<(), Halt> {
    let wall = app.clock.wall();
    store::restart(&mut conn, import.id).await?;
    let kind = kinds::of(import.kind);
    let content = match import.file_id {
        Some(file) => files::content(app, &conn, file).await.map_err(|fault| Halt::Failed(fault.to_string()))?,
        None => None,
    };
    let source = match content {
        Some(bytes) => bytes,
        None => {
            store::end(&mut conn, import.id, ImportStatus::Failed, Some(ImportFailure::FileGone), wall).await?;
            return Ok(());
        }
    };
    let (id, media_type, vault) = (import.id, import.media_type.clone(), app.vault.clone());
    let source = Source { id, kind, media_type, bytes: source, vault, today: app.clock.today() };
    let (reading, faults) = staged(app, &mut conn, import, source).await?;
    store::read(&mut conn, id, reading.sheet.as_deref(), &reading.fields, &reading.ignored, reading.rows).await?;
    let import = &store::get(&conn, id).await?;
    if let Some(failure) = reading.failure {
        return fail(app, &mut conn, import, failure, faults).await;
    }
    let role = match may(app, &conn, import, kind).await? {
        Ok(role) => role,
        Err(failure) => return fail(app, &mut conn, import, failure, Faults::default()).await,
    };
    let mut work = begin(app, conn, import, false);
    (work.faults, work.role) = (faults, role);
    (kind.run)(&mut work).await?;
    tell_of_records_elsewhere(&mut work).await?;
    let Work { mut conn, faults, counts, .. } = work;
    if faults.is_empty() {
        let (from, to) = (ImportStatus::Validating, ImportStatus::Validated);
        let concluded = store::conclude(&mut conn, id, from, to, counts, app.clock.wall()).await?;
        return if concluded { Ok(()) } else { Err(Halt::Stopped) };
    }
    fail(app, &mut conn, import, ImportFailure::Rows, faults).await
}

/// Reads the file in a thread of its own and stages what comes.
async fn staged(app: &App, conn: &mut AsyncPgConnection, import: &ImportRow, source: Source) -> Result<(Reading, Faults), Halt> {
    let (sender, mut batches) = tokio::sync::mpsc::channel::<Batch>(2);
    let reader = tokio::task::spawn_blocking(move || stage::read_all(&source, &sender));
    let (mut faults, mut done) = (Faults::default(), 0);
    while let Some(batch) = batches.recv().await {
        if !batch.rows.is_empty() {
            store::insert_rows(conn, &batch.rows).await?;
            done += batch.rows.len() as i64;
            go_on(app, import, done).await?;
        }
        batch.faults.into_iter().for_each(|fault| faults.push(fault));
    }
    let reading = reader.await.map_err(|fault| Halt::Failed(fault.to_string()))?;
    Ok((reading, faults))
}

/// That there are records which who asked for it may not read is told at her rows: it stands in the audit trail.
async fn tell_of_records_elsewhere(work: &mut Work) -> Result<(), Halt> {
    if work.kept_elsewhere == 0 {
        return Ok(());
    }
    let code = Code::PersonKeptElsewhere;
    let what = json!({ "operation": "start_import", "status": code.status().as_u16(), "code": code.as_str(), "rows": work.kept_elsewhere });
    let (id, place) = (work.import.id, work.import.organization_id);
    work.record(vec![Change::refused("request.refused", "import", Some(id.0), Some(place)).after(&what)]).await
}

/// Whoever asked for it may still do it, and the place still works; the role by which she may.
async fn may(
    app: &App,
    conn: &AsyncPgConnection,
    import: &ImportRow,
    kind: &Kind,
) -> Result<Result<Option<&'static str>, ImportFailure>, Halt> {
    if !organizations::is_active(conn, import.organization_id).await? {
        return Ok(Err(ImportFailure::PlaceGone));
    }
    let roles: Vec<HeldRole> = accounts::roles_of(conn, import.created_by).await?;
    let today = app.clock.today();
    let scope = Scope::of(&roles, kind.permission, today);
    if !covers(conn, &scope, import.organization_id).await? {
        return Ok(Err(ImportFailure::PermissionLost));
    }
    Ok(Ok(roles.iter().find(|held| held.gives(kind.permission, today)).map(|held| held.role.as_str())))
}

fn begin(app: &App, conn: Object<AsyncPgConnection>, import: &ImportRow, write: bool) -> Work {
    Work {
        app: app.clone(),
        kind: kinds::of(import.kind),
        import: import.clone(),
        write,
        conn,
        role: None,
        faults: Faults::default(),
        kept_elsewhere: 0,
        faulty: HashSet::new(),
        counts: [0; 3],
        after: 0,
        done: 0,
    }
}

/// It failed: its errors are told by row and column.
async fn fail(
    app: &App,
    conn: &mut AsyncPgConnection,
    import: &ImportRow,
    failure: ImportFailure,
    faults: Faults,
) -> Result<(), Halt> {
    let Faults { kept: mut faults, count } = faults;
    let column = |fault: &Fault| {
        fault.column.or_else(|| {
            let field = fault.field.as_deref()?;
            import.fields.iter().position(|known| known == field)
        })
    };
    faults.sort_by_key(|fault| (fault.number, column(fault)));
    let error = |(seq, fault): (i32, Fault)| ErrorRow {
        import_id: import.id,
        seq,
        number: Some(fault.number),
        // A column without a field is told by its letters.
        field: fault.field.or_else(|| fault.column.map(|column| format!("#{column}"))),
        code: fault.code.into_owned(),
        zh: stage::cut(&fault.message.zh, 1000),
        en: stage::cut(&fault.message.en, 1000),
        value: fault.value,
    };
    let errors: Vec<ErrorRow> = (1..).zip(faults).map(error).collect();
    store::put_errors(conn, import.id, &errors, count).await?;
    let ended = store::end(conn, import.id, ImportStatus::Failed, Some(failure), app.clock.wall()).await?;
    if ended.is_some() { Ok(()) } else { Err(Halt::Stopped) }
}

/// Checks again and writes, in one transaction: all of it or nothing.
async fn apply(app: &App, import: &ImportRow) -> Result<(), Halt> {
    for attempt in 1..=ATTEMPTS {
        match apply_once(app, import).await {
            Err(Halt::Moved) if attempt < ATTEMPTS => {}
            Err(Halt::Moved) => break,
            outcome => return outcome,
        }
    }
    // Nothing was written, and what was checked holds no more: it is for people to look at, not for the next attempt.
    fail(app, &mut *connection(app).await?, import, ImportFailure::Overtaken, Faults::default()).await
}

async fn apply_once(app: &App, import: &ImportRow) -> Result<(), Halt> {
    let kind = kinds::of(import.kind);
    let mut work = begin(app, connection(app).await?, import, true);
    AnsiTransactionManager::begin_transaction(&mut *work.conn).await?;
    let outcome = written(&mut work, kind).await;
    if let Ok(None) = outcome {
        AnsiTransactionManager::commit_transaction(&mut *work.conn).await?;
        return Ok(());
    }
    AnsiTransactionManager::rollback_transaction(&mut *work.conn).await?;
    tell_of_records_elsewhere(&mut work).await?;
    let Work { mut conn, faults, .. } = work;
    match outcome? {
        Some(failure) => fail(app, &mut conn, import, failure, faults).await,
        None => Ok(()),
    }
}

/// Writes everything and says so. Some: why nothing is to be written.
async fn written(work: &mut Work, kind: &Kind) -> Result<Option<ImportFailure>, Halt> {
    organizations::bulk::lock(&mut work.conn).await?;
    match may(&work.app, &work.conn, &work.import, kind).await? {
        Ok(role) => work.role = role,
        Err(failure) => return Ok(Some(failure)),
    }
    (kind.run)(work).await?;
    if !work.faults.is_empty() {
        return Ok(Some(ImportFailure::Rows));
    }
    let wall = work.app.clock.wall();
    let import = work.import.clone();
    let (from, to) = (ImportStatus::Applying, ImportStatus::Applied);
    if !store::conclude(&mut work.conn, import.id, from, to, work.counts, wall).await? {
        return Err(Halt::Stopped);
    }
    let [new, changed, unchanged] = work.counts;
    let sha256 = hex(&import.file_sha256);
    let told = json!({ "kind": import.kind, "rows": import.row_count, "new": new, "changed": changed, "unchanged": unchanged, "sha256": sha256 });
    work.record(vec![Change::of("import.applied", "import", import.id, import.organization_id).after(&told)]).await?;
    Ok(None)
}
