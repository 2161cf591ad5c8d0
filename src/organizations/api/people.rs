//! The address book. Telephones and identity numbers are sealed at rest and masked in every view; `reveal` shows them.

use actix_web::{get, post, put};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::organizations::write::Tag;
use super::{Faults, owned, taken};
use crate::access::Permission;
use crate::accounts::require_step_up;
use crate::audit::Change;
use crate::db::scope;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{
    ApiError, ApiResult, Call, Command, FieldError, KeyHeader, PageRequest, Path, Query, Reply, Tx, VersionHeader,
};
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::organizations::numbers::{CitizenId, Phone};
use crate::organizations::rules::{PostPosition, Sex};
use crate::organizations::store::organizations;
use crate::organizations::store::people::{self as store, Person, PersonEdit, Wanted};
use crate::organizations::store::posts::Post;
use crate::vault::{Purpose, Vault};
use crate::{filters, page_schema, text_enum};

const PHONE: &str = "people.phone";
const ID_NUMBER: &str = "people.id_number";
/// Most people an exact search answers.
const SEARCH_LIMIT: i64 = 100;

filters! {
    /// Filters of people. Names and numbers are searched by `POST /people/search`, never in an address.
    PersonFilter {
        /// Only people that this organization keeps.
        organization_id: OrganizationId,
        /// Only people kept in the subtree of this organization.
        within: OrganizationId,
        /// Only this sex.
        sex: Sex,
        /// Only those with this tag.
        #[param(min_length = 1, max_length = 32, pattern = "^[^\\x00-\\x1f,]+$", example = "lecturer")]
        tag: String,
        /// Made at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Made before this instant.
        created_at_lt: DateTime<Utc>,
        /// Changed at or after this instant.
        updated_at_gte: DateTime<Utc>,
        /// Changed before this instant.
        updated_at_lt: DateTime<Utc>,
    }
}

/// A person, with personal numbers masked.
#[derive(Serialize, ToSchema)]
pub struct PersonView {
    /// Her id.
    pub id: PersonId,
    /// Organization that keeps the record.
    pub organization_id: OrganizationId,
    /// Name.
    #[schema(examples("李梅"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Sex.
    #[schema(required = true)]
    pub sex: Option<Sex>,
    /// Year of birth.
    #[schema(required = true, minimum = 1900, maximum = 2100)]
    pub birth_year: Option<i16>,
    /// Telephone, masked.
    #[schema(required = true, examples("138****5678"), max_length = 40, pattern = "^[0-9*]+$")]
    pub phone: Option<String>,
    /// Identity number, masked.
    #[schema(required = true, examples("4306**********0022"), max_length = 18, pattern = "^[0-9X*]+$")]
    pub id_number: Option<String>,
    /// Groupings, e.g. lecturer, mediator.
    #[schema(max_items = 20)]
    pub tags: Vec<String>,
    /// Posts held now or later.
    #[schema(max_items = 100)]
    pub posts: Vec<HeldPostView>,
    /// What the caller may do with the record now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A post of a person.
#[derive(Serialize, ToSchema)]
pub struct HeldPostView {
    /// The post.
    pub id: PostId,
    /// Where.
    pub organization_id: OrganizationId,
    /// Which position.
    pub position: PostPosition,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    #[schema(required = true)]
    pub to_on: Option<NaiveDate>,
}

page_schema!(PersonPage, PersonView);

/// What the caller may do with records, by where they are kept.
struct Rights {
    write: Vec<OrganizationId>,
    reveal: Vec<OrganizationId>,
}

impl Rights {
    async fn at(call: &Call, conn: &diesel_async::AsyncPgConnection, places: &[OrganizationId]) -> ApiResult<Self> {
        let (write, reveal) = (call.scope_for(Permission::PersonWrite), call.scope_for(Permission::PersonReveal));
        let (write, reveal) =
            futures_util::try_join!(scope::covered(conn, &write, places), scope::covered(conn, &reveal, places))?;
        Ok(Self { write, reveal })
    }
}

impl PersonView {
    fn of(row: Person, posts: &[Post], rights: &Rights) -> Self {
        let mut actions = Vec::new();
        if rights.write.contains(&row.organization_id) {
            actions.push("update");
        }
        if rights.reveal.contains(&row.organization_id) && (row.phone.is_some() || row.id_number.is_some()) {
            actions.push("reveal");
        }
        let held = posts.iter().filter(|post| post.person_id == row.id).map(|post| HeldPostView {
            id: post.id,
            organization_id: post.organization_id,
            position: post.position,
            from_on: post.from_on,
            to_on: post.to_on,
        });
        Self {
            posts: held.collect(),
            allowed_actions: owned(&actions),
            id: row.id,
            organization_id: row.organization_id,
            name: row.name,
            sex: row.sex,
            birth_year: row.birth_year,
            phone: row.phone_masked,
            id_number: row.id_number_masked,
            tags: row.tags,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }

    async fn load(call: &Call, conn: &diesel_async::AsyncPgConnection, row: Person) -> ApiResult<Self> {
        let rights = Rights::at(call, conn, &[row.organization_id]).await?;
        let posts = store::held_posts(conn, vec![row.id], call.today()).await?;
        Ok(Self::of(row, &posts, &rights))
    }

    async fn load_all(call: &Call, conn: &diesel_async::AsyncPgConnection, rows: &[Person]) -> ApiResult<(Vec<Post>, Rights)> {
        let places: Vec<_> = rows.iter().map(|row| row.organization_id).collect();
        let posts = store::held_posts(conn, rows.iter().map(|row| row.id).collect(), call.today()).await?;
        Ok((posts, Rights::at(call, conn, &places).await?))
    }
}

/// Path of a person.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PersonPath {
    /// Her id.
    #[param(example = "0168028c-2f00-7000-8001-000000000001")]
    pub id: PersonId,
}

/// 人员列表 · List people
///
/// The address book of the caller's subtree, personal numbers masked.
#[utoipa::path(
    tag = "people",
    params(PersonFilter, Sorting, Paging),
    responses((status = OK, body = PersonPage, description = "One page of people."))
)]
#[get("/api/v1/people")]
pub async fn list_people(call: Call, filter: Query<PersonFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, &page).await?;
    let (posts, rights) = PersonView::load_all(&call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| PersonView::of(row, &posts, &rights))
}

