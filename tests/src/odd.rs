//! Components that are odd, made of one that is good.
//!
//! Invariant: none of them is known to break any program; they are damaged, large, deep or of the wrong kind.

use crate::script::noise;

/// The beginning of every component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// The beginning of every core module.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A number as WebAssembly writes it.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A section of this kind.
fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], &*number(content.len()), content].concat()
}

/// Items after their number.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [number(items.len()), items.concat()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [number(text.len()), text.as_bytes().to_vec()].concat()
}

/// The component with a core module of so many functions of so many steps in it, which nothing uses and which is compiled all
/// the same.
pub fn heavy(component: &[u8], functions: usize, steps: usize) -> Vec<u8> {
    // x = rotl(x, 7) * x: nothing that a compiler could do in fewer steps.
    let step = [0x20, 0x00, 0x41, 0x07, 0x77, 0x20, 0x00, 0x6c, 0x21, 0x00];
    let body = [&[0x00], &*step.repeat(steps), &[0x20, 0x00, 0x0b]].concat();
    let body = [number(body.len()), body].concat();
    let module = [
        MODULE,
        &section(1, &list(&[vec![0x60, 0x01, 0x7f, 0x01, 0x7f]])),
        &section(3, &list(&vec![vec![0x00]; functions])),
        &section(10, &list(&vec![body; functions])),
    ];
    [component, &section(1, &module.concat())].concat()
}

/// Components in components, so many levels deep.
pub fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(COMPONENT.to_vec(), |inner, _| {
        [COMPONENT, &section(4, &inner)].concat()
    })
}

/// The component with so many types in it that nothing uses.
pub fn with_types(component: &[u8], count: usize) -> Vec<u8> {
    [component, &section(7, &list(&vec![vec![0x7f]; count]))].concat()
}

/// The component with a section of so many bytes for tools that do not exist.
pub fn with_custom(component: &[u8], bytes: usize) -> Vec<u8> {
    let content = [text("of-no-tool"), vec![0; bytes]].concat();
    [component, &section(0, &content)].concat()
}

/// A component that exports an instance with nothing in it under each of these names.
pub fn exporting(names: &[String]) -> Vec<u8> {
    let export = |name: &String| [vec![0x00], text(name), vec![0x05, 0x00, 0x00]].concat();
    let exports: Vec<_> = names.iter().map(export).collect();
    [
        COMPONENT,
        &section(5, &list(&[vec![0x01, 0x00]])),
        &section(11, &list(&exports)),
    ]
    .concat()
}

/// The component with one more import, which it does not use.
pub fn importing(component: &[u8], name: &str) -> Vec<u8> {
    // A resource type: what is imported does not matter, its name does.
    let import = [vec![0x00], text(name), vec![0x03, 0x01]].concat();
    [component, &section(10, &list(&[import]))].concat()
}

/// The component with a section after it whose length is a lie.
pub fn lying(component: &[u8]) -> Vec<u8> {
    [component, &[0x00], &number(u32::MAX as usize), b"x"].concat()
}

/// The component without what comes after each of some places of it.
pub fn truncated(component: &[u8], count: usize) -> Vec<Vec<u8>> {
    let places = (0..count).map(|place| component.len() * place / count);
    places.map(|at| component[..at].to_vec()).collect()
}

/// The component with some bits flipped, differently for each number.
pub fn flipped(component: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let seed = noise(&number.to_le_bytes(), 64);
    let flips = seed.chunks_exact(8).take(1 + number % 4);
    for chosen in flips {
        let chosen = u64::from_le_bytes(chosen.try_into().expect("eight bytes"));
        let at = usize::try_from(chosen >> 3).expect("64 bits") % bytes.len();
        bytes[at] ^= 1 << (chosen & 7);
    }
    bytes
}

/// The component with another word of the same length wherever it has this one: a field of a record, for instance.
pub fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "words keep their lengths");
    let mut bytes = component.to_vec();
    let mut at = 0;
    while let Some(begin) = find(&bytes[at..], from.as_bytes()) {
        at += begin;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    assert_ne!(bytes, component, "the component has no `{from}`");
    bytes
}

/// The component as it would be, had it been built for another version of a package of the contract: `to` instead of `from`,
/// in the names of all interfaces of the package. Both versions have the same length.
pub fn built_for(component: &[u8], package: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "names keep their lengths");
    let mut bytes = component.to_vec();
    let (mut at, mut found) = (0, 0);
    while let Some(begin) = find(&bytes[at..], package.as_bytes()) {
        at += begin + package.len();
        let is_name = |byte: &u8| byte.is_ascii_lowercase() || b"-/".contains(byte);
        let name = bytes[at..].iter().take_while(|byte| is_name(byte)).count();
        let version = at + name + 1;
        if bytes.get(version - 1) == Some(&b'@') && bytes[version..].starts_with(from.as_bytes()) {
            bytes[version..version + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the component has no `{package}` of {from}");
    bytes
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}
