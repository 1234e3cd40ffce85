//! The driver that plays programs of host calls (`tests/guests/player`), in the sandbox over a plain home.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use mica_runtime::{
    ArchiveForm, CancelToken, CreateOptions, Generation, Grants, LayerKind, Operation, Runtime,
    Settings, Source,
};
use tempfile::TempDir;

use crate::canary::Canary;
use crate::home::{OTHER, OWN, PlainHome};

/// The driver, its home, and what lies beside it.
pub struct Player {
    generation: Arc<Generation>,
    home: Arc<PlainHome>,
    canary: Canary,
    _directory: TempDir,
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Player")
    }
}

impl Default for Player {
    fn default() -> Self {
        let directory = TempDir::new_in("/dev/shm").expect("a directory in memory");
        let home = directory.path().join("home");
        let home = Arc::new(PlainHome::new(&home));
        let runtime = Runtime::new(Settings::default()).expect("the sandbox");
        let component = include_bytes!(concat!(env!("OUT_DIR"), "/player.wasm"));
        let generation = runtime
            .load(component, &Grants::standard(), &CancelToken::default())
            .expect("load the player");
        // The first operation opens what later ones share.
        let player = Self {
            generation,
            home,
            canary: Canary::new(directory.path()),
            _directory: directory,
        };
        player.play(&[0]);
        player
    }
}

impl Player {
    /// Plays a program within `create` or `apply-diff`, as its first byte says.
    ///
    /// # Panics
    /// If the host does what it may not do.
    pub fn play(&self, bytes: &[u8]) {
        let Some((kind, program)) = bytes.split_first() else {
            return;
        };
        // Whether the operation succeeds is the program's affair.
        let _ended = match kind % 2 {
            0 => {
                let options = CreateOptions {
                    mount_label: None,
                    storage_options: vec![("program".to_owned(), hex(program))],
                };
                self.generation
                    .create(
                        self.operation("create"),
                        OWN,
                        Some(OTHER),
                        LayerKind::Content,
                        &options,
                        None,
                    )
                    .map(drop)
            }
            _ => {
                let source = Source::from_reader(Box::new(Cursor::new(program.to_vec())));
                self.generation
                    .apply_diff(
                        self.operation("apply"),
                        OWN,
                        Some(OTHER),
                        ArchiveForm::Faithful,
                        source,
                    )
                    .map(drop)
            }
        };
        self.home.clear();
        self.canary.check(0);
    }

    fn operation(&self, name: &'static str) -> Operation {
        Operation {
            store: "fuzz".into(),
            name,
            home: Arc::<PlainHome>::clone(&self.home),
            options: Arc::new([]),
            cancel: CancelToken::default(),
            client_wait: None,
            spent: mica_runtime::Spent::default(),
            witness: None,
            replay: None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}