text_enum! {
    /// By what people are counted.
    PeopleBy {
        /// By sex.
        Sex = "sex", "性别", "Sex";
        /// By the organization that keeps the record.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count people.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PersonCounts {
    /// By what.
    #[param(inline)]
    by: PeopleBy,
}

/// 人员计数 · Count people
///
/// How many people of the caller's subtree there are of each sex or organization.
#[utoipa::path(
    tag = "people",
    params(PersonCounts, PersonFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/people/counts")]
pub async fn count_people(call: Call, counts: Query<PersonCounts>, filter: Query<PersonFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, counts.by).await?)
}

/// An exact search: exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "phone": "13800005678" })))]
pub struct SearchPeople {
    /// Whole name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: Option<String>,
    /// Whole telephone number.
    #[schema(min_length = 7, max_length = 20, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// Whole identity number.
    #[schema(min_length = 18, max_length = 18, pattern = "^[0-9]{17}[0-9Xx]$")]
    pub id_number: Option<String>,
}

/// People that were found.
#[derive(Serialize, ToSchema)]
pub struct FoundPeopleView {
    /// At most 100.
    #[schema(max_items = 100)]
    pub items: Vec<PersonView>,
}

/// 精确查找人员 · Search people
///
/// Finds people of the caller's subtree by their whole name, telephone or identity number. The search itself is audited, without what was searched.
#[utoipa::path(
    tag = "people",
    request_body = SearchPeople,
    responses((status = OK, body = FoundPeopleView, description = "Who was found."))
)]
#[post("/api/v1/people/search")]
pub async fn search_people(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_somewhere()?;
            tx.concerns_caller();
            let body: SearchPeople = tx.body()?;
            let (vault, today) = (tx.call.app.vault.clone(), tx.today());
            let wanted = match (&body.name, &body.phone, &body.id_number) {
                (Some(name), None, None) => Wanted::Name(name.clone()),
                (None, Some(phone), None) => {
                    let numbers = seal_numbers(&vault, Some(phone), None, today).map_err(ApiError::invalid)?;
                    Wanted::PhoneHash(numbers.phone_hash.unwrap_or_default())
                }
                (None, None, Some(number)) => {
                    let numbers = seal_numbers(&vault, None, Some(number), today).map_err(ApiError::invalid)?;
                    Wanted::IdNumberHash(numbers.id_number_hash.unwrap_or_default())
                }
                _ => {
                    let one = FieldError::at(
                        "",
                        "exactly_one",
                        "姓名、电话、证件号只能填一项",
                        "give exactly one of name, phone and id_number",
                    );
                    return Err(ApiError::invalid(vec![one]));
                }
            };
            let (scope, call) = (tx.scope(), tx.call.clone());
            let rows = store::search(tx.conn(), &scope, wanted, SEARCH_LIMIT).await?;
            let (posts, rights) = PersonView::load_all(&call, tx.conn(), &rows).await?;
            let found: Vec<PersonId> = rows.iter().map(|row| row.id).collect();
            let home = tx.caller()?.organization_id;
            tx.record(
                Change::of("people.searched", "person", uuid::Uuid::nil(), home).after(&serde_json::json!({ "found": found })),
            )
            .await?;
            let items = rows.into_iter().map(|row| PersonView::of(row, &posts, &rights)).collect();
            Reply::plain(&FoundPeopleView { items })
        })
        .await
}

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

