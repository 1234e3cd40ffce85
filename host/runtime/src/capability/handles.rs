//! The handles of one operation, counted also for all operations of its driver.
//!
//! A handle keeps a descriptor of the daemon open, and an operation that waits for its client keeps all of its own, so a
//! bound for each operation alone would let one driver take every descriptor that there is.
//!
//! Invariant: what an operation holds is given back when it ends, however it ends.

use super::{HostError, HostResult};
use crate::{Code, Failure};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};

/// How many handles the operations of one driver hold together.
#[derive(Debug)]
pub(crate) struct HandleBudget {
    held: AtomicUsize,
    most: usize,
}

impl HandleBudget {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let held = AtomicUsize::new(0);
        Arc::new(Self { held, most })
    }

    fn take(&self) -> bool {
        let more = |held| (held < self.most).then_some(held + 1);
        let taken = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok()
    }

    fn give_back(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }
}

/// The handles of one operation.
#[derive(Debug)]
pub(crate) struct Handles {
    table: ResourceTable,
    held: usize,
    budget: Arc<HandleBudget>,
}

impl Handles {
    /// No handles yet, and `most` of them in the end.
    pub(super) fn new(most: usize, budget: Arc<HandleBudget>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(most);
        Self {
            table,
            held: 0,
            budget,
        }
    }

    /// Makes a handle.
    ///
    /// # Errors
    /// [`Code::Limit`] if the operation, or all of the driver together, hold as many as they may.
    pub(crate) fn push<T: Send + 'static>(&mut self, value: T) -> HostResult<Resource<T>> {
        if !self.budget.take() {
            let text = format!(
                "the operations of this driver hold {} handles, as many as they may together: `driver_handles`",
                self.budget.most
            );
            return Err(Failure::new(Code::Limit, text).into());
        }
        match self.table.push(value) {
            Ok(handle) => {
                self.held += 1;
                Ok(handle)
            }
            Err(error) => {
                self.budget.give_back(1);
                Err(error.into())
            }
        }
    }

    /// Makes a handle of something that the host itself gives the operation, which is never refused.
    pub(crate) fn lend<T: Send + 'static>(
        &mut self,
        value: T,
    ) -> Result<Resource<T>, ResourceTableError> {
        let handle = self.table.push(value)?;
        self.held += 1;
        // Beyond the bound if need be: without its own sink and source no operation could end.
        self.budget.held.fetch_add(1, Ordering::Relaxed);
        Ok(handle)
    }

    pub(crate) fn get<T: Send + 'static>(
        &self,
        handle: &Resource<T>,
    ) -> Result<&T, ResourceTableError> {
        self.table.get(handle)
    }

    pub(crate) fn get_mut<T: Send + 'static>(
        &mut self,
        handle: &Resource<T>,
    ) -> Result<&mut T, ResourceTableError> {
        self.table.get_mut(handle)
    }

    /// Ends a handle, and hands out what it stood for.
    pub(crate) fn delete<T: Send + 'static>(
        &mut self,
        handle: Resource<T>,
    ) -> Result<T, ResourceTableError> {
        let value = self.table.delete(handle)?;
        self.held -= 1;
        self.budget.give_back(1);
        Ok(value)
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
    }
}

impl From<ResourceTableError> for HostError {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => Self::Failure(Failure::new(
                Code::Limit,
                "the operation holds as many handles as it may: `handles`",
            )),
            other => Self::Trap(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(refused: HostResult<Resource<u8>>) -> String {
        match refused {
            Err(HostError::Failure(failure)) if failure.code == Code::Limit => failure.message,
            other => panic!("not a limit: {other:?}"),
        }
    }

    #[test]
    fn an_operation_and_a_driver_have_a_bound_and_give_all_back() {
        let budget = HandleBudget::new(3);
        let mut first = Handles::new(2, Arc::clone(&budget));
        let mut second = Handles::new(2, Arc::clone(&budget));
        let one = first.push(1_u8).unwrap();
        first.push(2_u8).unwrap();
        assert!(text(first.push(3_u8)).contains("`handles`"));
        second.push(4_u8).unwrap();
        assert!(text(second.push(5_u8)).contains("`driver_handles`"));
        assert_eq!(first.delete(one).unwrap(), 1);
        second.push(5_u8).unwrap();
        drop((first, second));
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
