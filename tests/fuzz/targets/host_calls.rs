//! Any sequence of host calls with any arguments, by a driver in the sandbox.
//!
//! The host answers or ends the operation; nothing beside the home changes, and no descriptor stays open.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mica_fuzz::player::Player;

static PLAYER: LazyLock<Player> = LazyLock::new(Player::default);

fuzz_target!(|bytes: &[u8]| PLAYER.play(bytes));