/// Numbers ready to be stored: sealed, hashed, masked.
#[derive(Default)]
pub struct SealedNumbers {
    /// Telephone, sealed.
    pub phone: Option<Vec<u8>>,
    /// Its keyed hash.
    pub phone_hash: Option<Vec<u8>>,
    /// `138****5678`
    pub phone_masked: Option<String>,
    /// Identity number, sealed.
    pub id_number: Option<Vec<u8>>,
    /// Its keyed hash.
    pub id_number_hash: Option<Vec<u8>>,
    /// `4306**********0022`
    pub id_number_masked: Option<String>,
    /// What the identity number tells.
    card: Option<CitizenId>,
}

/// Checks and seals numbers.
pub fn seal_numbers(
    vault: &Vault,
    phone: Option<&str>,
    id_number: Option<&str>,
    today: NaiveDate,
) -> Result<SealedNumbers, Vec<FieldError>> {
    let mut faults = Vec::new();
    let phone = phone.map(Phone::parse);
    let card = id_number.map(|number| CitizenId::parse(number, today));
    if phone == Some(None) {
        faults.push(FieldError::at("/phone", "phone", "电话号码不正确", "is no mobile number and no landline with area code"));
    }
    if card.as_ref().is_some_and(Option::is_none) {
        faults.push(FieldError::at(
            "/id_number",
            "check_character",
            "身份证号码校验不通过",
            "the date or the check character does not fit (GB 11643-1999)",
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (phone, card) = (phone.flatten(), card.flatten());
    let sealed = |place: &str, plain: &str| vault.seal(Purpose::Personal, place, plain.as_bytes());
    Ok(SealedNumbers {
        phone: phone.as_ref().map(|phone| sealed(PHONE, phone.as_str())),
        phone_hash: phone.as_ref().map(|phone| vault.hash(PHONE, phone.as_str())),
        phone_masked: phone.as_ref().map(Phone::masked),
        id_number: card.as_ref().map(|card| sealed(ID_NUMBER, &card.number)),
        id_number_hash: card.as_ref().map(|card| vault.hash(ID_NUMBER, &card.number)),
        id_number_masked: card.as_ref().map(CitizenId::masked),
        card,
    })
}

/// Sex and year of birth: what is given must agree with the identity number, what is not follows from it.
pub fn agree(
    faults: &mut Faults,
    numbers: &SealedNumbers,
    sex: Option<Sex>,
    birth_year: Option<i16>,
) -> (Option<Sex>, Option<i16>) {
    let Some(card) = &numbers.card else { return (sex, birth_year) };
    let year = card.birth_on.year() as i16;
    faults.check(sex.is_none_or(|sex| sex == card.sex), || {
        FieldError::at("/sex", "disagrees", "与身份证号码不一致", "disagrees with the identity number")
    });
    faults.check(birth_year.is_none_or(|given| given == year), || {
        FieldError::at("/birth_year", "disagrees", "与身份证号码不一致", "disagrees with the identity number")
    });
    (Some(card.sex), Some(year))
}

async fn check_organization(tx: &mut Tx, faults: &mut Faults, id: OrganizationId) -> ApiResult<()> {
    let scope = tx.scope();
    let found = organizations::hold(tx.conn(), &scope, id).await?;
    let active = found.is_some_and(|found| found.status == crate::organizations::OrganizationStatus::Active);
    faults.check(active, || FieldError::unknown_reference("/organization_id"));
    Ok(())
}

/// 新建人员 · Create a person
///
/// Adds a person to the address book. An identity number that is known already is refused: one record per person.
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
                version: 1,
                created_at: now,
                updated_at: now,
            };
            let row = store::insert(tx.conn(), &row).await.map_err(|error| taken(error, UNIQUE))?;
            let (id, version, call) = (row.id, row.version, tx.call.clone());
            let view = PersonView::load(&call, tx.conn(), row).await?;
            tx.record(Change::of("person.created", "person", id, view.organization_id).after(&view)).await?;
            Reply::created(format!("/api/v1/people/{id}"), &view, version)
        })
        .await
}

const UNIQUE: &[(&str, &str)] = &[("people_id_number", "/id_number")];

