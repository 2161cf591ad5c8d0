//! The work: finds out whose accounts the rows are about, what they may be given, and writes it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{GRANTED_AT, PASSWORD, PASSWORD_HASH, days, modules, store};
use crate::access::{HeldRole, Role, Scope};
use crate::accounts::api::admin::AccountView;
use crate::accounts::api::authority::Granters;
use crate::accounts::api::grants::{GrantView, grant_faults};
use crate::accounts::revocation;
use crate::accounts::rules::AccountStatus;
use crate::accounts::store::{AccountRow, GrantRow, NewAccountRow, grants_of, roles_of};
use crate::audit::Change;
use crate::http::FieldError;
use crate::http::problem::Place;
use crate::ids::{AccountId, GrantId, OrganizationId, PersonId};
use crate::imports::{Cells, Halt, Row, Work};
use crate::organizations::bulk::{Tree, missing, repeated};
use crate::organizations::hold_people;
use crate::vault::sha256;

/// Passwords that are hashed before anybody asks whether the import is still wanted.
const HASHED_AT_ONCE: usize = 20;

/// A row with the organizations that it names.
struct Said {
    row: Row,
    organization_id: Option<OrganizationId>,
    granted_at: Option<OrganizationId>,
}

/// An account of the table, from its first row on.
struct Known {
    id: AccountId,
    first: i32,
    is_new: bool,
    display_name: String,
    organization_id: OrganizationId,
    person_id: Option<PersonId>,
    /// Digest of its initial password, for rows that say another.
    password: Option<Vec<u8>>,
    /// What it has and is to have; with the row that says so.
    grants: Vec<(GrantRow, Option<i32>)>,
}

/// What all rows share.
struct Table {
    tree: Tree,
    /// What who uploaded it may do now.
    roles: Vec<HeldRole>,
    me: AccountId,
    today: NaiveDate,
    known: HashMap<String, Known>,
    /// Names of accounts whose first row is wrong: further rows are told off when that one is right.
    broken: HashSet<String>,
    /// Rows with a password, and whether it is that of a new account.
    passwords: Vec<(i32, bool)>,
}

/// What there is, as far as a part of the rows needs it.
struct There {
    accounts: HashMap<String, AccountRow>,
    grants: Vec<GrantRow>,
    granters: Granters,
    above: HashSet<AccountId>,
    people: HashSet<PersonId>,
}

/// What a grant is measured by.
#[derive(Clone, Copy)]
struct Giving<'a> {
    tree: &'a Tree,
    there: &'a There,
    me: AccountId,
    today: NaiveDate,
    now: DateTime<Utc>,
}

/// What a part of the rows makes.
#[derive(Default)]
struct Made {
    /// New accounts with the hashes of their passwords.
    accounts: Vec<(String, String)>,
    changed: Vec<(AccountRow, AccountRow)>,
    grants: Vec<GrantRow>,
}

pub async fn run(work: &mut Work) -> Result<(), Halt> {
    let (place, me, today) = (work.place(), work.actor(), work.today());
    let tree = Tree::load(work.conn(), place).await?;
    let roles = roles_of(work.conn(), me).await?;
    let (known, broken, passwords) = Default::default();
    let mut table = Table { tree, roles, me, today, known, broken, passwords };
    while let Some(rows) = work.rows(true).await? {
        let said: Vec<Said> = rows.into_iter().filter_map(|row| said(work, &mut table, row)).collect();
        let there = there(work, &table, &said).await?;
        let mut made = Made::default();
        for said in &said {
            if let Err(fault) = take(work, &mut table, &there, said, &mut made) {
                work.fault(&said.row, *fault);
            }
        }
        if work.writes() {
            write(work, &table, made).await?;
        }
    }
    // Nothing waits with a password in it, and argon2 works in no transaction.
    if !work.write && work.is_clean() { hash_passwords(work, &table.passwords).await } else { Ok(()) }
}

/// Reads where a row is about; none: something is wrong with it.
fn said(work: &mut Work, table: &mut Table, row: Row) -> Option<Said> {
    let mut wrong = row.faulty;
    let mut named = |found: Result<Option<OrganizationId>, Box<FieldError>>| {
        found.unwrap_or_else(|fault| {
            if !row.faulty {
                work.fault(&row, *fault);
            }
            wrong = true;
            None
        })
    };
    let organization_id = named(table.tree.named(&row.cells));
    let granted_at = named(table.tree.named_in(&row.cells, GRANTED_AT));
    if wrong {
        table.broken.extend(row.cells.text("username").map(str::to_owned));
        return None;
    }
    Some(Said { row, organization_id, granted_at })
}

fn person_of(cells: &Cells) -> Option<PersonId> {
    cells.parsed::<Uuid>("person_id").map(PersonId)
}

