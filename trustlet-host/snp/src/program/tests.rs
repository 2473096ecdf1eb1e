//! Programs, and what only looks like one.

use super::*;

/// A segment: kind, flags, place in the file, address, bytes in the file, bytes in memory.
pub(crate) type Shape = (u32, u32, u64, u64, u64, u64);

/// A program with these segments.
pub(crate) fn file(entry: u64, segments: &[Shape]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(2_u16.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend([entry, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    for half in [64, 56, u16::try_from(segments.len()).unwrap(), 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for &(kind, flags, at, address, file_bytes, memory_bytes) in segments {
        file.extend([kind, flags].iter().flat_map(|word| word.to_le_bytes()));
        let words = [at, address, 0, file_bytes, memory_bytes, 4096];
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    file.resize(0x3000, 0xc3);
    file
}

pub(crate) const CODE: Shape = (1, 5, 0x1000, 0x40_1000, 0x800, 0x800);
pub(crate) const DATA: Shape = (1, 6, 0x2010, 0x40_3010, 0x20, 0x2000);

#[test]
fn a_program_is_read_page_by_page() {
    let file = file(0x40_1000, &[(1, 4, 0, 0x40_0000, 0x200, 0x200), CODE, DATA]);
    let program = Program::read(&file).unwrap();
    let shape: Vec<_> = program
        .segments
        .iter()
        .map(|segment| (segment.address, segment.pages, segment.access))
        .collect();
    assert_eq!(
        shape,
        [
            (0x40_0000, 1, Access::Read),
            (0x40_1000, 1, Access::Execute),
            (0x40_3000, 3, Access::Write)
        ]
    );
    let data = &program.segments[2];
    assert_eq!(data.page(0), (0x10, &file[0x2010..0x2030]));
    assert_eq!(data.page(1), (0, &[][..]));
    assert_eq!(data.page(usize::MAX / 8192), (0, &[][..]));
}

#[test]
fn a_segment_of_several_pages_is_whole() {
    let file = file(0x40_1000, &[(1, 5, 0xff0, 0x40_0ff0, 0x1800, 0x1800)]);
    let program = Program::read(&file).unwrap();
    let code = &program.segments[0];
    let (lead, first) = code.page(0);
    let (_, second) = code.page(1);
    let (_, third) = code.page(2);
    assert_eq!(
        (lead, first.len(), second.len(), third.len()),
        (0xff0, 0x10, 0x1000, 0x7f0)
    );
    assert_eq!([first, second, third].concat(), file[0xff0..0x27f0]);
}

#[test]
fn what_is_no_program_is_refused_with_its_reason() {
    let with = |segment| Program::read(&file(0x40_1000, &[CODE, segment])).unwrap_err();
    let data = |change: fn(&mut Shape)| {
        let mut segment = DATA;
        change(&mut segment);
        with(segment)
    };
    for kind in [2, 3, 7] {
        assert_eq!(with((kind, 4, 0, 0, 0, 0)), NotAProgram::NotStatic);
    }
    assert_eq!(with((0x6474_e551, 7, 0, 0, 0, 0)), NotAProgram::WritableCode);
    assert_eq!(data(|data| data.1 = 7), NotAProgram::WritableCode);
    assert_eq!(data(|data| data.2 = u64::MAX), NotAProgram::Segment);
    assert_eq!(data(|data| data.4 = 0x3000), NotAProgram::Segment);
    assert_eq!(
        data(|data| data.3 = 0x10),
        NotAProgram::Segment,
        "where null leads"
    );
    assert_eq!(
        data(|data| data.3 = 0x40_1800),
        NotAProgram::Segment,
        "a shared page"
    );
    assert_eq!(data(|data| data.3 = u64::MAX), NotAProgram::Segment);
    assert_eq!(data(|data| data.3 = (1 << 40) - 0x1000), NotAProgram::Segment);
    assert_eq!(data(|data| data.5 = 65 << 20), NotAProgram::TooLong);
    assert_eq!(
        data(|data| data.5 = 64 << 20),
        NotAProgram::TooLong,
        "with the code"
    );
    let entry = |entry| Program::read(&file(entry, &[CODE, DATA])).unwrap_err();
    for at in [0, 0x40_2000, 0x40_3010, u64::MAX] {
        assert_eq!(entry(at), NotAProgram::Entry);
    }
    let good = file(0x40_1000, &[CODE]);
    for (at, byte) in [
        (0, 0),
        (4, 1),
        (5, 2),
        (16, 3),
        (18, 3),
        (54, 55),
        (56, 0),
        (57, 1),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(Program::read(&bad), Err(NotAProgram::Form), "byte {at}");
    }
    for len in 0..good.len().min(200) {
        assert!(Program::read(&good[..len]).is_err());
    }
}
