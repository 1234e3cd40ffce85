use super::super::active::Build;
use super::*;
use std::borrow::Cow;

fn active(name: &'static str, number: u64) -> Arc<Active<&'static str>> {
    let build = Build {
        bytes: Cow::Borrowed(&[]),
        origin: Origin::Embedded,
        provenance: None,
        digest: name.to_owned(),
    };
    Active::new(Arc::new(name), build, number)
}

fn slot() -> Slot<&'static str> {
    Slot::new("test", &Limits::default(), &Gates::new(&Limits::default())).filled(active("old", 1))
}

fn enter(slot: &Slot<&'static str>) -> Result<Ticket<&'static str>> {
    slot.enter("create", SUBJECT, Flow::None)
}

const SUBJECT: Subject<'_> = Subject {
    store: "store",
    layer: Some("layer"),
};

#[test]
fn a_running_operation_keeps_its_build_and_the_next_gets_the_new_one() {
    let slot = slot();
    let before = enter(&slot).unwrap();
    let old = slot.active().unwrap();
    slot.replace(active("new", 2), None);
    let after = enter(&slot).unwrap();
    assert_eq!((*before.generation(), *after.generation()), ("old", "new"));
    assert_eq!(
        (old.running_count(), slot.active().unwrap().running_count()),
        (1, 1)
    );
}

#[test]
fn a_replaced_build_is_told_of_for_as_long_as_operations_run_on_it() {
    let slot = slot();
    let running = enter(&slot).unwrap();
    slot.replace(active("new", 2), None);
    let told = slot.replaced();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].operations()[0].operation, "create");
    drop((running, told));
    assert!(slot.replaced().is_empty());
}

#[test]
fn a_build_that_failed_too_often_gets_no_call_any_more() {
    let slot = slot();
    let (old, new) = (slot.active().unwrap(), active("new", 2));
    let (jobs, _watching) = std::sync::mpsc::channel();
    slot.replace(Arc::clone(&new), Some(Trial::new(new, old, jobs)));
    for _ in 0..3 {
        let mut ticket = enter(&slot).unwrap();
        assert_eq!(*ticket.generation(), "new");
        let risk = ticket.take_risk().unwrap();
        ticket.step_back(&risk);
        assert_eq!(*ticket.generation(), "old");
        risk.failed(crate::view::Evidence {
            calls: 1,
            what: String::new(),
            operation: "create".to_owned(),
            store: None,
            layer: None,
            first: String::new(),
        });
    }
    assert_eq!(*enter(&slot).unwrap().generation(), "old");
    slot.end_trial();
    assert_eq!(*enter(&slot).unwrap().generation(), "new");
}

#[test]
fn a_swap_lifts_the_quarantine() {
    let slot = slot();
    let fault = |store| {
        let layer = None;
        slot.fault(Subject { store, layer }, "boom").len()
    };
    assert_eq!((fault("a"), fault("b"), fault("c")), (0, 0, 1));
    let refused = enter(&slot).unwrap_err();
    assert_eq!(refused.code(), "quarantined");
    slot.replace(active("new", 2), None);
    assert!(enter(&slot).is_ok());
    assert_eq!(slot.totals(), (1, 3));
}

/// Fails once, then gives a build.
#[derive(Debug)]
struct Flaky(Arc<AtomicU64>);

impl Source<&'static str> for Flaky {
    fn load(&mut self) -> Result<Arc<Active<&'static str>>> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::Cancelled),
            _ => Ok(active("late", 1)),
        }
    }
}

#[test]
fn a_build_is_made_once_when_it_is_needed_first() {
    let asked = Arc::new(AtomicU64::new(0));
    let empty = || {
        let limits = Limits::default();
        Slot::new("test", &limits, &Gates::new(&limits))
    };
    let slot = empty().fed_by(Box::new(Flaky(Arc::clone(&asked))));
    assert!(slot.loaded().is_none());
    assert!(enter(&slot).is_err());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| enter(&slot).unwrap());
        }
    });
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let unused = empty().fed_by(Box::new(Flaky(Arc::default())));
    unused.replace(active("new", 2), None);
    let entered = enter(&unused).unwrap();
    assert_eq!(*entered.generation(), "new");
}