/// Looks up what the rows need, some statements for all of them.
async fn there(work: &mut Work, table: &Table, rows: &[Said]) -> Result<There, Halt> {
    let (place, today, lock) = (work.place(), table.today, work.write);
    let username = |said: &Said| said.row.cells.text("username").unwrap_or_default().to_owned();
    let names: HashSet<String> = rows.iter().map(&username).filter(|name| !table.known.contains_key(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let accounts = store::by_username(work.conn(), &names, lock).await?;
    let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
    let grants = grants_of(work.conn(), &ids).await?;
    let kept = rows.iter().filter_map(|said| table.known.get(&username(said))).map(|known| known.organization_id);
    let named = rows.iter().flat_map(|said| [said.organization_id, said.granted_at]).flatten();
    let places: HashSet<OrganizationId> = grants
        .iter()
        .map(|grant| grant.organization_id)
        .chain(accounts.iter().map(|account| account.organization_id))
        .chain(kept)
        .chain(named)
        .collect();
    let places: Vec<OrganizationId> = places.into_iter().collect();
    let granters = Granters::at(work.conn(), &table.roles, today, &places).await?;
    let people: Vec<PersonId> = rows.iter().filter_map(|said| person_of(&said.row.cells)).collect();
    let people = hold_people(work.conn(), &Scope::below(place), &people, today).await?.into_iter().collect();
    let above = granters.above(&grants, today);
    let accounts = accounts.into_iter().map(|account| (account.username.clone(), account)).collect();
    Ok(There { accounts, grants, granters, above, people })
}

/// Checks a row and adds what it makes.
fn take(work: &mut Work, table: &mut Table, there: &There, said: &Said, made: &mut Made) -> Result<(), Box<FieldError>> {
    let cells = &said.row.cells;
    let username = cells.text("username").unwrap_or_default();
    if table.broken.contains(username) {
        return Ok(());
    }
    let mut changed = false;
    let is_first = !table.known.contains_key(username);
    if is_first {
        let before = there.accounts.get(username);
        let known = meant(table, there, said, before).inspect_err(|_| table.broken.extend([username.to_owned()]))?;
        if let Some(before) = before {
            let after = AccountRow {
                display_name: known.display_name.clone(),
                organization_id: known.organization_id,
                person_id: known.person_id,
                ..before.clone()
            };
            changed = differs(before, &after);
            if changed {
                made.changed.push((before.clone(), after));
            }
        } else if let Some(hash) = cells.text(PASSWORD_HASH) {
            made.accounts.push((username.to_owned(), hash.to_owned()));
        }
        table.known.insert(username.to_owned(), known);
    }
    let giving = Giving { tree: &table.tree, there, me: table.me, today: table.today, now: work.app.clock.wall() };
    let Some(known) = table.known.get_mut(username) else { return Ok(()) };
    if !is_first {
        agrees(known, said)?;
    }
    if cells.text(PASSWORD).is_some() {
        table.passwords.push((said.row.number, is_first && known.is_new));
    }
    let grant = match cells.parsed::<Role>("role") {
        Some(role) => granted(&giving, known, said, role)?,
        None if is_first => None,
        None => return Err(Box::new(repeated("/username", known.first))),
    };
    if known.is_new {
        work.count_new();
    } else {
        work.count_known(changed || grant.is_some());
    }
    made.grants.extend(grant);
    Ok(())
}

fn differs(one: &AccountRow, other: &AccountRow) -> bool {
    let facts = |row: &AccountRow| (row.display_name.clone(), row.organization_id, row.person_id);
    facts(one) != facts(other)
}

/// The account that a first row means.
fn meant(table: &Table, there: &There, said: &Said, before: Option<&AccountRow>) -> Result<Known, Box<FieldError>> {
    let cells = &said.row.cells;
    if before.is_some_and(|before| !table.tree.contains(before.organization_id)) {
        // Where it is kept is not told; that the name is taken is, as the single command does.
        return Err(Box::new(FieldError::at("/username", "taken", "用户名已被使用", "is taken")));
    }
    let kept = before.map(|before| before.organization_id);
    let organization_id = said.organization_id.or(kept).ok_or_else(missing)?;
    let person_before = before.and_then(|before| before.person_id);
    let person_id = if cells.has("person_id") { person_of(cells) } else { person_before };
    if person_id != person_before && person_id.is_some_and(|person| !there.people.contains(&person)) {
        return Err(FieldError::unknown_reference("/person_id").into());
    }
    let known = Known {
        id: before.map_or_else(AccountId::generate, |before| before.id),
        first: said.row.number,
        is_new: before.is_none(),
        display_name: cells.text("display_name").unwrap_or_default().to_owned(),
        organization_id,
        person_id,
        password: cells.text(PASSWORD).map(|password| sha256(password.as_bytes())),
        grants: there
            .grants
            .iter()
            .filter(|grant| before.is_some_and(|before| before.id == grant.account_id))
            .cloned()
            .map(|grant| (grant, None))
            .collect(),
    };
    match before {
        None if cells.text("role").is_none() => {
            Err(Box::new(FieldError::at("/role", "required", "新账号须填写角色", "is required for a new account")))
        }
        None if cells.text(PASSWORD).is_none() && cells.text(PASSWORD_HASH).is_none() => {
            let (zh, en) = ("新账号的第一行须填写初始密码", "is required in the first row of a new account");
            Err(Box::new(FieldError::at(format!("/{PASSWORD}"), "required", zh, en)))
        }
        Some(before) if there.above.contains(&before.id) => {
            let facts = (&before.display_name, before.organization_id, before.person_id);
            if facts == (&known.display_name, organization_id, person_id) {
                return Ok(known);
            }
            let (zh, en) = ("该账号拥有您无权授予的角色", "the account holds a role that you could not grant");
            Err(Box::new(FieldError::at("/username", "permission_denied", zh, en)))
        }
        _ => Ok(known),
    }
}

/// A further row of an account says the same of it as the first.
fn agrees(known: &Known, said: &Said) -> Result<(), Box<FieldError>> {
    let cells = &said.row.cells;
    let password = cells.text(PASSWORD).filter(|_| known.is_new && known.password.is_some());
    let disagreeing = if cells.text("display_name") != Some(&known.display_name) {
        "display_name"
    } else if cells.has("person_id") && person_of(cells) != known.person_id {
        "person_id"
    } else if said.organization_id.is_some_and(|organization| organization != known.organization_id) {
        ["organization_id", "organization_code"]
            .into_iter()
            .find(|field| cells.text(field).is_some())
            .unwrap_or("organization_path")
    } else if password.is_some_and(|password| known.password != Some(sha256(password.as_bytes()))) {
        PASSWORD
    } else {
        return Ok(());
    };
    let first = known.first;
    let (mut zh, mut en) =
        (format!("与第 {first} 行同一用户名的内容不一致"), format!("differs from row {first}, which has the same user name"));
    if disagreeing.starts_with("organization") {
        zh.push_str("；角色在别处有效的，请填写授权组织");
        en.push_str("; a role that holds elsewhere is told by the grant's organization");
    }
    Err(Box::new(FieldError::at(format!("/{disagreeing}"), "disagrees", zh, en)))
}

/// The grant that a row makes; none: the account has it.
fn granted(giving: &Giving<'_>, known: &mut Known, said: &Said, role: Role) -> Result<Option<GrantRow>, Box<FieldError>> {
    let Giving { tree, there, me, today, now } = *giving;
    let (cells, number) = (&said.row.cells, said.row.number);
    let place = said.granted_at.unwrap_or(known.organization_id);
    let ((from_on, to_on), (named, _)) = (days(cells, today), modules(cells));
    let other_modules = |grant: &GrantRow| {
        let mut held = grant.modules();
        held.sort_by_key(|module| module.as_str());
        let mut named = named.clone();
        named.sort_by_key(|module| module.as_str());
        !named.is_empty() && named != held
    };
    let difference = |grant: &GrantRow| {
        let day = |field| cells.has(field) && cells.text(field).is_some();
        [
            ("/modules", other_modules(grant)),
            ("/from_on", day("from_on") && grant.from_on != from_on),
            ("/to_on", cells.has("to_on") && grant.to_on != to_on),
        ]
        .into_iter()
        .find_map(|(pointer, differs)| differs.then_some(pointer))
    };
    let meets = |grant: &GrantRow| {
        let same_days = cells.text("from_on").is_some() && difference(grant).is_none();
        let lasts = grant.to_on.is_none_or(|last| last >= from_on.max(today)) && to_on.is_none_or(|last| last >= grant.from_on);
        (grant.role, grant.organization_id) == (role, place) && (same_days || lasts)
    };
    let mut meeting: Vec<_> = known.grants.iter_mut().filter(|(grant, _)| meets(grant)).collect();
    if let Some((_, row)) = meeting.iter_mut().find(|(grant, row)| row.is_none() && difference(grant).is_none()) {
        *row = Some(number);
        return Ok(None);
    }
    if let Some(first) = meeting.iter().find_map(|(_, row)| *row) {
        return Err(Box::new(repeated("/role", first)));
    }
    if let Some(pointer) = meeting.iter().find_map(|(grant, _)| difference(grant)) {
        let (zh, en) = (
            "该账号已有此授权，模块或期限不同；请先撤销再授权",
            "it has this grant, for other modules or days; revoke that first",
        );
        return Err(Box::new(FieldError::at(pointer, "by_action", zh, en)));
    }
    let denied =
        |pointer: &str, zh: &'static str, en: &'static str| Err(Box::new(FieldError::at(pointer, "permission_denied", zh, en)));
    if known.id == me {
        return denied("/username", "不能给自己授权", "nobody grants to herself");
    }
    if !there.granters.may_give(role, place, &[]) {
        return denied("/role", "您无权在此授予该角色", "is a role that you may not grant there");
    }
    let modules = if named.is_empty() { there.granters.usual(role, place) } else { named };
    if modules.is_empty() || !there.granters.may_give(role, place, &modules) {
        return denied("/modules", "其中有您自己没有的模块", "names a module that you do not have");
    }
    if let Some(fault) = grant_faults(role, tree.is_top(place), from_on, to_on).into_iter().next() {
        let fields = GRANTED_AT.into_iter().chain(["organization_id", "organization_code", "organization_path"]);
        let said = fields.into_iter().find(|field| cells.text(field).is_some()).unwrap_or("organization_path");
        let is_place = matches!(&fault.place, Place::Pointer(pointer) if *pointer == "/organization_id");
        return Err(Box::new(if is_place { FieldError { place: Place::Pointer(format!("/{said}")), ..fault } } else { fault }));
    }
    let grant = GrantRow {
        id: GrantId::generate(),
        account_id: known.id,
        role,
        organization_id: place,
        modules: modules.iter().map(ToString::to_string).collect(),
        from_on,
        to_on,
        granted_by: Some(me),
        created_at: now,
    };
    known.grants.push((grant.clone(), Some(number)));
    Ok(Some(grant))
}

/// Writes a part, and an entry of the audit trail for each account and grant.
async fn write(work: &mut Work, table: &Table, made: Made) -> Result<(), Halt> {
    let now = work.app.clock.wall();
    let new: Vec<NewAccountRow<'_>> = made
        .accounts
        .iter()
        .filter_map(|(username, hash)| {
            let known = table.known.get(username)?;
            Some(NewAccountRow {
                id: known.id,
                username,
                display_name: &known.display_name,
                organization_id: known.organization_id,
                person_id: known.person_id,
                status: AccountStatus::Active,
                password_hash: hash,
                password_is_initial: true,
                password_changed_at: now,
                created_at: now,
                updated_at: now,
            })
        })
        .collect();
    let mut entries = Vec::new();
    for account in store::insert_accounts(work.conn(), &new).await? {
        let view = AccountView::bare(account);
        entries.push(Change::of("account.created", "account", view.id, view.organization_id).after(&view));
    }
    let (before, after): (Vec<AccountRow>, Vec<AccountRow>) = made.changed.into_iter().unzip();
    store::update_accounts(work.conn(), &after, now).await?;
    let ids: Vec<AccountId> = after.iter().map(|account| account.id).collect();
    let written = store::by_id(work.conn(), &ids).await?;
    for before in before {
        let Some(after) = written.iter().find(|account| account.id == before.id).cloned() else { continue };
        let (before, after) = (AccountView::bare(before), AccountView::bare(after));
        let change = Change::of("account.changed", "account", after.id, after.organization_id);
        entries.push(change.before(&before).after(&after));
    }
    store::insert_grants(work.conn(), &made.grants).await?;
    for grant in made.grants.iter().map(GrantView::of) {
        entries.push(Change::of("grant.created", "grant", grant.id, grant.organization_id).after(&grant));
    }
    let told: HashSet<Uuid> = ids.iter().chain(made.grants.iter().map(|grant| &grant.account_id)).map(|id| id.0).collect();
    revocation::announce_all(work.conn(), &told.into_iter().collect::<Vec<_>>()).await?;
    work.record(entries).await
}

/// Puts hashes in the place of passwords. Sign-ins come between, one password at a time.
async fn hash_passwords(work: &mut Work, rows: &[(i32, bool)]) -> Result<(), Halt> {
    for part in rows.chunks(HASHED_AT_ONCE) {
        let numbers: Vec<i32> = part.iter().map(|(number, _)| *number).collect();
        let mut rows = work.rows_again(&numbers).await?;
        for row in &mut rows {
            let is_new = part.contains(&(row.number, true));
            let password = row.cells.0.insert(PASSWORD.to_owned(), Value::Null);
            if let Some(password) = password.as_ref().and_then(Value::as_str).filter(|_| is_new) {
                let hash = work.app.passwords.hash_in_turn(password).await;
                let hash = hash.map_err(|fault| Halt::Failed(fault.to_string()))?;
                row.cells.0.insert(PASSWORD_HASH.to_owned(), json!(hash));
            }
        }
        work.restage(&rows).await?;
    }
    Ok(())
}
