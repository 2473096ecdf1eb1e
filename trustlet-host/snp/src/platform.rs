//! The platform of the monitor's core: regions are pages of the [ledger](crate::ledger), trustlets are
//! [spaces](crate::space) with a [program](crate::program), and channels are queues that trustlets empty.
//!
//! Who owns what stands here: a region gets its writer when the core grants it to one, and another when that
//! one is gone (I1, I10). Whoever runs trustlets takes the newborn ones from here, hands their
//! [calls](crate::abi) in, and says when one is gone.

mod bells;
mod board;
mod calls;
mod image;
mod own_memory;
mod refusal;
mod region;
mod snp;
mod trustlet;

pub use bells::Bell;
pub use board::Board;
pub use calls::Served;
pub use image::Image;
pub use region::Region;
pub use snp::{RunsNowhere, Snp};
pub use trustlet::Newborn;

#[cfg(test)]
pub(crate) mod tests;
