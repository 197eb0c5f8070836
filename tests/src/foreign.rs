//! Somebody else's XDP program: passes everything, in an object small enough to be written here,
//! so that no compiler is needed for it.

/// The program's name.
pub const PROGRAM: &str = "foreign_pass";

const HEADER: usize = 64;
const SYMBOL: usize = 24;
/// `mov r0, 2` (`XDP_PASS`) and `exit`.
const CODE: [u8; 16] = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
const LICENSE: &[u8; 4] = b"GPL\0";
/// Both tables of names in one.
const NAMES: &[u8] = b"\0xdp\0license\0.symtab\0.strtab\0foreign_pass\0";

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;

struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    content: Vec<u8>,
    link: u32,
    info: u32,
    entry: u64,
}

/// The object, as a compiler would write it (ELF64, `EM_BPF`).
pub fn object() -> Vec<u8> {
    let section = |name, kind, flags, content: &[u8]| Section {
        name,
        kind,
        flags,
        content: content.to_vec(),
        link: 0,
        info: 0,
        entry: 0,
    };
    let sections = [
        section("", 0, 0, &[]),
        section("xdp", PROGBITS, 6, &CODE),
        section("license", PROGBITS, 3, LICENSE),
        Section { link: 4, info: 1, entry: 24, ..section(".symtab", SYMTAB, 0, &symbols()) },
        section(".strtab", STRTAB, 0, NAMES),
    ];
    let mut body = Vec::new();
    let mut table = Vec::new();
    for section in &sections {
        body.resize(body.len().next_multiple_of(8), 0);
        table.extend(header(section, HEADER + body.len()));
        body.extend(&section.content);
    }
    body.resize(body.len().next_multiple_of(8), 0);
    let mut object = file_header(HEADER + body.len(), sections.len());
    object.extend(body);
    object.extend(table);
    object
}

/// None, then the program: a global function at the start of section 1.
fn symbols() -> Vec<u8> {
    let mut symbols = vec![0; SYMBOL];
    symbols.extend(name(PROGRAM).to_le_bytes());
    symbols.extend([0x12, 0, 1, 0]);
    symbols.extend(0_u64.to_le_bytes());
    symbols.extend((CODE.len() as u64).to_le_bytes());
    symbols
}

fn name(wanted: &str) -> u32 {
    let with_end = [wanted.as_bytes(), b"\0"].concat();
    let at = NAMES.windows(with_end.len()).position(|window| window == with_end);
    at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

fn header(section: &Section, offset: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let offset = if section.kind == 0 { 0 } else { offset as u64 };
    bytes.extend(name(section.name).to_le_bytes());
    bytes.extend(section.kind.to_le_bytes());
    for word in [section.flags, 0, offset, section.content.len() as u64] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(section.link.to_le_bytes());
    bytes.extend(section.info.to_le_bytes());
    bytes.extend(8_u64.to_le_bytes());
    bytes.extend(section.entry.to_le_bytes());
    bytes
}

fn file_header(table: usize, sections: usize) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.extend([0; 8]);
    // Relocatable, BPF, version 1.
    bytes.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    bytes.extend([0; 16]);
    bytes.extend((table as u64).to_le_bytes());
    bytes.extend([0; 4]);
    let sections = u16::try_from(sections).unwrap_or(0);
    // Sizes of this header, of program headers (none) and section headers; where the names are.
    for half in [64, 0, 0, 64, sections, sections - 1] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}
