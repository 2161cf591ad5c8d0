//! The address book: one record per person. Telephones and identity numbers are sealed at rest and masked in every view;
//! `reveal` shows them. Who holds a post somewhere is readable there too, wherever her record is kept.

mod merge;
mod numbers;
mod reveal;
mod search;
mod suggestions;
pub mod write;

use std::collections::HashMap;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{OrganizationReference, owned};
use crate::access::Permission;
use crate::db::scope;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply};
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::organizations::rules::{EmploymentMode, OrganizationKind, OrganizationLevel, PersonStatus, PostPosition, Sex};
use crate::organizations::store::organizations::{self, Reference};
use crate::organizations::store::people::{self as store, Person};
use crate::organizations::store::posts::Post;
use crate::{filters, page_schema, text_enum};

pub use merge::merge_person;
pub use numbers::{SealedNumbers, agree, seal_numbers};
pub use reveal::reveal_person;
pub use search::search_people;
pub use suggestions::{
    SuggestionFilter, SuggestionsBy, count_merge_suggestions, dismiss_merge_suggestion, get_merge_suggestion,
    list_merge_suggestions,
};

filters! {
    /// Filters of people. Names and numbers are searched by `POST /people/search`, never in an address. Filters of posts ask for
    /// one post that is held today in the subtree and fits all of them.
    PersonFilter {
        /// Only people that this organization keeps.
        organization_id: OrganizationId,
        /// Only people who are kept or hold a post in the subtree of this organization.
        within: OrganizationId,
        /// Only these states; only active records where it is not given.
        status: Vec<PersonStatus>,
        /// Only this sex.
        sex: Sex,
        /// Born in this year or later.
        #[param(minimum = 1900, maximum = 2100, example = 1960)]
        birth_year_gte: i16,
        /// Born before this year.
        #[param(minimum = 1900, maximum = 2101, example = 2000)]
        birth_year_lt: i16,
        /// Only those with this tag.
        #[param(min_length = 1, max_length = 32, pattern = "^[^\\x00-\\x1f,]+$", example = "lecturer")]
        tag: String,
        /// true: only who holds a post today; false: only who holds none.
        has_posts: bool,
        /// Only who holds one of these positions today.
        position: Vec<PostPosition>,
        /// Only who holds a post in one of these ways today.
        employment_mode: Vec<EmploymentMode>,
        /// Only who holds a post in an organization of one of these kinds today.
        kind: Vec<OrganizationKind>,
        /// Only who holds a post in an organization of one of these levels today.
        level: Vec<OrganizationLevel>,
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
    /// The same, by name.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
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
    /// Whether the record is hers, or has gone into another.
    pub status: PersonStatus,
    /// Of a merged record: the one of the same person that goes on.
    #[schema(required = true)]
    pub merged_into_id: Option<PersonId>,
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
    /// The same, by name.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
    /// Which position.
    pub position: PostPosition,
    /// Full-time, part-time or attached.
    pub employment_mode: EmploymentMode,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    #[schema(required = true)]
    pub to_on: Option<NaiveDate>,
}

page_schema!(PersonPage, PersonView);

/// What the views of some people need beside their rows.
struct Around {
    posts: Vec<Post>,
    organizations: HashMap<OrganizationId, Reference>,
    write: Vec<OrganizationId>,
    reveal: Vec<OrganizationId>,
}

impl Around {
    async fn load(call: &Call, conn: &AsyncPgConnection, rows: &[Person]) -> ApiResult<Self> {
        let posts = store::held_posts(conn, rows.iter().map(|row| row.id).collect(), call.today()).await?;
        let kept = rows.iter().map(|row| row.organization_id);
        let places: Vec<_> = kept.chain(posts.iter().map(|post| post.organization_id)).collect();
        let (writes, reveals) = (call.scope_for(Permission::PersonWrite), call.scope_for(Permission::PersonReveal));
        let (organizations, write, reveal) = futures_util::try_join!(
            organizations::references(conn, places.iter().copied()),
            scope::covered(conn, &writes, &places),
            scope::covered(conn, &reveals, &places),
        )?;
        Ok(Self { posts, organizations, write, reveal })
    }

    fn reference(&self, id: OrganizationId) -> Option<OrganizationReference> {
        self.organizations.get(&id).map(OrganizationReference::from)
    }

    fn view(&self, row: Person) -> PersonView {
        let held: Vec<&Post> = self.posts.iter().filter(|post| post.person_id == row.id).collect();
        let mut actions = Vec::new();
        if self.write.contains(&row.organization_id) {
            actions.extend(row.status.actions());
        }
        let mut places = held.iter().map(|post| post.organization_id).chain([row.organization_id]);
        if places.any(|place| self.reveal.contains(&place)) && (row.phone.is_some() || row.id_number.is_some()) {
            actions.push("reveal");
        }
        let held_post = |post: &&Post| HeldPostView {
            id: post.id,
            organization_id: post.organization_id,
            organization: self.reference(post.organization_id),
            position: post.position,
            employment_mode: post.employment_mode,
            from_on: post.from_on,
            to_on: post.to_on,
        };
        PersonView {
            // No more than the document promises; nobody holds a hundred posts.
            posts: held.iter().take(100).map(held_post).collect(),
            organization: self.reference(row.organization_id),
            allowed_actions: owned(&actions),
            id: row.id,
            organization_id: row.organization_id,
            name: row.name,
            sex: row.sex,
            birth_year: row.birth_year,
            phone: row.phone_masked,
            id_number: row.id_number_masked,
            tags: row.tags,
            status: row.status,
            merged_into_id: row.merged_into_id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl PersonView {
    async fn load(call: &Call, conn: &AsyncPgConnection, row: Person) -> ApiResult<Self> {
        let around = Around::load(call, conn, std::slice::from_ref(&row)).await?;
        Ok(around.view(row))
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
/// The address book of the caller's subtree: who is kept or holds a post there, personal numbers masked.
#[utoipa::path(
    tag = "people",
    params(PersonFilter, Sorting, Paging),
    responses((status = OK, body = PersonPage, description = "One page of people."))
)]
#[get("/api/v1/people")]
pub async fn list_people(call: Call, filter: Query<PersonFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, call.today(), &page).await?;
    let around = Around::load(&call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| around.view(row))
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
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, call.today(), counts.by).await?)
}

/// 人员详情 · Get a person
///
/// One person of the caller's subtree, personal numbers masked. A record that was merged tells into which one it has gone.
#[utoipa::path(
    tag = "people",
    params(PersonPath),
    responses((status = OK, body = PersonView, description = "The person."))
)]
#[get("/api/v1/people/{id}")]
pub async fn get_person(call: Call, path: Path<PersonPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id, call.today()).await?;
    let version = row.version;
    Reply::item(&PersonView::load(&call, &conn, row).await?, version)
}
