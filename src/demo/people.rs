//! A few people with posts, one of them twice, an area that one looks after, and a few sites, to try the operations on. Their numbers are made up and fit the checks; the
//! region of the identity numbers (430699) is not in use.

use diesel_async::AsyncPgConnection;
use serde_json::json;

use super::{Fault, federations, fixed_id, organization_of};
use crate::app::App;
use crate::organizations::seed::{self, Contact, MergeSuggestion, Person, Post, Site};
use crate::organizations::{
    EmploymentMode, MergeReason, PersonStatus, PostPosition, Secondment, Sex, SiteKind, SiteStatus, SuggestionStatus,
};

/// Number of the fixed ids, name, sex, year of birth, telephone, identity number, division, position, mode.
type Entry =
    (&'static str, &'static str, i16, Option<&'static str>, Option<&'static str>, &'static str, PostPosition, EmploymentMode);

const PEOPLE: &[Entry] = &[
    (
        "1",
        "李梅",
        1988,
        Some("13800005678"),
        Some("430699198808081220"),
        "430602",
        PostPosition::ViceChair,
        EmploymentMode::PartTime,
    ),
    (
        "2",
        "王芳",
        1992,
        Some("13900001234"),
        Some("430699199202290022"),
        "430602",
        PostPosition::ExecutiveMember,
        EmploymentMode::PartTime,
    ),
    ("3", "张丽", 1979, Some("13700004321"), None, "430602", PostPosition::Chair, EmploymentMode::FullTime),
    ("4", "刘敏", 1985, Some("13600008765"), None, "430603", PostPosition::Chair, EmploymentMode::FullTime),
    ("5", "陈静", 1990, None, None, "430600", PostPosition::ViceChair, EmploymentMode::Attached),
    ("6", "赵霞", 1983, Some("13500002468"), None, "430602001", PostPosition::Chair, EmploymentMode::FullTime),
    ("7", "孙玲", 1987, Some("13300001357"), None, "430602001001", PostPosition::Chair, EmploymentMode::PartTime),
    // The first once more, as a street has registered her.
    ("8", "李梅", 1988, None, None, "430602004", PostPosition::ExecutiveMember, EmploymentMode::PartTime),
];

/// Loads people, posts, sites and who looks after whom.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let now = app.clock.now();
    let (mut people, mut posts) = (Vec::new(), Vec::new());
    for (number, name, birth_year, phone, id_number, division, position, employment_mode) in PEOPLE {
        let organization_id = organization_of(division);
        let id = fixed_id(0x8001, number).into();
        let plain = Person {
            id,
            organization_id,
            name: (*name).to_owned(),
            sex: Some(Sex::Female),
            birth_year: Some(*birth_year),
            phone: None,
            phone_hash: None,
            phone_masked: None,
            id_number: None,
            id_number_hash: None,
            id_number_masked: None,
            tags: vec![],
            status: PersonStatus::Active,
            merged_into_id: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let person = seed::sealed(&app.vault, plain, *phone, *id_number, app.clock.today());
        people.push(person.ok_or_else(|| Fault(format!("a number of {name} is not valid")))?);
        posts.push(Post {
            id: fixed_id(0x8002, number).into(),
            organization_id,
            person_id: id,
            position: *position,
            employment_mode: *employment_mode,
            secondment: (*employment_mode == EmploymentMode::Attached).then_some(Secondment::Up),
            from_on: federations::founded(),
            to_on: None,
            appointed_by: None,
            end_reason: None,
            version: 1,
            created_at: now,
            updated_at: now,
        });
    }
    let site = |number: &str, division: &str, kind: SiteKind, name: &str, feature: Option<&str>| Site {
        id: fixed_id(0x8003, number).into(),
        owner_organization_id: organization_of(division),
        kind,
        name: name.to_owned(),
        feature: feature.map(str::to_owned),
        enterprise_id: None,
        address: None,
        longitude: None,
        latitude: None,
        phone: None,
        checklist: json!([]),
        accreditation: None,
        accredited_on: None,
        accreditation_document: None,
        status: SiteStatus::Active,
        closed_on: None,
        close_reason: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let sites = [
        site("1", "430602", SiteKind::WomensHome, "岳阳楼区妇女之家", Some("巾帼宣讲")),
        site("2", "430602001", SiteKind::ParentsSchool, "街道家长学校", None),
        site("3", "430603", SiteKind::WomensMicroHome, "云溪妇女微家", None),
    ];
    seed::people(conn, &people).await?;
    seed::posts(conn, &posts).await?;
    seed::sites(conn, &sites).await?;
    let suggestion = MergeSuggestion {
        id: fixed_id(0x8011, "1").into(),
        person_id: fixed_id(0x8001, "1").into(),
        other_id: fixed_id(0x8001, "8").into(),
        reasons: vec![MergeReason::SameNameAndBirthYear],
        status: SuggestionStatus::Open,
        dismiss_reason: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    seed::merge_suggestions(conn, &[suggestion]).await?;
    let contact = Contact {
        id: fixed_id(0x8012, "1").into(),
        organization_id: organization_of("430602"),
        post_id: fixed_id(0x8002, "1").into(),
        person_id: fixed_id(0x8001, "1").into(),
        area_organization_id: Some(organization_of("430602001004")),
        area: None,
        households_count: Some(30),
        women_count: Some(42),
        from_on: federations::founded(),
        to_on: None,
        end_reason: None,
        remark: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    seed::contacts(conn, &[contact]).await?;
    Ok(())
}
