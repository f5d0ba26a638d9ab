//! The committed C header is the one that cbindgen makes of the sources.

use std::path::Path;

/// With RSP_WRITE_HEADER set, the header is written instead of compared (`make header`).
#[test]
fn the_committed_header_equals_the_generated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("include/resty_session_postgres.h");
    let mut generated = Vec::new();
    cbindgen::generate(root)
        .expect("a header")
        .write(&mut generated);
    let generated = String::from_utf8(generated).expect("text");
    assert!(generated.contains("rsp_version(void)"), "{generated}");
    if std::env::var_os("RSP_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).expect("a writable header");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("the committed header");
    assert_eq!(committed, generated, "run `make header`");
}
