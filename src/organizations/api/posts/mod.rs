//! Posts: who holds which position where.

mod batch_end;
mod expiring;
mod vacancies;
mod write;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::organizations::OrganizationPath;
use super::{OrganizationReference, owned};
use crate::access::Permission;
use crate::db::scope;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply, Tx};
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::organizations::rules::{EmploymentMode, PostPosition, PostStatus, PostWarning, Secondment, lacks_term};
use crate::organizations::store::posts::{self as store, Post};
use crate::organizations::store::vacancies::{Shortfall, shortfalls};
use crate::organizations::store::{organizations, people};
use crate::work_items::{self, Awaited, Awaiting, Worker};
use crate::{filters, page_schema, text_enum};

pub use batch_end::batch_posts;
pub use expiring::{ExpiringFilter, list_expiring_posts};
pub use vacancies::{VacanciesBy, VacancyFilter, VacancyView, count_vacancies, list_vacancies};
pub use write::{create_post, end_post, update_post};

filters! {
    /// Filters of posts.
    PostFilter {
        /// Only posts of this organization.
        organization_id: OrganizationId,
        /// Only posts in the subtree of this organization.
        within: OrganizationId,
        /// Only posts of this person.
        person_id: PersonId,
        /// Only these positions.
        position: Vec<PostPosition>,
        /// Only these modes.
        employment_mode: Vec<EmploymentMode>,
        /// true: held today; false: over or not begun.
        current: bool,
        /// Whose last day is this or later.
        #[param(example = "2019-01-01")]
        to_on_gte: NaiveDate,
        /// Whose last day is before this.
        #[param(example = "2020-01-01")]
        to_on_lt: NaiveDate,
        /// Only posts that await somebody: `me`.
        #[param(inline)]
        awaiting: Awaited,
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

/// A post.
#[derive(Serialize, ToSchema)]
pub struct PostView {
    /// Its id.
    pub id: PostId,
    /// Where it is.
    pub organization_id: OrganizationId,
    /// The same, by name.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
    /// Who holds it.
    pub person_id: PersonId,
    /// Her name.
    #[schema(required = true, examples("李梅"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub person_name: Option<String>,
    /// Which position.
    pub position: PostPosition,
    /// Full-time, part-time or attached.
    pub employment_mode: EmploymentMode,
    /// Secondment up or down; null: none.
    #[schema(required = true)]
    pub secondment: Option<Secondment>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    #[schema(required = true)]
    pub to_on: Option<NaiveDate>,
    /// Where it stands today.
    pub status: PostStatus,
    /// Congress, plenary or document that elected or appointed her.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub appointed_by: Option<String>,
    /// Why it ended.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub end_reason: Option<String>,
    /// What is worth knowing of it and blocks nothing.
    #[schema(max_items = 20)]
    pub warnings: Vec<PostWarningView>,
    /// What the caller may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Who has to decide about it; null: nobody for the moment.
    #[schema(required = true)]
    pub awaiting: Option<Awaiting>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

page_schema!(PostPage, PostView);

/// Something worth knowing of a post.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PostWarningView {
    /// What.
    pub code: PostWarning,
    /// Under its minimum: the position that fewer hold than should on the day after the last day of this post.
    #[schema(required = true)]
    pub position: Option<PostPosition>,
    /// How many hold it then.
    #[schema(required = true, minimum = 0, maximum = 9007199254740991i64)]
    pub held: Option<i64>,
    /// How many should.
    #[schema(required = true, minimum = 1)]
    pub minimum: Option<i32>,
}

impl PostWarningView {
    fn of(shortfall: &Shortfall) -> Self {
        Self {
            code: PostWarning::UnderMinimum,
            position: Some(shortfall.position),
            held: Some(shortfall.held),
            minimum: Some(shortfall.minimum),
        }
    }

    const TERM_MISSING: Self = Self { code: PostWarning::TermMissing, position: None, held: None, minimum: None };
}

/// What the views of some posts need beside their rows.
struct Around {
    organizations: std::collections::HashMap<OrganizationId, organizations::Reference>,
    people: std::collections::HashMap<PersonId, String>,
    writable: Vec<OrganizationId>,
    awaiting: std::collections::HashMap<uuid::Uuid, Awaiting>,
    warnings: std::collections::HashMap<PostId, Vec<PostWarningView>>,
    today: NaiveDate,
}

impl Around {
    async fn load(call: &Call, conn: &diesel_async::AsyncPgConnection, rows: &[Post]) -> ApiResult<Self> {
        let places: Vec<_> = rows.iter().map(|row| row.organization_id).collect();
        let writes = call.scope_for(Permission::PostWrite);
        let ids = rows.iter().map(|row| row.id.0).collect();
        // What is left when a post is over: on the day after its last, or today.
        let after = |row: &Post| Some(row.to_on?.succ_opt()?.max(call.today()));
        let ending: Vec<(&Post, NaiveDate)> = rows.iter().filter_map(|row| Some((row, after(row)?))).collect();
        let questions: Vec<_> = ending.iter().map(|(row, day)| (row.organization_id, row.position, *day)).collect();
        let (organizations, people, writable, awaiting, shortfalls) = futures_util::try_join!(
            organizations::references(conn, places.iter().copied()),
            people::names(conn, rows.iter().map(|row| row.person_id)),
            scope::covered(conn, &writes, &places),
            work_items::awaiting(conn, "post", ids),
            shortfalls(conn, &questions),
        )?;
        let mut warnings: std::collections::HashMap<PostId, Vec<PostWarningView>> = std::collections::HashMap::new();
        for row in rows.iter().filter(|row| lacks_term(row.employment_mode, row.to_on)) {
            warnings.entry(row.id).or_default().push(PostWarningView::TERM_MISSING);
        }
        for shortfall in &shortfalls {
            let (row, _) = ending[shortfall.at as usize - 1];
            warnings.entry(row.id).or_default().push(PostWarningView::of(shortfall));
        }
        Ok(Self { organizations, people, writable, awaiting, warnings, today: call.today() })
    }

    fn view(&self, row: Post) -> PostView {
        let status = PostStatus::on(self.today, row.from_on, row.to_on);
        PostView {
            organization: self.organizations.get(&row.organization_id).map(OrganizationReference::from),
            person_name: self.people.get(&row.person_id).cloned(),
            allowed_actions: if self.writable.contains(&row.organization_id) { owned(status.actions()) } else { vec![] },
            awaiting: self.awaiting.get(&row.id.0).cloned(),
            warnings: self.warnings.get(&row.id).cloned().unwrap_or_default(),
            status,
            id: row.id,
            organization_id: row.organization_id,
            person_id: row.person_id,
            position: row.position,
            employment_mode: row.employment_mode,
            secondment: row.secondment,
            from_on: row.from_on,
            to_on: row.to_on,
            appointed_by: row.appointed_by,
            end_reason: row.end_reason,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

async fn view_of(tx: &mut Tx, row: Post) -> ApiResult<PostView> {
    let call = tx.call.clone();
    let around = Around::load(&call, tx.conn(), std::slice::from_ref(&row)).await?;
    Ok(around.view(row))
}

/// Path of a post.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PostPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8002-000000000001")]
    pub id: PostId,
}

/// 职务列表 · List posts
///
/// Positions that people hold, held or will hold in organizations of the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(PostFilter, Sorting, Paging),
    responses((status = OK, body = PostPage, description = "One page of posts."))
)]
#[get("/api/v1/posts")]
pub async fn list_posts(call: Call, filter: Query<PostFilter>, page: PageRequest) -> ApiResult<Reply> {
    page_of(&call, &filter, &page).await
}

async fn page_of(call: &Call, filter: &PostFilter, page: &PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let me = Worker::of(call.signed_in()?, call.today());
    let listed = store::list(&conn, &scope, filter, &me, call.today(), page).await?;
    let around = Around::load(call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| around.view(row))
}

/// 组织内职务 · List posts of an organization
///
/// Positions of one organization of the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(OrganizationPath, PostFilter, Sorting, Paging),
    responses((status = OK, body = PostPage, description = "One page of posts."))
)]
#[get("/api/v1/organizations/{id}/posts")]
pub async fn list_organization_posts(
    call: Call,
    path: Path<OrganizationPath>,
    filter: Query<PostFilter>,
    page: PageRequest,
) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let organization = organizations::find(&conn, &call.scope(), path.id).await?;
    page_of(&call, &PostFilter { organization_id: Some(organization.id), ..filter.0 }, &page).await
}

text_enum! {
    /// By what posts are counted.
    PostsBy {
        /// By position.
        Position = "position", "职务", "Position";
        /// By full-time, part-time, attached.
        EmploymentMode = "employment_mode", "任职方式", "Mode of employment";
        /// By organization.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count posts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PostCounts {
    /// By what.
    #[param(inline)]
    by: PostsBy,
}

/// 职务计数 · Count posts
///
/// How many posts of the caller's subtree there are of each position, mode or organization.
#[utoipa::path(
    tag = "people",
    params(PostCounts, PostFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/posts/counts")]
pub async fn count_posts(call: Call, counts: Query<PostCounts>, filter: Query<PostFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let me = Worker::of(call.signed_in()?, call.today());
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, &me, call.today(), counts.by).await?)
}

/// 职务详情 · Get a post
///
/// One post in the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(PostPath),
    responses((status = OK, body = PostView, description = "The post."))
)]
#[get("/api/v1/posts/{id}")]
pub async fn get_post(call: Call, path: Path<PostPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id).await?;
    let version = row.version;
    let around = Around::load(&call, &conn, std::slice::from_ref(&row)).await?;
    Reply::item(&around.view(row), version)
}
