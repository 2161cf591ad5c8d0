//! What can be imported, where an import is in its life, and why one fails.

use crate::text_enum;

text_enum! {
    /// What the rows of a table are.
    ImportKind {
        /// 组织
        Organizations = "organizations", "组织", "Organizations";
        /// 人员
        People = "people", "人员", "People";
        /// 职务
        Posts = "posts", "职务", "Posts";
        /// 覆盖单位
        CoverageUnits = "coverage_units", "覆盖单位", "Coverage units";
        /// 账号
        Accounts = "accounts", "账号", "Accounts";
    }
}

text_enum! {
    /// What becomes of a table in which nothing is wrong.
    ImportMode {
        /// It waits for somebody to apply it.
        Validate = "validate", "仅校验", "Validate";
        /// It is applied at once.
        Apply = "apply", "校验后写入", "Validate and apply";
    }
}

text_enum! {
    /// Where an import is in its life.
    ImportStatus {
        /// It is being read and checked.
        Validating = "validating", "校验中", "Validating";
        /// Nothing is wrong; it can be applied.
        Validated = "validated", "校验通过", "Validated";
        /// Something is wrong; nothing was written.
        Failed = "failed", "未通过", "Failed";
        /// It is being written.
        Applying = "applying", "写入中", "Applying";
        /// Everything is written.
        Applied = "applied", "已写入", "Applied";
        /// Somebody stopped it; nothing was written.
        Cancelled = "cancelled", "已取消", "Cancelled";
    }
}

text_enum! {
    /// Why an import failed, or ended by itself.
    ImportFailure {
        /// Columns are unknown or missing; the rows were not looked at.
        Columns = "columns", "列不符合模板", "Columns are unknown or missing";
        /// Rows have errors.
        Rows = "rows", "部分行有错误", "Rows have errors";
        /// More rows than are taken.
        TooManyRows = "too_many_rows", "超过 50,000 行，请拆分文件", "More than 50,000 rows; split the file";
        /// The file was deleted meanwhile.
        FileGone = "file_gone", "文件已被删除", "The file is gone";
        /// Who asked for it may no longer do it.
        PermissionLost = "permission_lost", "已失去导入权限", "The permission was lost meanwhile";
        /// The place was dissolved or merged.
        PlaceGone = "place_gone", "所选组织已撤销或合并", "The place has been dissolved or merged";
        /// The same file was applied by another import meanwhile.
        AlreadyApplied = "already_applied", "相同文件已写入", "The same file has been applied";
        /// Somebody else wrote the same again and again while it was applied.
        Overtaken = "overtaken", "写入时数据被他人改动，请重新导入", "Others wrote the same meanwhile; import it again";
        /// No attempt came to an end.
        GivenUp = "given_up", "多次尝试均未完成，未写入任何内容", "No attempt came to an end; nothing was written";
        /// Nobody applied it for a week.
        Expired = "expired", "超过七天未写入", "Not applied for a week";
        /// Neither a workbook nor CSV.
        Format = "format", "不是 xlsx 或 CSV 文件", "Neither xlsx nor CSV";
        /// It cannot be read.
        Broken = "broken", "文件已损坏，无法读取", "It cannot be read";
        /// With a password.
        Encrypted = "encrypted", "文件已加密，请取消密码后重新上传", "It is encrypted; take the password away";
        /// It inflates to too much.
        Bomb = "bomb", "文件解压后过大", "It inflates to far too much";
        /// With macros.
        Macros = "macros", "文件含有宏，请另存为不含宏的 xlsx", "It has macros; save it as xlsx without";
        /// It refers to other workbooks or sources of data.
        ExternalLinks = "external_links", "文件引用了其他工作簿或外部数据，请粘贴为数值", "It refers to other workbooks or outside data; paste values";
        /// It declares a document type or entities.
        DocumentType = "document_type", "文件声明了 XML 实体", "It declares XML entities";
        /// CSV in another encoding.
        Encoding = "encoding", "CSV 既不是 UTF-8 也不是 GB18030 编码", "CSV in neither UTF-8 nor GB18030";
        /// Nothing in it.
        Empty = "empty", "没有可读取的工作表或数据", "No visible sheet, or no rows";
        /// Too wide.
        TooManyColumns = "too_many_columns", "列数超过 200", "More than 200 columns";
    }
}

impl ImportStatus {
    /// Whether nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Applied | Self::Cancelled)
    }

    /// What may be done with it now, by somebody who may.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Validating | Self::Applying => &["cancel"],
            Self::Validated => &["apply", "cancel"],
            Self::Failed | Self::Applied | Self::Cancelled => &[],
        }
    }
}

/// Most rows of a table.
pub const MOST_ROWS: usize = 50_000;
/// Most errors that are kept.
pub const MOST_ERRORS: usize = 10_000;

/// The letters of a column, from 0: A, B, … Z, AA.
pub fn letters(mut column: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'A' + (column % 26) as u8));
        match column / 26 {
            0 => break,
            more => column = more - 1,
        }
    }
    letters.into_iter().rev().collect()
}

/// A value that may be shown to whoever uploaded it: of personal numbers the ends only.
pub fn masked(value: &str) -> String {
    let letters: Vec<char> = value.chars().collect();
    if letters.len() < 8 {
        return "*".repeat(letters.len());
    }
    let (head, tail) = (letters[..3].iter(), letters[letters.len() - 2..].iter());
    head.chain(std::iter::repeat_n(&'*', letters.len() - 5)).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_validated_can_be_applied_and_nothing_final_moves() {
        for status in ImportStatus::ALL {
            assert_eq!(status.actions().contains(&"apply"), *status == ImportStatus::Validated);
            assert_eq!(status.actions().is_empty(), status.is_final(), "{status}");
        }
    }

    #[test]
    fn columns_have_letters_and_personal_numbers_only_their_ends() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
        assert_eq!(masked("430699198808081239"), "430*************39");
        assert_eq!(masked("138000"), "******");
    }
}
