//! Generates the bindings of the languages whose templates bring them along, because their authors then need no tool of Rust's.
//!
//! `OUT_DIR/bindings.rs` holds one constant for each language: the files' paths within the template, and their bytes.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

fn main() -> anyhow::Result<()> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    println!("cargo:rerun-if-changed={}", contract.display());
    println!("cargo:rerun-if-changed=build.rs");
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let c = generate(&contract, wit_bindgen_c::Opts::default().build())?;
    let go = generate(&contract, wit_bindgen_go::Opts::default().build())?;
    // Where the templates' sources look for them.
    let text = constant("C_BINDINGS", "bindings/", &c, &target.join("c"))?
        + &constant("GO_BINDINGS", "", &go, &target.join("go"))?;
    fs::write(target.join("bindings.rs"), text)?;
    Ok(())
}

fn generate(contract: &Path, mut language: Box<dyn WorldGenerator>) -> anyhow::Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract)?;
    let world = resolve.select_world(&[package], Some("proto"))?;
    let mut files = Files::default();
    language.generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

/// Writes the files and answers a constant that includes them, as `prefix` and their names.
fn constant(name: &str, prefix: &str, files: &Files, target: &Path) -> anyhow::Result<String> {
    let mut text = format!("const {name}: &[File] = &[\n");
    for (path, bytes) in files.iter() {
        let file = target.join(path);
        fs::create_dir_all(file.parent().expect("it lies below the target"))?;
        fs::write(&file, bytes)?;
        let path = format!("{prefix}{path}");
        writeln!(text, "    ({path:?}, include_bytes!({file:?})),")?;
    }
    text.push_str("];\n");
    Ok(text)
}
