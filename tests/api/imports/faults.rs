//! What is wrong with a table or its workbook, told with its place.

use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;

use super::*;

#[actix_web::test]
async fn thirty_planted_faults_are_told_and_no_others() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let county = format!("/api/v1/organizations/{COUNTY}");
    let edit = json!({ "name": "岳阳楼区妇联", "short_name": null, "host_name": null, "division_code": "430602",
        "uscc": "13430600MB0000019X", "address": null, "location": null, "phone": null, "founded_on": null,
        "approval_document": null, "tags": [], "liaisons": [] });
    admin.put(&county).if_match("\"1\"").json(&edit).await.expect(200);
    let mut table = Planted::new(&[
        "id",
        "kind",
        "level",
        "name",
        "parent_id",
        "parent_code",
        "parent_path",
        "division_code",
        "uscc",
        "phone",
        "founded_on",
        "location.longitude",
        "location.latitude",
        "status",
        "tags",
    ]);
    let mut expected = Vec::new();
    let (one, two) = ("0168028c-2f00-7000-9000-000000000001", "0168028c-2f00-7000-9000-000000000002");
    let many = (0..21).map(|number| format!("标签{number}")).collect::<Vec<_>>().join(",");
    type Fault<'a> = (&'a [(&'a str, Value)], &'a str, &'a str);
    let faults: &[Fault<'_>] = &[
        (&[("kind", Value::Null)], "kind", "required"),
        (&[("kind", json!("居委会"))], "kind", "enum"),
        (&[("name", Value::Null)], "name", "required"),
        (&[("name", json!("会"))], "name", "min_length"),
        (&[("name", json!("长".repeat(101)))], "name", "max_length"),
        (&[("name", json!("=UPPER(\"a\")"))], "name", "formula"),
        (&[("level", Value::Null)], "level", "level"),
        (&[("level", json!("市级"))], "parent_code", "placement"),
        (&[("parent_code", json!("430699"))], "parent_code", "unknown_reference"),
        (&[("parent_code", json!("430603"))], "parent_code", "unknown_reference"),
        (&[("parent_code", Value::Null)], "parent_path", "required"),
        (&[("parent_code", Value::Null), ("parent_path", json!("岳阳市妇联/没有的妇联"))], "parent_path", "unknown_reference"),
        (&[("uscc", json!("91350100M000100Y44"))], "uscc", "check_character"),
        (&[("uscc", json!("91350100"))], "uscc", "min_length"),
        (&[("uscc", json!(4.306_991_988_080_8e17))], "uscc", "number_lost_digits"),
        (&[("uscc", json!("13430600MB0000019X"))], "uscc", "taken"),
        (&[("uscc", json!("51430600MJK000014L"))], "", ""),
        (&[("uscc", json!("51430600MJK000014L"))], "uscc", "repeated_row"),
        (&[("division_code", json!("430602001"))], "division_code", "division"),
        (&[("phone", json!("办公室"))], "phone", "pattern"),
        (&[("founded_on", json!("2019-02-30"))], "founded_on", "date"),
        (&[("location.longitude", json!(200)), ("location.latitude", json!(29))], "location.longitude", "maximum"),
        (&[("location.longitude", json!(113))], "location.latitude", "required"),
        (&[("location.longitude", json!(113)), ("location.latitude", json!("北"))], "location.latitude", "number"),
        (&[("status", json!("已合并"))], "status", "merged"),
        (&[("tags", json!(many))], "tags", "max_items"),
        (&[("tags", json!("长".repeat(33)))], "tags", "max_length"),
        (&[("id", json!("7"))], "id", "format"),
        (&[("name", json!("第17妇委会"))], "name", "repeated_row"),
        (&[("id", json!(one)), ("parent_id", json!(two)), ("parent_code", Value::Null)], "parent_id", "cycle"),
        (&[("id", json!(two)), ("parent_id", json!(one)), ("parent_code", Value::Null)], "parent_id", "cycle"),
        // Below a row that is wrong: told when that one is right.
        (
            &[("kind", json!("村社区妇联")), ("parent_id", json!(one)), ("parent_code", Value::Null), ("level", Value::Null)],
            "",
            "",
        ),
        (&[], "", ""),
    ];
    for (cells, column, code) in faults {
        let row = table.add(cells);
        if !code.is_empty() {
            expected.push((row, (*column).to_owned(), (*code).to_owned()));
        }
    }
    assert_eq!(expected.len(), 30);
    let failed = import(&app, &admin, "organizations", COUNTY, "apply", "组织.xlsx", &table.bytes()).await;
    assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!("rows")));
    assert_eq!(errors(&failed), expected);
    assert_eq!(failed.json["counts"]["errors"], 30);
    let lost = failed.json["errors"].as_array().unwrap().iter().find(|error| error["code"] == "number_lost_digits").unwrap();
    assert_eq!((&lost["column_letter"], &lost["column_label"]), (&json!("I"), &json!("统一社会信用代码")));
    // All of it by pages, and nothing of it was written.
    let pages = all(&admin, &format!("{}/errors?", path(&failed))).await;
    assert_eq!(pages.len(), 30);
    let committees =
        admin.get("/api/v1/organizations?q=妇委会&include_total=true".replace("妇委会", "%E5%A6%87%E5%A7%94%E4%BC%9A")).await;
    assert!(committees.expect(200).items().iter().all(|item| !item["name"].as_str().unwrap().starts_with('第')));
    // The same table with its errors beside its rows.
    let book = admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200);
    let mut told = Vec::new();
    let media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    half_sky::sheets::read::read(media_type, &book.bytes.into(), |line| {
        told.extend(line.cells.iter().filter(|(column, _)| *column == 15).map(|_| i64::from(line.number)));
        true
    })
    .unwrap();
    let mut rows: Vec<i64> = expected.iter().map(|(row, ..)| *row).collect();
    rows.insert(0, 1);
    assert_eq!(told, rows);
}

