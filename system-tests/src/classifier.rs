//! The smallest TC program: a neighbour in tests, and what the benchmark of the programs compares with.

/// An object file with one classifier that does nothing: `r0 = verdict; exit`.
///
/// # Panics
/// If the name is longer than an object file can be.
pub fn constant_classifier(name: &str, verdict: i32) -> Vec<u8> {
    constant_program("classifier", name, verdict)
}

/// The same of another type of program, which the name of its section says: `xdp`.
///
/// # Panics
/// If the name is longer than an object file can be.
pub fn constant_program(type_section: &str, name: &str, verdict: i32) -> Vec<u8> {
    const HEADER: u64 = 64;
    const CODE: u64 = 16;
    const SYMBOLS: u64 = 2 * 24;
    let strings = format!("\0{type_section}\0.symtab\0.strtab\0{name}\0");
    let string = |text: &str| {
        u32::try_from(strings.find(text).expect("a name of the table")).expect("a short name").to_le_bytes()
    };
    let section = |name: &str, fields: [u64; 4], link: [u32; 2], align: [u64; 2]| {
        let [kind, flags, offset, size] = fields;
        let kind = u32::try_from(kind).expect("a small number");
        let mut bytes = string(name).to_vec();
        bytes.extend(kind.to_le_bytes());
        // Flags, address, offset, size.
        bytes.extend([flags, 0, offset, size].into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(link.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(align.into_iter().flat_map(u64::to_le_bytes));
        bytes
    };
    let padded = strings.len().next_multiple_of(8);
    let [strings_at, strings_size] = [HEADER + CODE + SYMBOLS, strings.len() as u64];

    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Relocatable, BPF, version 1; no entry, no program headers; section headers at the end.
    elf.extend([1_u16, 247].into_iter().flat_map(u16::to_le_bytes));
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0, 0, strings_at + padded as u64].into_iter().flat_map(u64::to_le_bytes));
    elf.extend(0_u32.to_le_bytes());
    // Sizes and numbers of headers: its own, of programs, of sections; the names are in section 3.
    elf.extend([64_u16, 0, 0, 64, 4, 3].into_iter().flat_map(u16::to_le_bytes));
    elf.extend([0xb7, 0, 0, 0]);
    elf.extend(verdict.to_le_bytes());
    elf.extend([0x95, 0, 0, 0, 0, 0, 0, 0]);
    // The empty symbol, and a global function of section 1 that is the whole of it.
    elf.extend([0; 24]);
    elf.extend(string(&format!("{name}\0")));
    elf.extend([0x12, 0, 1, 0]);
    elf.extend([0, CODE].into_iter().flat_map(u64::to_le_bytes));
    elf.extend(strings.bytes());
    elf.resize(elf.len() + padded - strings.len(), 0);
    elf.extend([0; 64]);
    elf.extend(section(type_section, [1, 6, HEADER, CODE], [0, 0], [8, 0]));
    elf.extend(section(".symtab", [2, 0, HEADER + CODE, SYMBOLS], [3, 1], [8, 24]));
    elf.extend(section(".strtab", [3, 0, strings_at, strings_size], [0, 0], [1, 0]));
    elf
}
