//! Reports through /dev/sev-guest (Linux, include/uapi/linux/sev-guest.h): one ioctl, which brings the report
//! and the certificates that the host gave the guest.

#![allow(unsafe_code, reason = "the ioctl of a device, with addresses in its argument")]

use super::error::ReportError;
use crate::platform::PlatformReport;
use hacher_monitor_core::evidence::envelope::SNP_REPORT_BYTES;
use hacher_monitor_core::evidence::{Kind, REPORT_DATA_BYTES};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// Where Linux has it.
pub(super) const DEVICE: &str = "/dev/sev-guest";
/// At which level the kernel runs, of a kernel that knows.
const LEVEL: &str = "/sys/devices/system/cpu/sev/vmpl";
/// Bytes for certificates: whole pages, and the most that the kernel takes (SEV_FW_BLOB_MAX_SIZE).
const TABLE_BYTES: usize = 16 * 1024;
/// Bytes of one entry of the certificate table: a GUID, an offset, a length (AMD 56421).
const TABLE_ENTRY_BYTES: usize = 24;
/// Where the report begins in what the firmware answers (AMD 56860, MSG_REPORT_RSP): behind its status, its
/// length and what is reserved.
const REPORT_AT: usize = 32;

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct GuestRequest {
    msg_version: u8,
    req_data: u64,
    resp_data: u64,
    /// What the firmware said; in the upper half, what the host said.
    exitinfo2: u64,
}

/// `struct snp_ext_report_req`.
#[repr(C)]
struct ExtendedRequest {
    user_data: [u8; REPORT_DATA_BYTES],
    vmpl: u32,
    reserved: [u8; 28],
    certs_address: u64,
    certs_len: u32,
}

/// `struct snp_report_resp`.
#[repr(C)]
struct ReportResponse {
    data: [u8; 4000],
}

const GET_EXT_REPORT: Opcode = opcode::read_write::<GuestRequest>(b'S', 2);

const _: () = {
    assert!(size_of::<GuestRequest>() == 32);
    assert!(size_of::<ExtendedRequest>() == 112);
    assert!(core::mem::offset_of!(ExtendedRequest, certs_address) == 96);
    assert!(size_of::<ReportResponse>() == 4000);
};

/// What a device answers: the whole response, and the certificate table.
struct Answer {
    response: [u8; 4000],
    table: Vec<u8>,
}

/// The device.
#[derive(Debug, Clone)]
pub(super) struct SevGuest {
    path: PathBuf,
}

impl SevGuest {
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(super) fn open(&self) -> Result<File, ReportError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        file.map_err(ReportError::os("opening /dev/sev-guest"))
    }

    /// A report over `data`, of the level at which the kernel runs.
    pub(super) fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, ReportError> {
        let device = self.open()?;
        let level = fs::read_to_string(LEVEL).ok();
        let level = level.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        report_of(data, level, |data, level| ask(&device, data, level))
    }
}

/// Makes a report of what `ask` answers.
fn report_of(
    data: &[u8; REPORT_DATA_BYTES],
    level: u32,
    ask: impl FnOnce(&[u8; REPORT_DATA_BYTES], u32) -> Result<Answer, ReportError>,
) -> Result<PlatformReport, ReportError> {
    let Answer { response, table } = ask(data, level)?;
    let word = |at: usize| {
        let bytes = response.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    };
    if word(0) != 0 {
        return Err(ReportError::Firmware {
            status: u64::from(word(0)),
        });
    }
    if usize::try_from(word(4)) != Ok(SNP_REPORT_BYTES) {
        return Err(ReportError::Malformed("it has not the length of one of SEV-SNP"));
    }
    let report = response.get(REPORT_AT..REPORT_AT + SNP_REPORT_BYTES);
    Ok(PlatformReport {
        kind: Kind::Snp,
        report: report.unwrap_or(&[]).to_vec(),
        certificates: trimmed(&table).to_vec(),
        service: Vec::new(),
    })
}

