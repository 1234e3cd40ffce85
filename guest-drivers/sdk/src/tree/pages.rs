//! A listing as an iterator that can look ahead.
//!
//! Invariant: holds two pages at most, and gives the host's listing back as soon as the last page is known.

use super::{Directory, Listing};
use crate::{Entry, Failure, Result};

/// The entries of a directory in byte order of their names.
#[derive(Debug)]
pub struct Pages<L> {
    listing: Option<L>,
    page: std::vec::IntoIter<Entry>,
    after: Vec<Entry>,
}

impl<L: Listing> Pages<L> {
    /// Begins to list a directory.
    ///
    /// # Errors
    /// What the host answers.
    pub fn of<D: Directory<Listing = L>>(
        directory: &D,
        wanted: &[String],
    ) -> Result<Self, Failure> {
        let mut pages = Self {
            listing: Some(directory.list(wanted)?),
            page: Vec::new().into_iter(),
            after: Vec::new(),
        };
        pages.after = pages.fetch()?;
        pages.turn()?;
        Ok(pages)
    }

    /// A listing without entries.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            listing: None,
            page: Vec::new().into_iter(),
            after: Vec::new(),
        }
    }

    /// The entry that `advance` will return.
    #[must_use]
    pub fn peek(&self) -> Option<&Entry> {
        self.page.as_slice().first()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// What the host answers.
    pub fn advance(&mut self) -> Result<Option<Entry>, Failure> {
        let entry = self.page.next();
        if self.page.as_slice().is_empty() {
            self.turn()?;
        }
        Ok(entry)
    }

    fn turn(&mut self) -> Result<(), Failure> {
        if !self.after.is_empty() {
            self.page = std::mem::take(&mut self.after).into_iter();
            self.after = self.fetch()?;
        }
        Ok(())
    }

    /// Asks for one page more than is needed, so that the handle can go before the walk descends.
    fn fetch(&mut self) -> Result<Vec<Entry>, Failure> {
        let Some(listing) = &mut self.listing else {
            return Ok(Vec::new());
        };
        let page = listing.next_page()?;
        if page.is_empty() {
            self.listing = None;
        }
        Ok(page)
    }
}
