//! Creating and changing a record: one per person.

use actix_web::{post, put};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::organizations::write::Tag;
use super::super::{Faults, taken};
use super::numbers::{ID_NUMBER, SealedNumbers, agree, seal_numbers};
use super::{PersonPath, PersonView};
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Code, Command, FieldError, KeyHeader, Path, Reply, Tx, VersionHeader};
use crate::ids::{OrganizationId, PersonId};
use crate::organizations::numbers::CitizenId;
use crate::organizations::rules::{OrganizationStatus, PersonStatus, Sex};
use crate::organizations::store::organizations;
use crate::organizations::store::people::{self as store, Person, PersonEdit};
use crate::organizations::store::person_matches::{self as matches, MatchedBy, PersonCandidate, PersonMatch};

const UNIQUE: &[(&str, &str)] = &[("people_id_number", "/id_number")];

/// A new person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "name": "周兰",
    "sex": "female",
    "birth_year": 1986,
    "phone": "13700001111",
    "id_number": null,
    "tags": ["lecturer"]
})))]
pub struct NewPerson {
    /// Organization that keeps the record.
    pub organization_id: OrganizationId,
    /// Name as on the identity card.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Sex; follows from the identity number where that is given.
    pub sex: Option<Sex>,
    /// Year of birth; follows from the identity number where that is given.
    #[schema(minimum = 1900, maximum = 2100)]
    pub birth_year: Option<i16>,
    /// Telephone.
    #[schema(min_length = 7, max_length = 20, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// Identity number.
    #[schema(min_length = 18, max_length = 18, pattern = "^[0-9]{17}[0-9Xx]$")]
    pub id_number: Option<String>,
    /// Groupings, e.g. lecturer, mediator.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub tags: Vec<Tag>,
}

async fn check_organization(tx: &mut Tx, faults: &mut Faults, id: OrganizationId) -> ApiResult<()> {
    let scope = tx.scope();
    let found = organizations::hold(tx.conn(), &scope, id).await?;
    let active = found.is_some_and(|found| found.status == OrganizationStatus::Active);
    faults.check(active, || FieldError::unknown_reference("/organization_id"));
    Ok(())
}

/// What a record says of her, for the matching.
fn candidate(row: &Person) -> PersonCandidate {
    PersonCandidate {
        name: row.name.clone(),
        phone_hash: row.phone_hash.clone(),
        id_number_hash: row.id_number_hash.clone(),
        sex: row.sex,
        birth_year: row.birth_year,
    }
}

/// There is a record of her: 409 with its id for who may read it; for others only that there is one, not where nor whose.
fn known(found: &PersonMatch) -> ApiError {
    let pointer = match found.by {
        MatchedBy::IdNumber => "/id_number",
        MatchedBy::PhoneAndName => "/phone",
    };
    if found.readable {
        let fault = FieldError::at(pointer, "taken", "已有此人的档案", "belongs to a person who is there already");
        return ApiError::from(Code::PersonExists).at(fault).with("existing_id", found.id.to_string().into());
    }
    let zh = "请由双方共同的上级组织为其登记在您处的职务，之后您即可查看并使用这份档案；请勿重复建档";
    let en = "a federation above both of you can let her hold a post with you, and then you can read and use her record; do not \
              make another";
    let fault = FieldError::at(pointer, "taken", "已被使用", "is known already");
    ApiError::from(Code::PersonKeptElsewhere).at(fault).because(zh, en)
}

/// 新建人员 · Create a person
///
/// Adds a person to the address book: one record per person. Who is known by her identity number, or else by telephone and name, is refused with 409 `person_exists` and `existing_id`. Is the identity number in a record that the caller may not read, the answer is `person_kept_elsewhere` and tells no more. What only looks alike becomes a suggestion to merge.
#[utoipa::path(
    tag = "people",
    params(KeyHeader),
    request_body = NewPerson,
    responses((status = CREATED, body = PersonView, description = "The person."))
)]
#[post("/api/v1/people")]
pub async fn create_person(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_at("organization_id").await?;
            let body: NewPerson = tx.body()?;
            let mut faults = Faults::default();
            check_organization(tx, &mut faults, body.organization_id).await?;
            let vault = tx.call.app.vault.clone();
            let numbers = seal_numbers(&vault, body.phone.as_deref(), body.id_number.as_deref(), tx.today());
            let numbers = numbers.unwrap_or_else(|more| {
                faults.0.extend(more);
                SealedNumbers::default()
            });
            let (sex, birth_year) = agree(&mut faults, &numbers, body.sex, body.birth_year);
            faults.done()?;
            let now = tx.now();
            let row = Person {
                id: PersonId::generate(),
                organization_id: body.organization_id,
                name: body.name,
                sex,
                birth_year,
                phone: numbers.phone,
                phone_hash: numbers.phone_hash,
                phone_masked: numbers.phone_masked,
                id_number: numbers.id_number,
                id_number_hash: numbers.id_number_hash,
                id_number_masked: numbers.id_number_masked,
                tags: body.tags.into_iter().map(|tag| tag.0).collect(),
                status: PersonStatus::Active,
                merged_into_id: None,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            let (scope, today, candidates) = (tx.scope(), tx.today(), [candidate(&row)]);
            matches::lock(tx.conn(), &candidates).await?;
            let found = matches::find(tx.conn(), &scope, today, &candidates).await?.into_iter().flatten().next();
            // Telephone and name do not prove that she is the same: of a record that the caller may not read she learns nothing,
            // and whoever may read both gets a suggestion to merge.
            if let Some(found) = found.filter(|found| found.readable || found.by == MatchedBy::IdNumber) {
                return Err(known(&found));
            }
            let row = store::insert(tx.conn(), &row).await.map_err(|error| taken(error, UNIQUE))?;
            matches::suggest(tx.conn(), &[row.id], now).await?;
            let (id, version, call) = (row.id, row.version, tx.call.clone());
            let view = PersonView::load(&call, tx.conn(), row).await?;
            tx.record(Change::of("person.created", "person", id, view.organization_id).after(&view)).await?;
            Reply::created(format!("/api/v1/people/{id}"), &view, version)
        })
        .await
}

