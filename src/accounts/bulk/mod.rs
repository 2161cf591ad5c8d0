//! Accounts with their grants from a table, one row per grant. The rules are those of the single commands, for who uploaded it and
//! what she may do when it is worked on. Passwords are checked while the file is read and become hashes when the whole of it has
//! been checked, so that what waits to be applied holds none; no value of theirs is shown anywhere.

mod run;
mod store;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::me::password_error;
use super::rules::check_password;
use super::store::{GrantRow, grants_of};
use crate::access::{Module, Permission, Role};
use crate::http::FieldError;
use crate::http::problem::Place;
use crate::ids::{AccountId, OrganizationId};
use crate::imports::{Cells, Column, ImportKind, Kind, Shape, body_faults};
use crate::organizations::bulk::Tree;

/// Accounts as a kind of import.
pub const ACCOUNTS: Kind = Kind {
    kind: ImportKind::Accounts,
    list: "accounts",
    columns: COLUMNS,
    permission: Permission::AccountWrite,
    gives_access: true,
    reads: Permission::AccountRead,
    check,
    run: |work| run::run(work).boxed(),
    shown,
};

const COLUMNS: &[Column] = &[
    Column::new(
        "username",
        "用户名",
        Shape::Code,
        "登录名：小写字母、数字、点、横线、下划线，3 至 64 位；一人多个角色时每个角色一行",
    )
    .required(),
    Column::new("display_name", "姓名", Shape::Text, "同事看到的名称，不超过 64 字").required(),
    Column::new("organization_id", "组织 ID", Shape::Id, "账号所属组织；组织三列填一列即可"),
    Column::new("organization_code", "组织代码", Shape::Code, "账号所属组织的区划代码"),
    Column::new("organization_path", "组织全路径", Shape::Text, "如：岳阳市妇联/岳阳楼区妇联"),
    Column::new("person_id", "人员 ID", Shape::Id, "通讯录中的本人；可不填"),
    Column::new("role", "角色", Shape::Choice(Role::LABELS), "新账号必填"),
    Column::new("grant_organization_id", "授权组织 ID", Shape::Id, "角色在何处有效，含其下级；三列都不填即为账号所属组织"),
    Column::new("grant_organization_code", "授权组织代码", Shape::Code, "角色在何处有效：该组织的区划代码"),
    Column::new("grant_organization_path", "授权组织全路径", Shape::Text, "角色在何处有效：该组织的全路径"),
    Column::new("modules", "模块", Shape::List, "多个模块用逗号分隔；不填即为该角色可用的全部模块"),
    Column::new("from_on", "起始日期", Shape::Date, "不填即为当日"),
    Column::new("to_on", "截止日期", Shape::Date, "不填即为长期"),
    Column::new(PASSWORD, "初始密码", Shape::Text, "仅新账号填写，至少 12 位且不常见；首次登录必须修改；已有账号的密码不变")
        .secret(),
];

/// The column of passwords.
const PASSWORD: &str = "initial_password";
/// What a password has become when the table was checked: no column, nobody can hand one in.
const PASSWORD_HASH: &str = "password_hash";
/// The columns by which a row says where its role holds.
const GRANTED_AT: [&str; 3] = ["grant_organization_id", "grant_organization_code", "grant_organization_path"];

/// The modules that a row names by code or label, without repetition; what is none of them.
fn modules(cells: &Cells) -> (Vec<Module>, Vec<String>) {
    let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
    for text in cells.list("modules") {
        let same =
            |(_, (code, zh, en)): &(usize, &(&str, &str, &str))| *code == text || *zh == text || en.eq_ignore_ascii_case(&text);
        match Module::LABELS.iter().enumerate().find(same) {
            Some((index, _)) => drop(known.insert(index, Module::ALL[index])),
            None => unknown.push(text),
        }
    }
    (known.into_values().collect(), unknown)
}

/// First and last day of a row's grant.
fn days(cells: &Cells, today: NaiveDate) -> (NaiveDate, Option<NaiveDate>) {
    (cells.parsed("from_on").unwrap_or(today), cells.parsed("to_on"))
}

