//! What the monitor makes for each instance, kept for whoever wants to look at it.

use hacher_libos_net::doorbell;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, ftruncate, memfd_create, open};
use rustix::io::Errno;
use std::sync::Arc;

/// A region.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) fd: OwnedFd,
    pub(crate) len_bytes: usize,
}

impl Region {
    fn new(name: &str, len_bytes: usize) -> Result<Self, Errno> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, len_bytes as u64)?;
        Ok(Self { fd, len_bytes })
    }

    /// A descriptor that cannot be mapped for writing, as peers get it everywhere (I1).
    pub(crate) fn read_only(&self) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }
}

/// A doorbell.
#[derive(Debug)]
pub(crate) struct Bell {
    /// The end that its owner sleeps on.
    pub(crate) own: OwnedFd,
    /// The end that peers ring.
    pub(crate) ringing: OwnedFd,
}

/// What one instance owns.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    outbox: Option<Arc<Region>>,
    page: Option<Arc<Region>>,
    bell: Option<Arc<Bell>>,
    /// The regions of its mapped rings, in the order of the rings.
    pub(crate) mapped: Vec<Arc<Region>>,
}

impl Owned {
    pub(crate) fn outbox(&self) -> &Region {
        self.outbox.as_deref().expect("an instance has an outbox")
    }

    pub(crate) fn page(&self) -> &Region {
        self.page.as_deref().expect("an instance has a page")
    }

    pub(crate) fn bell(&self) -> &Bell {
        self.bell.as_deref().expect("an instance has a doorbell")
    }
}

/// By numbers of instances: sealing makes their regions in this order, the outbox of each first.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Vec<Owned>);

impl Ledger {
    pub(crate) fn region(&mut self, name: &str, len_bytes: usize) -> Result<Arc<Region>, Errno> {
        let region = Arc::new(Region::new(name, len_bytes)?);
        if name == "hacher-outbox" {
            self.0.push(Owned::default());
        }
        let owned = self.0.last_mut().expect("an outbox comes first");
        match name {
            "hacher-outbox" => owned.outbox = Some(Arc::clone(&region)),
            "hacher-instance-page" => owned.page = Some(Arc::clone(&region)),
            _ => owned.mapped.push(Arc::clone(&region)),
        }
        Ok(region)
    }

    pub(crate) fn bell(&mut self) -> Result<Arc<Bell>, Errno> {
        let (own, ringing) = doorbell::make()?;
        let bell = Arc::new(Bell { own, ringing });
        // What is made later is the daemon's, for which there is nobody here.
        if let Some(owned) = self.0.last_mut() {
            owned.bell.get_or_insert_with(|| Arc::clone(&bell));
        }
        Ok(bell)
    }

    pub(crate) fn owned(&self, instance: usize) -> &Owned {
        &self.0[instance]
    }
}