/// The editable fields of a person: all of them, null clears. A masked number, sent back as it was read, stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "name": "李梅",
    "sex": "female",
    "birth_year": 1988,
    "phone": "138****5678",
    "id_number": null,
    "tags": ["lecturer"]
})))]
pub struct EditPerson {
    /// Organization that keeps the record.
    pub organization_id: OrganizationId,
    /// Name as on the identity card.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Sex.
    #[schema(required = true)]
    pub sex: Option<Sex>,
    /// Year of birth.
    #[schema(required = true, minimum = 1900, maximum = 2100)]
    pub birth_year: Option<i16>,
    /// Telephone.
    #[schema(required = true, min_length = 7, max_length = 20, pattern = "^[0-9 +*-]+$")]
    pub phone: Option<String>,
    /// Identity number.
    #[schema(required = true, min_length = 18, max_length = 18, pattern = "^[0-9*]{17}[0-9Xx]$")]
    pub id_number: Option<String>,
    /// Groupings, e.g. lecturer, mediator.
    #[schema(max_items = 20)]
    pub tags: Vec<Tag>,
}

/// 修改人员 · Change a person
///
/// Changes a record of the address book.
#[utoipa::path(
    tag = "people",
    params(PersonPath, VersionHeader),
    request_body = EditPerson,
    responses((status = OK, body = PersonView, description = "The person."))
)]
#[put("/api/v1/people/{id}")]
pub async fn update_person(command: Command, path: Path<PersonPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let (scope, today, vault) = (tx.scope(), tx.today(), tx.call.app.vault.clone());
            // Her number before her record, as who writes a table of people takes them.
            let told = tx.call.field::<String>("id_number").filter(|number| !number.contains('*'));
            let told = seal_numbers(&vault, None, told.as_deref(), today).unwrap_or_default();
            let candidates = [PersonCandidate { id_number_hash: told.id_number_hash, ..PersonCandidate::default() }];
            if candidates[0].id_number_hash.is_some() {
                matches::lock(tx.conn(), &candidates).await?;
            }
            let before = store::lock(tx.conn(), &scope, id, today).await?;
            tx.require(before.organization_id).await?;
            // Also where it is to be kept.
            tx.require_at("organization_id").await?;
            tx.check_version(before.version)?;
            if before.status != PersonStatus::Active {
                return Err(ApiError::not_now(before.status.as_str(), before.status.actions()));
            }
            let body: EditPerson = tx.body()?;
            let mut faults = Faults::default();
            check_organization(tx, &mut faults, body.organization_id).await?;
            // What is sent back masked stays as it is.
            let kept_phone = body.phone.is_some() && body.phone == before.phone_masked;
            let kept_number = body.id_number.is_some() && body.id_number == before.id_number_masked;
            let phone = body.phone.as_deref().filter(|_| !kept_phone);
            let number = body.id_number.as_deref().filter(|_| !kept_number);
            let mut numbers = seal_numbers(&vault, phone, number, today).unwrap_or_else(|more| {
                faults.0.extend(more);
                SealedNumbers::default()
            });
            if let Some(kept) = before.id_number.as_deref().filter(|_| kept_number) {
                numbers.card = CitizenId::parse(&vault.open_text(ID_NUMBER, kept)?, today);
            }
            let (sex, birth_year) = agree(&mut faults, &numbers, body.sex, body.birth_year);
            faults.done()?;
            let edit = PersonEdit {
                organization_id: body.organization_id,
                name: body.name,
                sex,
                birth_year,
                phone: if kept_phone { before.phone.clone() } else { numbers.phone },
                phone_hash: if kept_phone { before.phone_hash.clone() } else { numbers.phone_hash },
                phone_masked: if kept_phone { before.phone_masked.clone() } else { numbers.phone_masked },
                id_number: if kept_number { before.id_number.clone() } else { numbers.id_number },
                id_number_hash: if kept_number { before.id_number_hash.clone() } else { numbers.id_number_hash },
                id_number_masked: if kept_number { before.id_number_masked.clone() } else { numbers.id_number_masked },
                tags: body.tags.into_iter().map(|tag| tag.0).collect(),
            };
            if edit.id_number_hash.is_some()
                && edit.id_number_hash != before.id_number_hash
                && let Some(found) = matches::find(tx.conn(), &scope, today, &candidates).await?.into_iter().flatten().next()
            {
                return Err(known(&found));
            }
            let now = tx.now();
            let after = store::update(tx.conn(), id, &edit, now).await.map_err(|error| taken(error, UNIQUE))?;
            matches::suggest(tx.conn(), &[id], now).await?;
            let (call, version, organization) = (tx.call.clone(), after.version, after.organization_id);
            let (old, new) =
                (PersonView::load(&call, tx.conn(), before).await?, PersonView::load(&call, tx.conn(), after).await?);
            tx.record(Change::of("person.changed", "person", id, organization).before(&old).after(&new)).await?;
            Reply::item(&new, version)
        })
        .await
}
