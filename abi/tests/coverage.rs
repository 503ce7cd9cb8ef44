//! The coverage page in the documentation is the one the tables give.

use std::path::Path;

#[test]
fn page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/syscalls.md");
    let page = abi::coverage::page();
    if std::env::var_os("HOMENODE_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &page).expect("docs/syscalls.md can be written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/syscalls.md can be read");
    assert!(
        written == page,
        "docs/syscalls.md is not what the tables say; HOMENODE_BLESS=1 cargo test -p homenode-abi \
         writes it anew"
    );
}
