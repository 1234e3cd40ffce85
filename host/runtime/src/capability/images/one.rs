//! One operation at a time for each room: two that find an image unattached would attach it twice.
//!
//! Invariant: a room whose disk stands still keeps nobody from another.

use std::collections::HashSet;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

/// Device and inode of a room.
type Room = (u64, u64);

static TAKEN: LazyLock<Mutex<HashSet<Room>>> = LazyLock::new(Mutex::default);
static FREED: Condvar = Condvar::new();

/// The turn of one operation. It ends on drop.
pub(super) struct Turn(Room);

fn taken() -> MutexGuard<'static, HashSet<Room>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no other operation has the room.
pub(super) fn at_a_time(room: Room) -> Turn {
    let mut rooms = taken();
    while !rooms.insert(room) {
        rooms = FREED.wait(rooms).unwrap_or_else(PoisonError::into_inner);
    }
    Turn(room)
}

impl Drop for Turn {
    fn drop(&mut self) {
        taken().remove(&self.0);
        FREED.notify_all();
    }
}
