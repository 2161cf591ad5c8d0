//! Imports of people and of their posts.

use super::*;

#[actix_web::test]
async fn people_are_recognised_by_their_numbers_which_are_nowhere_in_clear() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织全路径,性别,出生年份,电话,身份证号,标签\r\n\
        周兰,岳阳市妇联/岳阳楼区妇联,女,,13700001111,,讲师、调解员\r\n\
        李梅,岳阳楼区妇联,,,138****5678,430699198808081220,\r\n\
        王芳,岳阳楼区妇联,女,1992,13900001234,4306**********0022,执委\r\n";
    let applied = import(&app, &officer, "people", COUNTY, "apply", "人员.csv", text.as_bytes()).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    assert_eq!(applied.json["counts"], json!({ "rows": 3, "new": 1, "changed": 1, "unchanged": 1, "errors": 0 }));
    let found = officer.post("/api/v1/people/search").json(&json!({ "phone": "13700001111" })).await.expect(200);
    assert_eq!((&found.items()[0]["name"], &found.items()[0]["tags"]), (&json!("周兰"), &json!(["讲师", "调解员"])));
    let wrong = "姓名,组织代码,性别,电话,身份证号\r\n\
        甲某,430602,女,13711112222,4.3E+17\r\n\
        乙某,430602,男,13711113333,430699199202290022\r\n\
        丙某,430603,女,13711114444,\r\n\
        丁某,430602,女,137****0000,\r\n\
        戊某,430602,女,13711115555,430699198808081239\r\n\
        己某,430602,女,1371111,430699199202290023\r\n";
    let failed = import(&app, &officer, "people", COUNTY, "validate", "人员.csv", wrong.as_bytes()).await;
    let expected = [
        (2, "id_number", "number_lost_digits"),
        (3, "sex", "disagrees"),
        (4, "organization_code", "unknown_reference"),
        (5, "phone", "masked"),
        (6, "sex", "disagrees"),
        (7, "phone", "phone"),
        (7, "id_number", "check_character"),
    ];
    assert_eq!(errors(&failed), expected.map(|(row, column, code)| (row, column.to_owned(), code.to_owned())));
    assert_eq!(failed.json["errors"][0]["message"], "Excel 已将证件号变成数字，末位已丢失；请把列设为文本后重新填写");
    assert_eq!(failed.json["errors"][6]["value"], "430*************23");
    // A validated table waits sealed.
    let waits = "姓名,组织代码,电话\r\n庚某,430602,13711116666\r\n";
    import(&app, &officer, "people", COUNTY, "validate", "人员.csv", waits.as_bytes()).await;
    let clear = "SELECT count(*) AS count FROM import_rows WHERE position('13711116666'::bytea IN payload) > 0";
    assert_eq!(
        (count(&app, clear).await, count(&app, "SELECT count(*) AS count FROM import_rows WHERE number = 2").await > 0),
        (0, true)
    );
}

#[actix_web::test]
async fn posts_name_their_holders_and_an_organization_has_one_chair() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "组织代码,姓名,电话,身份证号,职务,任职方式,起始日期,截止日期\r\n\
        430602,李梅,,430699198808081220,常委,兼职,2019/4/1,\r\n\
        430602,王芳,13900001234,,执委,兼职,2019-01-01,2023-12-31\r\n";
    let applied = import(&app, &officer, "posts", COUNTY, "apply", "职务.csv", text.as_bytes()).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    assert_eq!(applied.json["counts"], json!({ "rows": 2, "new": 1, "changed": 1, "unchanged": 0, "errors": 0 }));
    let wrong = "组织代码,姓名,电话,身份证号,职务,任职方式,起始日期,截止日期\r\n\
        430602,李梅,,430699198808081220,主席,兼职,2019-04-01,\r\n\
        430602,李梅,,430699198808081220,常委,兼职,2019-05-01,\r\n\
        430602,无名,13900009999,,执委,兼职,2019-01-01,\r\n\
        430602,王芳,13900001234,,干部,兼职,2019-03-01,2019-02-01\r\n\
        430602,,,,干部,兼职,2019-03-01,\r\n\
        430602001,王芳,13900001234,,副主席,专职,2019-03-01,\r\n\
        430602001,王芳,13900001234,,副主席,专职,2019-03-02,\r\n";
    let failed = import(&app, &officer, "posts", COUNTY, "validate", "职务.csv", wrong.as_bytes()).await;
    let expected = [
        (2, "position", "taken"),
        (3, "from_on", "taken"),
        (4, "phone", "unknown_reference"),
        (5, "to_on", "before_start"),
        (6, "person_id", "required"),
        (8, "from_on", "repeated_row"),
    ];
    assert_eq!(errors(&failed), expected.map(|(row, column, code)| (row, column.to_owned(), code.to_owned())));
}
