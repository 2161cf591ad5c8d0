//! What may be uploaded: types by content, sizes, and which module of a grant reads what.

use crate::access::Module;
use crate::text_enum;

text_enum! {
    /// What a file is for.
    FilePurpose {
        /// Photograph of a site.
        SitePhoto = "site_photo", "阵地照片", "Photograph of a site";
        /// Entry of the ledger (台账).
        WorkRecord = "work_record", "工作台账", "Work record";
        /// Evidence of a report.
        Evidence = "evidence", "佐证材料", "Evidence";
        /// Cover, photograph or list of an event.
        Event = "event", "活动材料", "Event";
        /// Document of a loan application.
        LoanDocument = "loan_document", "贷款材料", "Loan document";
        /// Material of a nomination.
        Nomination = "nomination", "申报材料", "Nomination";
        /// Consent on paper.
        Consent = "consent", "同意书", "Consent";
        /// Table to be imported.
        Import = "import", "导入文件", "Import";
        /// Anything else.
        Other = "other", "其他", "Other";
    }
}

impl FilePurpose {
    /// The module that a grant must include to read or write such files; none: any grant of the role will do.
    pub const fn module(self) -> Option<Module> {
        match self {
            Self::SitePhoto => Some(Module::Organizations),
            Self::WorkRecord | Self::Evidence => Some(Module::Plans),
            Self::Event => Some(Module::Events),
            Self::LoanDocument => Some(Module::Loans),
            Self::Nomination | Self::Consent => Some(Module::Honors),
            Self::Import | Self::Other => None,
        }
    }
}

impl FilePurpose {
    /// Whether only who uploaded such a file reads it: tables of people are nobody else's before they are imported.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Import)
    }
}

text_enum! {
    /// What a file can be attached to.
    AttachableType {
        /// A site; the file is one of its photographs.
        Site = "site", "阵地", "Site";
    }
}

impl AttachableType {
    /// Whether files for a purpose and of a type can belong to such an object.
    pub fn takes(self, purpose: FilePurpose, media_type: &str) -> bool {
        match self {
            Self::Site => purpose == FilePurpose::SitePhoto && media_type.starts_with("image/"),
        }
    }

    /// Most files of one object: as many as its view shows.
    pub const fn most(self) -> i64 {
        match self {
            Self::Site => 100,
        }
    }
}

/// Largest file in bytes, as the mini-program's uploader has it.
pub const LARGEST: usize = 10 << 20;
/// Longest side of an image in pixels.
const LONGEST_SIDE: usize = 12_000;
/// Most pixels of an image: what a decoder needs 160 MB for.
const MOST_PIXELS: usize = 40_000_000;

/// What the bytes of a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Media type.
    pub media_type: &'static str,
    /// Width and height, of images.
    pub size: Option<(i32, i32)>,
}

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// Nothing in it.
    Empty,
    /// More than [`LARGEST`].
    TooLarge,
    /// None of the types that are taken.
    Type,
    /// Its name ends like another type than its bytes are.
    NameDisagrees,
    /// An office document with macros.
    Macros,
    /// An image whose size cannot be read.
    BrokenImage,
    /// An image beyond the bounds.
    ImageTooLarge,
}

/// Media type and the endings that fit it; the first is added where a name has none.
const TYPES: &[(&str, &[&str])] = &[
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/webp", &["webp"]),
    ("image/gif", &["gif"]),
    ("application/pdf", &["pdf"]),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", &["docx"]),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx"]),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", &["pptx"]),
    ("text/csv", &["csv"]),
    ("text/plain", &["txt"]),
];