#[actix_web::test]
async fn a_workbook_that_is_dangerous_is_refused_with_its_reason() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let mut table = Planted::new(&["kind", "level", "name", "parent_code"]);
    table.add(&[]);
    let good = table.bytes();
    let sheet = |text: &str| text.as_bytes().to_vec();
    let bomb = vec![b' '; 40 << 20];
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("bomb", "xl/media/picture.bin", bomb),
        ("external_links", "xl/externalLinks/externalLink1.xml", sheet("<externalLink/>")),
        ("document_type", "docProps/more.xml", sheet("<!DOCTYPE x [<!ENTITY a \"b\">]><x/>")),
        ("macros", "xl/macrosheets/sheet1.xml", sheet("<x/>")),
    ];
    for (failure, name, content) in cases {
        let bytes = with_part(&good, name, &content);
        assert!(bytes.len() < 1 << 20, "{failure}: {}", bytes.len());
        let failed = import(&app, &admin, "organizations", COUNTY, "apply", &format!("{failure}.xlsx"), &bytes).await;
        assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!(failure)));
    }
    let macros = with_part(&good, "xl/vbaProject.bin", b"x");
    let refused = admin.post("/api/v1/files").form(&[("purpose", "import")], "m.xlsx", &macros).await.expect(422);
    assert_eq!(refused.faults(), [("/file".to_owned(), "macros".to_owned())]);
    let applied = import(&app, &admin, "organizations", COUNTY, "apply", "good.xlsx", &good).await;
    assert_eq!((&applied.json["status"], &applied.json["sheet"]), (&json!("applied"), &json!("Sheet1")));
}

/// The same archive with one part more.
fn with_part(book: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(book.to_vec());
    let mut archive = zip::ZipWriter::new_append(&mut bytes).unwrap();
    archive.start_file(name, SimpleFileOptions::default()).unwrap();
    archive.write_all(content).unwrap();
    archive.finish().unwrap();
    bytes.rewind().unwrap();
    bytes.into_inner()
}