/// 人员详情 · Get a person
///
/// One person of the caller's subtree, personal numbers masked.
#[utoipa::path(
    tag = "people",
    params(PersonPath),
    responses((status = OK, body = PersonView, description = "The person."))
)]
#[get("/api/v1/people/{id}")]
pub async fn get_person(call: Call, path: Path<PersonPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id).await?;
    let version = row.version;
    Reply::item(&PersonView::load(&call, &conn, row).await?, version)
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
            let scope = tx.scope();
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(before.organization_id).await?;
            tx.check_version(before.version)?;
            let body: EditPerson = tx.body()?;
            let mut faults = Faults::default();
            check_organization(tx, &mut faults, body.organization_id).await?;
            // What is sent back masked stays as it is.
            let kept_phone = body.phone.is_some() && body.phone == before.phone_masked;
            let kept_number = body.id_number.is_some() && body.id_number == before.id_number_masked;
            let phone = body.phone.as_deref().filter(|_| !kept_phone);
            let number = body.id_number.as_deref().filter(|_| !kept_number);
            let vault = tx.call.app.vault.clone();
            let mut numbers = seal_numbers(&vault, phone, number, tx.today()).unwrap_or_else(|more| {
                faults.0.extend(more);
                SealedNumbers::default()
            });
            if let Some(kept) = before.id_number.as_deref().filter(|_| kept_number) {
                numbers.card = CitizenId::parse(&vault.open_text(ID_NUMBER, kept)?, tx.today());
            }
            let (sex, birth_year) = agree(&mut faults, &numbers, body.sex, body.birth_year);
            faults.done()?;
            if body.organization_id != before.organization_id {
                tx.require(body.organization_id).await?;
            }
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
            let now = tx.now();
            let after = store::update(tx.conn(), id, &edit, now).await.map_err(|error| taken(error, UNIQUE))?;
            let (call, version, organization) = (tx.call.clone(), after.version, after.organization_id);
            let (old, new) =
                (PersonView::load(&call, tx.conn(), before).await?, PersonView::load(&call, tx.conn(), after).await?);
            tx.record(Change::of("person.changed", "person", id, organization).before(&old).after(&new)).await?;
            Reply::item(&new, version)
        })
        .await
}

/// Personal data that can be revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonalField {
    /// Telephone.
    Phone,
    /// Identity number.
    IdNumber,
}

/// What to reveal and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "fields": ["phone"], "reason": "通知参加会议" })))]
pub struct RevealPerson {
    /// Which fields.
    #[schema(min_items = 1, max_items = 2)]
    pub fields: Vec<PersonalField>,
    /// Why; it stands in the audit trail.
    #[schema(min_length = 2, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// Personal data in clear.
#[derive(Serialize, ToSchema)]
pub struct RevealedPersonView {
    /// Whose.
    pub id: PersonId,
    /// Telephone; null where it was not asked for or is not known.
    #[schema(required = true, examples("+8613800005678"), max_length = 20, pattern = "^[0-9+]+$")]
    pub phone: Option<String>,
    /// Identity number; null where it was not asked for or is not known.
    #[schema(required = true, max_length = 18, pattern = "^[0-9X]+$")]
    pub id_number: Option<String>,
}

/// 查看个人信息 · Reveal personal data
///
/// Shows personal numbers in clear, after a step-up and with a reason. Who saw what and why stands in the audit trail.
#[utoipa::path(
    tag = "people",
    params(PersonPath),
    request_body = RevealPerson,
    responses((status = OK, body = RevealedPersonView, description = "The numbers."))
)]
#[post("/api/v1/people/{id}/reveal")]
pub async fn reveal_person(command: Command, path: Path<PersonPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            let row = store::lock(tx.conn(), &scope, id).await?;
            tx.require(row.organization_id).await?;
            require_step_up(&tx.call)?;
            let body: RevealPerson = tx.body()?;
            let vault = &tx.call.app.vault;
            let open = |field: PersonalField, place: &str, sealed: &Option<Vec<u8>>| {
                sealed
                    .as_deref()
                    .filter(|_| body.fields.contains(&field))
                    .map(|sealed| vault.open_text(place, sealed))
                    .transpose()
            };
            let view = RevealedPersonView {
                id,
                phone: open(PersonalField::Phone, PHONE, &row.phone)?,
                id_number: open(PersonalField::IdNumber, ID_NUMBER, &row.id_number)?,
            };
            let change = Change::of("person.revealed", "person", id, row.organization_id)
                .after(&serde_json::json!({ "fields": body.fields }));
            tx.record(change.because(&body.reason)).await?;
            Ok(Reply::plain(&view)?.secret())
        })
        .await
}
