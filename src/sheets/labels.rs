//! What a column of a list is called, in one table: exports write these above their columns, imports read them. A test holds the
//! table against every list of the document.

use crate::http::Bilingual;

/// Names in Chinese and English by the name on the wire. `list/name` is what it is called in one list only; a part of an object,
/// `organization.name`, is called by both its names unless it stands here itself.
const LABELS: &[(&str, &str, &str)] = &[
    ("account_id", "账号 ID", "Account ID"),
    ("accreditation", "认定级别", "Accreditation"),
    ("accreditation_document", "认定文件", "Accreditation document"),
    ("accredited_on", "认定日期", "Accredited on"),
    ("action", "操作", "Action"),
    ("actor", "操作人", "Actor"),
    ("actor_id", "操作人 ID", "Actor ID"),
    ("actor_kind", "操作人类别", "Kind of actor"),
    ("actor_name", "操作人姓名", "Name of actor"),
    ("address", "地址", "Address"),
    ("after", "变更后", "After"),
    ("allowed_actions", "可执行操作", "Allowed actions"),
    ("applied_by", "写入人 ID", "Applied by ID"),
    ("appointed_by", "任命文件", "Appointed by"),
    ("area", "联系范围", "Area"),
    ("area_organization", "联系组织", "Area organization"),
    ("area_organization_id", "联系组织 ID", "Area organization ID"),
    ("at", "时间", "At"),
    ("attached_id", "所属对象 ID", "Attached to ID"),
    ("attached_type", "所属对象类别", "Attached to"),
    ("attempts", "尝试次数", "Attempts"),
    ("awaiting", "待办", "Awaiting"),
    ("before", "变更前", "Before"),
    ("birth_year", "出生年份", "Year of birth"),
    ("cancel_requested", "已要求取消", "Cancellation requested"),
    ("changes", "变更内容", "Changes"),
    ("chapter", "章", "Chapter"),
    ("chapter_number", "章号", "Chapter number"),
    ("checklist", "检查清单", "Checklist"),
    ("children_count", "下级组织数", "Number of children"),
    ("close_reason", "关闭原因", "Reason for closing"),
    ("closed_on", "关闭日期", "Closed on"),
    ("co_organizations", "协办组织", "Co-organizations"),
    ("code", "代码", "Code"),
    ("code_system", "代码体系", "Code system"),
    ("column", "列", "Column"),
    ("column_label", "列名", "Title of column"),
    ("column_letter", "列标", "Letter of column"),
    ("columns", "列", "Columns"),
    ("comparator", "比较方式", "Comparator"),
    ("count", "条数", "Count"),
    ("counted", "在任人数", "Holders counted"),
    ("counting_rule", "统计口径", "Counting rule"),
    ("counts.changed", "变更数", "Changed"),
    ("counts.errors", "错误数", "Errors"),
    ("counts.new", "新增数", "New"),
    ("counts.rows", "行数", "Rows"),
    ("counts.unchanged", "无变化数", "Unchanged"),
    ("county", "县市区", "County"),
    ("covered", "已覆盖", "Covered"),
    ("covered_by", "覆盖方", "Covered by"),
    ("covered_by_organization_id", "覆盖组织 ID", "Covering organization ID"),
    ("covered_by_site_id", "覆盖阵地 ID", "Covering site ID"),
    ("created_at", "创建时间", "Created at"),
    ("created_by", "创建人 ID", "Created by ID"),
    ("current", "当前会话", "Current session"),
    ("derivation", "指标来源", "Derivation"),
    ("dismiss_reason", "不合并原因", "Reason for dismissing"),
    ("display_name", "姓名", "Name"),
    ("division", "区划", "Division"),
    ("division.code", "所在区划代码", "Code of the division"),
    ("division_code", "区划代码", "Division code"),
    ("document_number", "文号", "Document number"),
    ("done_at", "办结时间", "Done at"),
    ("due_on", "截止日期", "Due on"),
    ("employees_count", "职工人数", "Employees"),
    ("employment_mode", "任职方式", "Employment mode"),
    ("end_reason", "离任原因", "Reason for ending"),
    ("enterprise_id", "企业 ID", "Enterprise ID"),
    ("error", "错误代码", "Error"),
    ("executives", "执委人数", "Executive members"),
    ("executives_assigned", "已联系执委人数", "Executive members with an assignment"),
    ("expires_at", "失效时间", "Expires at"),
    ("exports/source", "列表", "List"),
    ("external_id", "外部编号", "External ID"),
    ("failure", "失败代码", "Failure"),
    ("failure_message", "失败原因", "Why it failed"),
    ("feature", "特色", "Feature"),
    ("federation", "妇联", "Federation"),
    ("file_id", "文件 ID", "File ID"),
    ("file_name", "文件名", "File name"),
    ("filters", "筛选条件", "Filters"),
    ("finished_at", "结束时间", "Finished at"),
    ("format", "格式", "Format"),
    ("frequency", "频率", "Frequency"),
    ("from", "原组织", "From"),
    ("from_on", "起始日期", "From"),
    ("full_name", "全称", "Full name"),
    ("granted_by", "授权人 ID", "Granted by ID"),
    ("hash", "哈希值", "Hash"),
    ("height", "高度", "Height"),
    ("held", "已任", "Held"),
    ("history/kind", "事件类别", "Kind of event"),
    ("households_count", "联系户数", "Households"),
    ("id", "ID", "ID"),
    ("id_number", "身份证号", "Identity number"),
    ("indicator_count", "指标数", "Number of indicators"),
    ("issued_on", "印发日期", "Issued on"),
    ("kid", "密钥编号", "Key ID"),
    ("kind", "类别", "Kind"),
    ("language", "语言", "Language"),
    ("last_error", "最近错误", "Last error"),
    ("last_login_at", "最近登录时间", "Last sign-in at"),
    ("last_used_at", "最近使用时间", "Last used at"),
    ("lead_organization", "牵头单位", "Lead organization"),
    ("lead_organization_id", "牵头单位 ID", "Lead organization ID"),
    ("lead_organization_kind", "牵头单位类型", "Kind of lead organization"),
    ("level", "层级", "Level"),
    ("location.latitude", "纬度", "Latitude"),
    ("location.longitude", "经度", "Longitude"),
    ("max_attempts", "最多尝试次数", "Most attempts"),
    ("media_type", "媒体类型", "Media type"),
    ("merged_into_id", "合并到 ID", "Merged into ID"),
    ("message", "说明", "Message"),
    ("minimum", "最低人数", "Minimum"),
    ("missing", "缺少", "Missing"),
    ("mode", "处理方式", "Mode"),
    ("modules", "模块", "Modules"),
    ("name", "名称", "Name"),
    ("name_en", "英文名称", "English name"),
    ("note", "备注", "Note"),
    ("notes", "备注", "Notes"),
    ("number", "编号", "Number"),
    ("object_id", "对象 ID", "Object ID"),
    ("object_type", "对象类别", "Kind of object"),
    ("occurred_on", "发生日期", "Occurred on"),
    ("operation_id", "长任务 ID", "Operation ID"),
    ("organization", "组织", "Organization"),
    ("organization_id", "组织 ID", "Organization ID"),
    ("other", "另一记录", "Other record"),
    ("outcome", "结果", "Outcome"),
    ("outside_partners", "外部合作单位", "Outside partners"),
    ("overdue", "是否逾期", "Overdue"),
    ("owner", "主管组织", "Owner"),
    ("owner_organization_id", "主管组织 ID", "Owner organization ID"),
    ("parameters", "路径参数", "Parameters"),
    ("parent_code", "上级代码", "Parent code"),
    ("parent_id", "上级组织 ID", "Parent ID"),
    ("password_change_required", "须修改密码", "Password change required"),
    ("payload", "参数", "Payload"),
    ("people/name", "姓名", "Name"),
    ("permission", "权限", "Permission"),
    ("person", "记录", "Record"),
    ("person_id", "人员 ID", "Person ID"),
    ("person_name", "姓名", "Name"),
    ("personal", "含个人信息", "Holds personal data"),
    ("phone", "电话", "Telephone"),
    ("photos", "照片", "Photographs"),
    ("plan_id", "计划 ID", "Plan ID"),
    ("point", "要点", "Point"),
    ("point_number", "要点序号", "Point number"),
    ("position", "职务", "Position"),
    ("post_id", "职务 ID", "Post ID"),
    ("posts", "现任职务", "Posts"),
    ("progress.done", "已完成数", "Done so far"),
    ("progress.total", "总数", "In all"),
    ("purpose", "用途", "Purpose"),
    ("reason", "原因", "Reason"),
    ("reasons", "理由", "Reasons"),
    ("record_kinds", "台账类型", "Kinds of records"),
    ("recorded_at", "记录时间", "Recorded at"),
    ("remark", "备注", "Remark"),
    ("request_id", "请求 ID", "Request ID"),
    ("responsible_organization_kinds", "责任单位类型", "Kinds of responsible organizations"),
    ("responsible_organizations", "责任单位", "Responsible organizations"),
    ("revision", "修订次数", "Revision"),
    ("role", "角色", "Role"),
    ("row", "行号", "Row"),
    ("rows", "行数", "Rows"),
    ("run_at", "执行时间", "Run at"),
    ("same_as_id", "相同文件的导入 ID", "Import of the same file"),
    ("secondment", "挂职", "Secondment"),
    ("seq", "序号", "Sequence number"),
    ("session_id", "会话 ID", "Session ID"),
    ("sex", "性别", "Sex"),
    ("sha256", "SHA-256", "SHA-256"),
    ("short_name", "简称", "Short name"),
    ("signature", "签名", "Signature"),
    ("since", "起始时间", "Since"),
    ("site", "阵地", "Site"),
    ("size", "大小（字节）", "Size in bytes"),
    ("source", "来源", "Source"),
    ("started_at", "开始时间", "Started at"),
    ("starts_on", "开始日期", "Starts on"),
    ("state", "状态", "State"),
    ("status", "状态", "Status"),
    ("subject", "事项对象", "Subject"),
    ("tags", "标签", "Tags"),
    ("target", "目标值", "Target"),
    ("task_id", "任务 ID", "Task ID"),
    ("title", "标题", "Title"),
    ("title_en", "英文标题", "English title"),
    ("to", "现组织", "To"),
    ("to_on", "截止日期", "To"),
    ("totp_enabled", "已启用动态验证码", "One-time codes on"),
    ("type", "类型", "Type"),
    ("unit", "单位", "Unit"),
    ("updated_at", "更新时间", "Updated at"),
    ("uploaded_by", "上传人 ID", "Uploaded by ID"),
    ("url", "地址", "Address"),
    ("uscc", "统一社会信用代码", "Unified social credit code"),
    ("user_agent", "设备", "User agent"),
    ("username", "用户名", "User name"),
    ("value", "内容", "Value"),
    ("value_kind", "数值类型", "Kind of value"),
    ("values", "取值", "Values"),
    ("version", "版本", "Version"),
    ("villages", "村社区数", "Villages"),
    ("villages_covered", "已联系村社区数", "Villages covered"),
    ("villages_uncovered", "未联系村社区数", "Villages not covered"),
    ("warnings", "提示", "Warnings"),
    ("weight", "权重", "Weight"),
    ("width", "宽度", "Width"),
    ("women_count", "妇女人数", "Women"),
    ("year", "年度", "Year"),
];