/// The table without what follows its last certificate; nothing if it makes no sense.
fn trimmed(table: &[u8]) -> &[u8] {
    let mut end = 0;
    for (at, entry) in table.chunks_exact(TABLE_ENTRY_BYTES).enumerate() {
        if entry.iter().all(|byte| *byte == 0) {
            let entries_end = (at + 1) * TABLE_ENTRY_BYTES;
            let is_empty = at == 0;
            return if is_empty {
                &[]
            } else {
                table.get(..entries_end.max(end)).unwrap_or(&[])
            };
        }
        let word = |from: usize| {
            let bytes = entry.get(from..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let certificate_end =
            usize::try_from(u64::from(word(16)) + u64::from(word(20))).unwrap_or(usize::MAX);
        if certificate_end > table.len() {
            return &[];
        }
        end = end.max(certificate_end);
    }
    &[]
}

/// Asks the device.
fn ask(device: &File, data: &[u8; REPORT_DATA_BYTES], level: u32) -> Result<Answer, ReportError> {
    let mut table = vec![0; TABLE_BYTES];
    let mut question = ExtendedRequest {
        user_data: *data,
        vmpl: level,
        reserved: [0; 28],
        certs_address: address(table.as_mut_ptr()),
        certs_len: u32::try_from(TABLE_BYTES).unwrap_or(0),
    };
    let mut response = ReportResponse { data: [0; 4000] };
    let mut request = GuestRequest {
        msg_version: 1,
        req_data: address(&raw mut question),
        resp_data: address(&raw mut response),
        exitinfo2: 0,
    };
    // SAFETY: the opcode is that of `SNP_GET_EXT_REPORT`, whose argument is a `GuestRequest`.
    let update = unsafe { Updater::<GET_EXT_REPORT, GuestRequest>::new(&mut request) };
    // SAFETY: the kernel reads `question` and writes it, `response` and at most `certs_len` bytes of `table`,
    // all of which live until after this call, and nobody else has a reference to them meanwhile.
    let done = unsafe { ioctl(device, update) };
    match done {
        Ok(()) => Ok(Answer {
            response: response.data,
            table,
        }),
        Err(Errno::IO) if request.exitinfo2 != 0 => Err(ReportError::Firmware {
            status: request.exitinfo2,
        }),
        Err(errno) => Err(ReportError::os("asking /dev/sev-guest for a report")(
            errno.into(),
        )),
    }
}

/// An address, as the kernel takes it.
fn address<T>(pointer: *mut T) -> u64 {
    u64::try_from(pointer.expose_provenance()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: [u8; REPORT_DATA_BYTES] = [9; REPORT_DATA_BYTES];

    /// What a device answered: a table with one certificate of 5 bytes at 48, and a report.
    fn recorded(status: u32, len_bytes: u32) -> Answer {
        let mut response = [0; 4000];
        response[..4].copy_from_slice(&status.to_le_bytes());
        response[4..8].copy_from_slice(&len_bytes.to_le_bytes());
        response[REPORT_AT..REPORT_AT + SNP_REPORT_BYTES].fill(0x5a);
        let mut table = vec![0; TABLE_BYTES];
        table[..16].fill(0x63);
        table[16..20].copy_from_slice(&48_u32.to_le_bytes());
        table[20..24].copy_from_slice(&5_u32.to_le_bytes());
        table[48..53].copy_from_slice(b"VCEK!");
        Answer { response, table }
    }

    #[test]
    fn the_ioctl_is_the_kernels() {
        // _IOWR('S', 2, struct snp_guest_request_ioctl), as a program in C prints it.
        assert_eq!(GET_EXT_REPORT, 0xc020_5302);
    }

    #[test]
    fn a_recorded_answer_is_taken_apart() {
        let mut asked = None;
        let found = report_of(&DATA, 2, |data, level| {
            asked = Some((*data, level));
            Ok(recorded(0, 1184))
        });
        let found = found.unwrap();
        assert_eq!(asked, Some((DATA, 2)));
        assert_eq!(found.report, vec![0x5a; SNP_REPORT_BYTES]);
        assert_eq!((found.kind, found.certificates.len()), (Kind::Snp, 53));
        assert!(found.certificates.ends_with(b"VCEK!"));
    }

    #[test]
    fn a_status_another_length_and_a_table_that_leads_astray_are_refused() {
        let of = |answer| report_of(&DATA, 0, |_, _| Ok(answer));
        let refused = of(recorded(0x16, 1184)).unwrap_err();
        assert!(
            matches!(refused, ReportError::Firmware { status: 0x16 }),
            "{refused}"
        );
        assert!(matches!(of(recorded(0, 1183)), Err(ReportError::Malformed(_))));
        let mut astray = recorded(0, 1184);
        astray.table[20..24].fill(0xff);
        assert!(of(astray).unwrap().certificates.is_empty());
        let mut endless = recorded(0, 1184);
        endless.table.fill(1);
        assert!(of(endless).unwrap().certificates.is_empty());
        let mut none = recorded(0, 1184);
        none.table.fill(0);
        assert!(of(none).unwrap().certificates.is_empty());
    }

    #[test]
    fn a_device_that_knows_no_such_ioctl_is_an_error() {
        let device = File::options().read(true).write(true).open("/dev/null").unwrap();
        let refused = ask(&device, &DATA, 0).err().unwrap();
        assert!(
            refused.to_string().starts_with("asking /dev/sev-guest"),
            "{refused}"
        );
        assert!(SevGuest::at(Path::new("/nonexistent")).report(&DATA).is_err());
    }
}