/// The bounds of `POST /accounts`, of `POST /accounts/{id}/grants` and of passwords.
fn check(cells: &Cells, today: NaiveDate) -> Vec<FieldError> {
    let or = |field, placeholder: &str| json!(cells.text(field).unwrap_or(placeholder));
    let account = json!({
        "username": or("username", "anybody"), "display_name": or("display_name", "—"), "organization_id": Uuid::nil(),
        "person_id": cells.json("person_id"),
    });
    let mut faults = body_faults("create_account", &account);
    let (_, unknown) = modules(cells);
    if !unknown.is_empty() {
        let all = |label: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
            Module::LABELS.iter().map(label).collect::<Vec<_>>().join("、")
        };
        let (zh, en) = (format!("应为：{}", all(|label| label.1)), format!("must be of {}", all(|label| label.0)));
        faults.push(FieldError::at("/modules", "enum", zh, en));
    }
    if cells.list("modules").len() > Module::ALL.len() {
        faults.push(FieldError::at("/modules", "max_items", "模块重复", "names a module twice"));
    }
    if let Some(password) = cells.text(PASSWORD) {
        faults.extend(password_faults(cells, password));
    }
    let (from_on, to_on) = days(cells, today);
    if let Some(role) = cells.parsed::<Role>("role") {
        // Whether its place is the top of the tree is known later.
        faults.extend(super::api::grants::grant_faults(role, true, from_on, to_on));
    }
    faults
}

/// What is wrong with a password: the bounds of the document, then whether it is good.
fn password_faults(cells: &Cells, password: &str) -> Vec<FieldError> {
    let pointer = || format!("/{PASSWORD}");
    let body = json!({ "old_password": "—", "new_password": password });
    let bounds = body_faults("change_password", &body);
    if !bounds.is_empty() {
        return bounds.into_iter().map(|fault| FieldError { place: Place::Pointer(pointer()), ..fault }).collect();
    }
    let names = [cells.text("username").unwrap_or_default(), cells.text("display_name").unwrap_or_default()];
    check_password(password, &names).err().map(|fault| password_error(&pointer(), fault)).into_iter().collect()
}

/// The active accounts below a place, a row for each of their grants there that has not ended; without passwords.
fn shown<'a>(conn: &'a AsyncPgConnection, place: OrganizationId, today: NaiveDate) -> BoxFuture<'a, QueryResult<Vec<Cells>>> {
    async move {
        let tree = Tree::load(conn, place).await?;
        let mut accounts = store::active_below(conn, place).await?;
        accounts.retain(|account| tree.is_active(account.organization_id));
        let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
        let mut grants: BTreeMap<AccountId, Vec<GrantRow>> = BTreeMap::new();
        for grant in grants_of(conn, &ids).await? {
            if tree.is_active(grant.organization_id) && grant.to_on.is_none_or(|last| last >= today) {
                grants.entry(grant.account_id).or_default().push(grant);
            }
        }
        let mut rows = Vec::new();
        for account in &accounts {
            let said = json!({
                "username": account.username, "display_name": account.display_name, "organization_id": account.organization_id,
                "organization_path": tree.path(account.organization_id), "person_id": account.person_id,
            });
            let said = said.as_object().cloned().unwrap_or_default();
            let mine = grants.remove(&account.id).unwrap_or_default();
            if mine.is_empty() {
                rows.push(Cells(said.clone()));
            }
            rows.extend(mine.iter().map(|grant| {
                let label =
                    |module: Module| Module::LABELS.iter().find(|(code, ..)| *code == module.as_str()).map(|label| label.1);
                let modules: Vec<&str> = grant.modules().into_iter().filter_map(label).collect();
                let given = json!({
                    "role": grant.role, "grant_organization_id": grant.organization_id,
                    "grant_organization_path": tree.path(grant.organization_id), "modules": modules, "from_on": grant.from_on,
                    "to_on": grant.to_on,
                });
                let given: Value = given;
                Cells(said.clone().into_iter().chain(given.as_object().cloned().unwrap_or_default()).collect())
            }));
        }
        Ok(rows)
    }
    .boxed()
}