/// What a column is called; none: it has no name yet.
pub fn label(column: &str) -> Option<Bilingual> {
    let found = LABELS.iter().find(|(name, ..)| *name == column).map(|(_, zh, en)| Bilingual::new(*zh, *en));
    found.or_else(|| {
        let (object, part) = column.rsplit_once('.')?;
        let (object, part) = (label(object)?, label(part)?);
        let lower = part.en.split_at_checked(1).map(|(first, rest)| match rest.starts_with(char::is_lowercase) {
            true => first.to_lowercase() + rest,
            false => part.en.to_string(),
        })?;
        Some(Bilingual::new(format!("{}{}", object.zh, part.zh), format!("{} {lower}", object.en)))
    })
}

/// What a column of a list is called. `list` is its path without the base; only what follows the last `/` counts.
pub fn label_in(list: &str, column: &str) -> Option<Bilingual> {
    let list = list.rsplit('/').next().unwrap_or_default();
    label(&format!("{list}/{column}")).or_else(|| label(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zh_en(found: Option<Bilingual>) -> Option<(String, String)> {
        found.map(|label| (label.zh.into_owned(), label.en.into_owned()))
    }

    #[test]
    fn a_part_of_an_object_is_called_by_both_names() {
        let pair = |zh: &str, en: &str| Some((zh.to_owned(), en.to_owned()));
        assert_eq!(zh_en(label("organization.name")), pair("组织名称", "Organization name"));
        assert_eq!(zh_en(label("owner.id")), pair("主管组织ID", "Owner ID"));
        assert_eq!(zh_en(label("location.latitude")), pair("纬度", "Latitude"));
        assert_eq!(zh_en(label("nobody.name")), None);
        assert_eq!(zh_en(label_in("people", "name")), pair("姓名", "Name"));
        assert_eq!(zh_en(label_in("organizations/{id}/history", "kind")), pair("事件类别", "Kind of event"));
        assert_eq!(zh_en(label_in("organizations", "name")), pair("名称", "Name"));
    }

    #[test]
    fn no_column_stands_in_the_table_twice() {
        let mut names: Vec<&str> = LABELS.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
