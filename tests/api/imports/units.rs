//! Coverage units from tables.

use futures_util::future::join;

use super::*;
use crate::exports::file_of;
use crate::support::CITY;

const UNITS: &str = "/api/v1/coverage-units";
/// Credit codes of two units that the demo does not know.
const USCC: &str = "91430621MA4ABC0146";
const ANOTHER: &str = "51430600MJK000014L";
/// The chamber's federation in [`COUNTY`], and the park's in [`NEIGHBOUR`].
const CHAMBER: &str = "0168028c-2f00-7000-8006-000000000032";
const PARK: &str = "0168028c-2f00-7000-8006-000000000031";
/// A site in another county than [`COUNTY`], and one in it.
const THEIR_SITE: &str = "0168028c-2f00-7000-8003-000000000003";
const SITE: &str = "0168028c-2f00-7000-8003-000000000001";

/// The columns that matter to a unit.
const UNIT_HEADER: &str = "类别,名称,组织代码,组织全路径,区划代码,统一社会信用代码,职工人数,妇女人数,覆盖组织全路径,覆盖组织 ID,覆盖阵地 ID,外部编号,状态,ID";

/// A table of schools in the county's first street, whose cells are told by title.
fn units(rows: &[&[(&str, &str)]]) -> String {
    let titles: Vec<&str> = UNIT_HEADER.split(',').collect();
    let cell = |given: &[(&str, &str)], number: usize, title: &str| {
        let told = given.iter().find(|(name, _)| *name == title).map(|(_, value)| (*value).to_owned());
        assert!(given.iter().all(|(name, _)| titles.contains(name)), "{given:?}");
        told.unwrap_or_else(|| match title {
            "类别" => "学校".to_owned(),
            "名称" => format!("新建第{number}小学"),
            "组织代码" => "430602".to_owned(),
            "区划代码" => "430602001".to_owned(),
            _ => String::new(),
        })
    };
    let lines = (1..)
        .zip(rows)
        .map(|(number, given)| titles.iter().map(|title| cell(given, number, title)).collect::<Vec<_>>().join(",") + "\r\n");
    format!("{UNIT_HEADER}\r\n{}", lines.collect::<String>())
}

#[actix_web::test]
async fn the_units_of_a_list_come_back_unchanged_the_closed_ones_too() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let there = all(&officer, &format!("{UNITS}?")).await;
    assert!(there.iter().any(|unit| unit["status"] == "closed") && there.iter().any(|unit| unit["covered"] == true));
    for format in ["xlsx", "csv"] {
        let (_, table) = file_of(&app, &officer, json!({ "source": "coverage-units", "format": format })).await;
        let back = import(&app, &officer, "coverage_units", COUNTY, "apply", &format!("单位.{format}"), &table).await;
        assert_eq!((&back.json["status"], errors(&back)), (&json!("applied"), vec![]), "{:#}", back.json);
        let rows = there.len();
        assert_eq!(back.json["counts"], json!({ "rows": rows, "new": 0, "changed": 0, "unchanged": rows, "errors": 0 }));
    }
    assert_eq!(all(&officer, &format!("{UNITS}?")).await, there, "not even a version was raised");
}

