//! Where an export is in its life, and what may be done with it now.

use crate::system::OperationStatus;
use crate::text_enum;

text_enum! {
    /// Where an export is in its life.
    ExportStatus {
        /// It waits for a worker.
        Queued = "queued", "排队中", "Queued";
        /// It is being written.
        Running = "running", "进行中", "Running";
        /// The file is there.
        Done = "done", "已完成", "Done";
        /// It could not be written.
        Failed = "failed", "失败", "Failed";
        /// It was stopped.
        Cancelled = "cancelled", "已取消", "Cancelled";
        /// The file was there and is gone.
        Expired = "expired", "已过期", "Expired";
    }
}

text_enum! {
    /// How enumerated values are written.
    CellValues {
        /// As on the wire, so that the file can be imported again by a program.
        Codes = "codes", "代码", "Codes";
        /// As people call them.
        Labels = "labels", "名称", "Labels";
    }
}

text_enum! {
    /// What may be done with an export.
    ExportAction {
        /// Stop it.
        Cancel = "cancel", "取消", "Cancel";
        /// Download its file.
        Download = "download", "下载", "Download";
    }
}

impl ExportStatus {
    /// What the operation says, and of a finished one whether the file is gone.
    pub fn of(operation: OperationStatus, gone: bool) -> Self {
        match operation {
            OperationStatus::Queued => Self::Queued,
            OperationStatus::Running => Self::Running,
            OperationStatus::Succeeded if gone => Self::Expired,
            OperationStatus::Succeeded => Self::Done,
            OperationStatus::Failed => Self::Failed,
            OperationStatus::Cancelled => Self::Cancelled,
        }
    }

    /// What may be done with it now.
    pub fn actions(self, cancel_requested: bool) -> Vec<ExportAction> {
        match self {
            Self::Queued => vec![ExportAction::Cancel],
            Self::Running if !cancel_requested => vec![ExportAction::Cancel],
            Self::Done => vec![ExportAction::Download],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_there_is_downloaded_and_only_work_that_goes_on_is_stopped() {
        use OperationStatus as O;
        for (operation, gone, status, actions) in [
            (O::Queued, false, ExportStatus::Queued, vec![ExportAction::Cancel]),
            (O::Running, false, ExportStatus::Running, vec![ExportAction::Cancel]),
            (O::Succeeded, false, ExportStatus::Done, vec![ExportAction::Download]),
            (O::Succeeded, true, ExportStatus::Expired, vec![]),
            (O::Failed, false, ExportStatus::Failed, vec![]),
            (O::Cancelled, false, ExportStatus::Cancelled, vec![]),
        ] {
            assert_eq!(ExportStatus::of(operation, gone), status);
            assert_eq!(status.actions(false), actions, "{status}");
            assert_eq!(ExportStatus::of(operation, false).actions(true).contains(&ExportAction::Cancel), operation == O::Queued);
        }
    }
}
