//! Terms about to end, the nearest first.

use actix_web::get;
use chrono::{Days, NaiveDate};

use super::{Around, PostPage};
use crate::filters;
use crate::http::page::{Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::PostPosition;
use crate::organizations::store::posts::{self as store, Post};

/// How many days ahead terms are listed where nobody says until when.
const AHEAD: Days = Days::new(90);

filters! {
    /// Filters of terms about to end.
    ExpiringFilter {
        /// Only posts whose last day is this or earlier; 90 days from today where it is not given.
        #[param(example = "2019-07-09")]
        before: NaiveDate,
        /// Only posts of this organization.
        organization_id: OrganizationId,
        /// Only posts in the subtree of this organization.
        within: OrganizationId,
        /// Only these positions.
        position: Vec<PostPosition>,
    }
}

/// 即将届满的职务 · List posts about to end
///
/// Posts of the caller's subtree whose last day is today or later, up to `before`: the nearest first.
#[utoipa::path(
    tag = "people",
    params(ExpiringFilter, Paging),
    responses((status = OK, body = PostPage, description = "One page of posts."))
)]
#[get("/api/v1/posts/expiring")]
pub async fn list_expiring_posts(call: Call, filter: Query<ExpiringFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let today = call.today();
    let before = filter.before.unwrap_or(today.checked_add_days(AHEAD).unwrap_or(NaiveDate::MAX));
    let listed = store::list_expiring(&conn, &scope, &filter, (today, before), &page).await?;
    let around = Around::load(&call, &conn, &listed.rows).await?;
    let position = |row: &Post| Position { code: row.to_on.map(|day| day.to_string()), ..Position::id(row.id) };
    page.reply(listed, position, |row| around.view(row))
}