#[actix_web::test]
async fn every_rule_that_a_unit_of_a_table_breaks_is_told_at_its_cell() {
    let app = TestApp::new().await;
    let city = app.sign_in("city-admin").await;
    let theirs = json!({ "kind": "enterprise", "name": "云溪制衣厂", "organization_id": NEIGHBOUR, "division_code": "430603", "uscc": USCC });
    city.post(UNITS).json(&theirs).await.expect(201);
    let officer = app.sign_in("county-officer").await;
    let known = json!({ "kind": "enterprise", "name": "步行街制衣厂", "organization_id": COUNTY, "division_code": "430602001", "uscc": ANOTHER, "external_id": "7" });
    let known = officer.post(UNITS).json(&known).await.expect(201).text("/id");
    let closed = "0168028c-2f00-7000-8050-000000000002";
    type Fault<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let faults: &[Fault<'_>] = &[
        (&[("外部编号", "E-1")], "", ""),
        (&[("名称", "")], "name", "required"),
        (&[("名称", "校")], "name", "min_length"),
        (&[("类别", "居委会")], "kind", "enum"),
        (&[("组织代码", "")], "organization_path", "required"),
        (&[("组织代码", "430603")], "organization_code", "unknown_reference"),
        (&[("组织代码", ""), ("组织全路径", "岳阳楼区妇联/岳阳楼区商会妇联")], "organization_path", "kind"),
        (&[("区划代码", "")], "division_code", "required"),
        (&[("区划代码", "43060A")], "division_code", "pattern"),
        (&[("区划代码", "430603001")], "division_code", "division"),
        (&[("区划代码", "430602999")], "division_code", "unknown_reference"),
        (&[("统一社会信用代码", "91430621MA4ABC0147")], "uscc", "check_character"),
        (&[("统一社会信用代码", USCC), ("类别", "企业")], "uscc", "taken"),
        (&[("类别", "企业"), ("职工人数", "5"), ("妇女人数", "6")], "women_count", "more_than_employees"),
        (&[("职工人数", "五")], "employees_count", "number"),
        (&[("职工人数", "-1")], "employees_count", "minimum"),
        (&[("覆盖组织全路径", "岳阳楼区妇联")], "covered_by_organization_path", "kind"),
        (&[("覆盖组织全路径", "没有的妇联")], "covered_by_organization_path", "unknown_reference"),
        (&[("覆盖组织 ID", PARK)], "covered_by_organization_id", "unknown_reference"),
        (&[("覆盖阵地 ID", THEIR_SITE)], "covered_by_site_id", "unknown_reference"),
        (&[("名称", "新建第1小学")], "name", "repeated_row"),
        (&[("外部编号", "E-1")], "external_id", "repeated_row"),
        (&[("状态", "已注销")], "status", "by_action"),
        (&[("ID", "7")], "id", "format"),
        (&[("ID", "0168028c-2f00-7000-8050-000000000009")], "id", "unknown_reference"),
        (&[("ID", closed)], "status", "by_action"),
        (&[("ID", closed), ("状态", "已注销")], "id", "repeated_row"),
        (&[("ID", &known), ("类别", "企业"), ("状态", "已注销")], "status", "by_action"),
        // Two legal persons, and a unit that would take another's number.
        (&[("外部编号", "7"), ("统一社会信用代码", "91430600MA4ABC022K")], "external_id", "taken"),
        (&[("ID", "0168028c-2f00-7000-8050-000000000001"), ("外部编号", "7")], "external_id", "taken"),
        (&[("覆盖阵地 ID", SITE), ("覆盖组织 ID", CHAMBER)], "", ""),
    ];
    let table = units(&faults.iter().map(|(cells, ..)| *cells).collect::<Vec<_>>());
    let failed = import(&app, &officer, "coverage_units", COUNTY, "apply", "单位.csv", table.as_bytes()).await;
    let told = |(row, (_, column, code)): (i64, &Fault<'_>)| (row, (*column).to_owned(), (*code).to_owned());
    let expected: Vec<_> = (2..).zip(faults).map(told).filter(|(.., code)| !code.is_empty()).collect();
    assert_eq!((&failed.json["failure"], errors(&failed)), (&json!("rows"), expected));
    // Of the whole city the covers are known, and are of other counties.
    let table = units(&[&[("覆盖组织 ID", PARK)], &[("覆盖阵地 ID", THEIR_SITE)]]);
    let failed = import(&app, &city, "coverage_units", CITY, "apply", "单位.csv", table.as_bytes()).await;
    let expected = [(2, "covered_by_organization_id"), (3, "covered_by_site_id")];
    assert_eq!(errors(&failed), expected.map(|(row, column)| (row, column.to_owned(), "other_county".to_owned())));
    let made = all(&city, &format!("{UNITS}?q=%E6%96%B0%E5%BB%BA&")).await;
    assert_eq!(made, Vec::<Value>::new(), "nothing was written");
    // Who only reads them imports none.
    let viewer = app.sign_in("city-viewer").await;
    let file = city.post("/api/v1/files").form(&[("purpose", "import")], "a.csv", table.as_bytes()).await.expect(201);
    let body = json!({ "file_id": file.json["id"], "kind": "coverage_units", "organization_id": COUNTY, "mode": "validate" });
    viewer.post("/api/v1/imports").json(&body).await.expect_problem(403, "permission_denied");
}

/// A list of enterprises by their numbers.
fn factories(numbers: impl Iterator<Item = usize>) -> String {
    let row = |number| format!("企业,第{number}家厂,430602,430602001,10,L-{number}\r\n");
    format!("类别,名称,组织代码,区划代码,妇女人数,外部编号\r\n{}", numbers.map(row).collect::<String>())
}

#[actix_web::test]
async fn a_list_of_units_is_written_once_and_recognised_the_next_time() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let list = factories(0..1200);
    let first = import(&app, &officer, "coverage_units", COUNTY, "apply", "企业.csv", list.as_bytes()).await;
    assert_eq!((&first.json["status"], errors(&first)), (&json!("applied"), vec![]));
    assert_eq!(first.json["counts"], json!({ "rows": 1200, "new": 1200, "changed": 0, "unchanged": 0, "errors": 0 }));
    // Somebody enters more of one by hand, which the list does not know.
    let unit = async |number: usize| officer.get(format!("{UNITS}?external_id=L-{number}")).await.expect(200).items()[0].clone();
    let one = unit(0).await;
    let path = format!("{UNITS}/{}", one["id"].as_str().unwrap());
    let mut edit = json!({ "address": "步行街", "covered_by_organization_id": CHAMBER, "uscc": USCC });
    for field in [
        "kind",
        "name",
        "organization_id",
        "division_code",
        "employees_count",
        "women_count",
        "covered_by_site_id",
        "external_id",
    ] {
        edit[field] = one[field].clone();
    }
    officer.put(&path).if_match("\"1\"").json(&edit).await.expect(200);
    let again = import(&app, &officer, "coverage_units", COUNTY, "validate", "企业.csv", list.as_bytes()).await;
    assert_eq!(again.json["counts"], json!({ "rows": 1200, "new": 0, "changed": 0, "unchanged": 1200, "errors": 0 }));
    // Recognized by id, by credit code, by number, by name; one that is as the row says, one that is new.
    let five = unit(5).await["id"].as_str().unwrap().to_owned();
    let text = format!(
        "ID,类别,名称,组织代码,区划代码,统一社会信用代码,职工人数,妇女人数,外部编号\r\n\
        {five},学校,改办的学校,430602,430602002,{ANOTHER},,10,L-5\r\n\
        ,企业,改了名的厂,430602,430602001,{USCC},,10,L-0\r\n\
        ,企业,也改了名,430602,430602001,,,11,L-1\r\n\
        ,企业,第2家厂,430602,430602001,,20,10,M-2\r\n\
        ,企业,第3家厂,430602,430602001,,,10,L-3\r\n\
        ,企业,第3家厂,430602,430602002,,,10,\r\n"
    );
    let third = import(&app, &officer, "coverage_units", COUNTY, "apply", "变更.csv", text.as_bytes()).await;
    assert_eq!((&third.json["status"], errors(&third)), (&json!("applied"), vec![]));
    assert_eq!(third.json["counts"], json!({ "rows": 6, "new": 1, "changed": 4, "unchanged": 1, "errors": 0 }));
    let seen = officer.get(&path).await.expect(200);
    assert_eq!((seen.text("/name"), &seen.json["version"]), ("改了名的厂".to_owned(), &json!(3)));
    assert_eq!((seen.text("/address"), &seen.json["covered"]), ("步行街".to_owned(), &json!(true)), "no column, no change");
    let five = officer.get(format!("{UNITS}/{five}")).await.expect(200);
    assert_eq!(
        (five.text("/name"), five.text("/uscc"), five.text("/kind")),
        ("改办的学校".into(), ANOTHER.into(), "school".into())
    );
    // An empty cell clears; a row does not take another unit's name.
    let text = "类别,名称,组织代码,区划代码,覆盖组织 ID,外部编号\r\n企业,改了名的厂,430602,430602001,,L-0\r\n";
    let cleared = import(&app, &officer, "coverage_units", COUNTY, "apply", "清空.csv", text.as_bytes()).await;
    assert_eq!((&cleared.json["status"], &cleared.json["counts"]["changed"]), (&json!("applied"), &json!(1)));
    assert_eq!(officer.get(&path).await.expect(200).json["covered"], false);
    let text = "类别,名称,组织代码,区划代码,外部编号\r\n企业,第4家厂,430602,430602001,L-3\r\n";
    let failed = import(&app, &officer, "coverage_units", COUNTY, "apply", "占用.csv", text.as_bytes()).await;
    assert_eq!(errors(&failed), [(2, "name".to_owned(), "taken".to_owned())]);
}

#[actix_web::test]
async fn one_list_of_units_that_two_apply_at_once_is_there_once() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let (list, backwards) = (factories(0..700), factories((0..700).rev()));
    let one = start(&officer, "coverage_units", COUNTY, "apply", "a.csv", list.as_bytes()).await.expect(201);
    let two = start(&admin, "coverage_units", COUNTY, "apply", "b.csv", backwards.as_bytes()).await.expect(201);
    let (first, second) = join(run_due(&app.app), run_due(&app.app)).await;
    first.and(second).unwrap();
    let mut new = Vec::new();
    for import in [&one, &two] {
        let done = admin.get(path(import)).await.expect(200);
        assert_eq!((&done.json["status"], &done.json["counts"]["changed"]), (&json!("applied"), &json!(0)), "{:#}", done.json);
        new.push(done.json["counts"]["new"].as_i64().unwrap());
    }
    new.sort_unstable();
    assert_eq!(new, [0, 700]);
    assert_eq!(count(&app, "SELECT count(*) AS count FROM coverage_units WHERE external_id LIKE 'L-%'").await, 700);
}
