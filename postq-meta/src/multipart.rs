//! Forms with a file in them.

use std::fmt::Write as _;

/// A form that is put together in memory: its content type, and its bytes.
///
/// The boundary is made of the file's length and its bytes are looked through for it, so that it is surely in
/// none of the parts.
pub(crate) fn multipart(
    fields: &[(&str, &str)],
    (name, filename, mime, content): (&str, &str, &str, &[u8]),
) -> (String, Vec<u8>) {
    let boundary = boundary(fields, content);
    let mut head = String::new();
    for (name, value) in fields {
        let disposition = format!("form-data; name=\"{name}\"");
        write!(head, "--{boundary}\r\ncontent-disposition: {disposition}\r\n\r\n{value}\r\n")
            .expect("a text takes what is written");
    }
    let disposition = format!("form-data; name=\"{name}\"; filename=\"{filename}\"");
    write!(
        head,
        "--{boundary}\r\ncontent-disposition: {disposition}\r\ncontent-type: {mime}\r\n\r\n"
    )
    .expect("a text takes what is written");
    let mut body = Vec::with_capacity(head.len() + content.len() + boundary.len() + 8);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

fn boundary(fields: &[(&str, &str)], content: &[u8]) -> String {
    let has = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
    let boundaries = (0_u64..).map(|n| format!("postq-{:016x}-{n}", content.len()));
    let mut free = boundaries.filter(|word| {
        !has(content, word) && fields.iter().all(|(_, value)| !has(value.as_bytes(), word))
    });
    free.next().expect("a form does not have them all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_its_fields_and_its_file() {
        let (kind, body) =
            multipart(&[("published", "false")], ("source", "a.jpg", "image/jpeg", b"\xff\xd8"));

        let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
        let expected = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"published\"\r\n\r\nfalse\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"source\"; filename=\"a.jpg\"\r\n\
             content-type: image/jpeg\r\n\r\n"
        );
        assert!(body.starts_with(expected.as_bytes()));
        assert!(body.ends_with(format!("\r\n--{boundary}--\r\n").as_bytes()));
    }

    #[test]
    fn a_boundary_is_in_none_of_the_parts() {
        let evil = "postq-000000000000001b-0 ab";
        let fields = [("a", "postq-000000000000001b-1")];

        let (kind, _) = multipart(&fields, ("f", "f", "a/b", evil.as_bytes()));

        assert_eq!(evil.len(), 0x1b);
        assert!(kind.ends_with("postq-000000000000001b-2"), "{kind}");
    }
}
