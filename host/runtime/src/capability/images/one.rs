//! One operation at a time for each room: two that find an image unattached would attach it twice.
//!
//! Invariant: a room whose disk stands still keeps nobody from another.

use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Device and inode of a room.
type Room = (u64, u64);

static TAKEN: LazyLock<Mutex<HashSet<Room>>> = LazyLock::new(Mutex::default);
static FREED: Condvar = Condvar::new();

/// The turn of one operation. It ends on drop.
pub(super) struct Turn(Room);

/// Waits until no other operation has the room.
pub(super) fn at_a_time(room: Room) -> Turn {
    let mut rooms = TAKEN.lock();
    while !rooms.insert(room) {
        FREED.wait(&mut rooms);
    }
    Turn(room)
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.lock().remove(&self.0);
        // All, because each waits for a room of its own.
        FREED.notify_all();
    }
}