/// Tells what a file is by its bytes, and whether it is taken. The name is believed only where bytes cannot tell: plain text that
/// ends in `.csv` is a table. A name that claims another known type is refused (ASVS 5.0, 5.2.2).
pub fn look_at(name: &str, bytes: &[u8]) -> Result<Content, FileFault> {
    if bytes.is_empty() {
        return Err(FileFault::Empty);
    }
    if bytes.len() > LARGEST {
        return Err(FileFault::TooLarge);
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    let media_type = match infer::get(bytes).map(|kind| kind.mime_type()) {
        Some("application/zip") => office_type(bytes).ok_or(FileFault::Type)?,
        Some(found) => TYPES.iter().map(|(known, _)| *known).find(|known| *known == found).ok_or(FileFault::Type)?,
        None if ending == "csv" && is_table(bytes) => "text/csv",
        None if is_text(bytes) => "text/plain",
        None => return Err(FileFault::Type),
    };
    let claims = TYPES.iter().find(|(_, endings)| endings.contains(&ending.as_str())).map(|(claimed, _)| *claimed);
    if claims.is_some_and(|claimed| claimed != media_type) {
        return Err(FileFault::NameDisagrees);
    }
    if media_type.contains("openxmlformats") && contains(bytes, b"vbaProject.bin") {
        return Err(FileFault::Macros);
    }
    let size = if media_type.starts_with("image/") { Some(image_size(bytes)?) } else { None };
    Ok(Content { media_type, size })
}

/// Office documents are archives; their folders tell which, where the signature at the beginning does not.
fn office_type(bytes: &[u8]) -> Option<&'static str> {
    if !contains(bytes, b"[Content_Types].xml") {
        return None;
    }
    [("word/", 5), ("xl/", 6), ("ppt/", 7)]
        .iter()
        .find(|(folder, _)| contains(bytes, folder.as_bytes()))
        .map(|(_, at)| TYPES[*at].0)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Text as people write it, in UTF-8: no control characters but line ends and tabs.
fn is_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes)
        .is_ok_and(|text| text.chars().all(|letter| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t')))
}

/// A table as Excel saves it in China: text in UTF-8 or in GB18030.
fn is_table(bytes: &[u8]) -> bool {
    is_text(bytes) || crate::sheets::read::decoded(bytes).is_some_and(|text| is_text(text.as_bytes()))
}

fn image_size(bytes: &[u8]) -> Result<(i32, i32), FileFault> {
    let size = imagesize::blob_size(bytes).map_err(|_| FileFault::BrokenImage)?;
    if size.width == 0 || size.height == 0 {
        return Err(FileFault::BrokenImage);
    }
    if size.width.max(size.height) > LONGEST_SIDE || size.width.saturating_mul(size.height) > MOST_PIXELS {
        return Err(FileFault::ImageTooLarge);
    }
    Ok((size.width as i32, size.height as i32))
}

/// A name without folders and control characters, at most 200 characters, never empty.
pub fn clean_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|letter| !letter.is_control()).collect();
    let name = name.trim().trim_start_matches('.');
    match name.char_indices().rev().nth(199) {
        Some((start, _)) => name[start..].to_owned(),
        None if name.is_empty() => "file".to_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_file_is_what_its_bytes_are() {
        let pdf = b"%PDF-1.7\n".to_vec();
        let script = b"<script>alert(1)</script>".to_vec();
        for (name, bytes, expected) in [
            ("photo.png", png(4, 3), Ok(("image/png", Some((4, 3))))),
            ("photo", png(4, 3), Ok(("image/png", Some((4, 3))))),
            ("photo.jpg", png(4, 3), Err(FileFault::NameDisagrees)),
            ("photo.png", pdf.clone(), Err(FileFault::NameDisagrees)),
            ("report.pdf", pdf, Ok(("application/pdf", None))),
            ("table.csv", "姓名,电话\n".as_bytes().to_vec(), Ok(("text/csv", None))),
            ("表.csv", encoding_rs::GB18030.encode("姓名,电话\r\n").0.into_owned(), Ok(("text/csv", None))),
            ("表.txt", encoding_rs::GB18030.encode("姓名,电话\r\n").0.into_owned(), Err(FileFault::Type)),
            ("page.html", script, Err(FileFault::Type)),
            ("program", b"\x7fELF\x02\x01\x01\0".to_vec(), Err(FileFault::Type)),
            ("empty.txt", vec![], Err(FileFault::Empty)),
            ("broken.png", png(0, 3), Err(FileFault::BrokenImage)),
            ("bomb.png", png(60_000, 60_000), Err(FileFault::ImageTooLarge)),
            ("wide.png", png(12_001, 1), Err(FileFault::ImageTooLarge)),
            ("macro.docx", b"PK\x03\x04..[Content_Types].xml..word/vbaProject.bin".to_vec(), Err(FileFault::Macros)),
            ("archive.zip", b"PK\x03\x04......................".to_vec(), Err(FileFault::Type)),
        ] {
            let found = look_at(name, &bytes).map(|content| (content.media_type, content.size));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(look_at("large.txt", &vec![b'a'; LARGEST + 1]), Err(FileFault::TooLarge));
    }

    #[test]
    fn a_name_loses_its_folders_and_keeps_its_ending() {
        assert_eq!(clean_name("../../etc/passwd"), "passwd");
        assert_eq!(clean_name("C:\\照片\\妇女之家.jpg"), "妇女之家.jpg");
        assert_eq!(clean_name("\u{202e}a\r\n.txt"), "\u{202e}a.txt");
        assert_eq!(clean_name(".."), "file");
        let long = clean_name(&format!("{}.pdf", "长".repeat(300)));
        assert!(long.ends_with(".pdf") && long.chars().count() == 200);
    }
}
