use super::*;
use crate::store::Verb;
use mica_runtime::Spent;
use std::sync::Arc;
use std::time::Duration;

fn client() -> Arc<str> {
    Arc::from("root, process 1")
}

#[test]
fn an_id_is_the_client_s_if_it_is_harmless_and_else_one_that_no_other_call_has() {
    let calls = ClientCalls::new(None, None);
    let begin = |id: Option<&str>| {
        calls
            .begin(Front::Rest, &client(), id, None)
            .id()
            .to_owned()
    };
    for good in ["a", "5f0c-11.x_Y", &"x".repeat(64)] {
        assert_eq!(begin(Some(good)), good);
    }
    let long = "x".repeat(65);
    let made: Vec<_> = ["", "a b", "a\nb", "ä", "\u{1b}[31m", &long, "a/b", "a\"b"]
        .into_iter()
        .map(|bad| begin(Some(bad)))
        .chain([begin(None), begin(None)])
        .collect();
    for id in &made {
        let is_plain = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(id.len() == 16 && is_plain, "{id}");
        assert_eq!(made.iter().filter(|other| *other == id).count(), 1);
    }
}

#[test]
fn a_call_is_told_while_it_runs_and_counted_once_when_its_last_holder_goes() {
    let calls = ClientCalls::new(None, None);
    let call = calls.begin(Front::Docker, &client(), Some("one"), None);
    call.name("GraphDriver.Get");
    let elsewhere = call.clone();
    call.within(|| {
        assert_eq!(ClientCall::current_id().as_deref(), Some("one"));
        ClientCall::note_store("default", "vfs");
        ClientCall::note_layer("box");
        ClientCall::note_layer("its-parent");
    });
    assert_eq!(ClientCall::current_id(), None);
    call.moved(7);
    call.worked(Duration::from_millis(5));
    call.waited(Duration::from_millis(2));
    let view = calls.running().remove(0);
    assert_eq!(
        (
            view.request.as_str(),
            view.store.as_deref(),
            view.layer.as_deref(),
            view.bytes
        ),
        ("one", Some("default"), Some("box"), 7)
    );
    call.succeeded();
    drop(call);
    assert_eq!((calls.running_count(), calls.rows().len()), (1, 0));
    drop(elsewhere);
    assert_eq!(calls.running_count(), 0);
    let rows = calls.rows();
    let row = &rows[0];
    assert_eq!(
        (row.front, row.operation, row.outcomes.as_slice()),
        (Front::Docker, "GraphDriver.Get", &[("ok", 1)][..])
    );
    assert_eq!(row.microseconds.sum, 3000);
}

#[test]
fn a_call_ends_as_what_it_was_refused_with_or_cancelled_without_an_answer() {
    let calls = ClientCalls::new(Some(Duration::from_secs(1)), None);
    let begin = || calls.begin(Front::Rest, &client(), None, None);
    drop(begin());
    let refused = begin();
    refused.refused("not-found");
    refused.failed("internal");
    drop(refused);
    begin().failed("unavailable");
    let slow = begin();
    slow.worked(Duration::from_secs(3));
    slow.succeeded();
    drop(slow);
    let waiting = begin();
    waiting.worked(Duration::from_secs(3));
    waiting.waited(Duration::from_secs(3));
    waiting.succeeded();
    drop(waiting);
    let rows = calls.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].outcomes,
        [
            ("ok", 2),
            ("cancelled", 1),
            ("not-found", 1),
            ("unavailable", 1)
        ]
    );
    assert_eq!(calls.slow_count(), 1, "one only waited for its client");
}

#[test]
fn a_histogram_counts_a_bound_as_below_it() {
    let histogram = Histogram::new(&[10, 20]);
    [0, 10, 11, 20, 21, 1000]
        .into_iter()
        .for_each(|number| histogram.note(number));
    let told = histogram.told();
    assert_eq!((told.counts, told.sum), (vec![2, 2, 2], 1062));
}

#[test]
fn what_builds_did_is_never_forgotten_and_only_the_last_are_told_apart() {
    let tally = Tally::default();
    let spent = Spent::default();
    let mut held = None;
    for number in 1..=9 {
        let counts = Arc::<CallCounts>::default();
        tally.add(number, &counts);
        tally.add(number, &counts);
        let sample = Sample {
            front: Front::Rest,
            verb: if number == 1 {
                Verb::LookInto
            } else {
                Verb::Create
            },
            outcome: OK,
            took: Duration::ZERO,
            spent: &spent,
        };
        tally.note(&counts, &sample);
        // An operation still runs on the fourth.
        if number == 4 {
            held = Some(counts);
        }
    }
    let generations = |tally: &Tally| -> Vec<String> {
        tally.rows().into_iter().map(|row| row.generation).collect()
    };
    let count = |tally: &Tally| -> u64 {
        let rows = tally.rows().into_iter();
        rows.flat_map(|row| row.outcomes)
            .map(|(_, count)| count)
            .sum()
    };
    assert_eq!(generations(&tally), ["older", "older", "4", "8", "9"]);
    assert_eq!(count(&tally), 9);
    drop(held);
    tally.add(10, &Arc::default());
    assert_eq!(generations(&tally), ["older", "older", "8", "9"]);
    assert_eq!(count(&tally), 9);
}

#[test]
fn every_class_of_an_error_has_a_place_of_its_own() {
    use crate::Class::*;
    let classes = [
        Invalid,
        Unacceptable,
        NotFound,
        AlreadyExists,
        Precondition,
        InUse,
        NotSupported,
        Exhausted,
        TimedOut,
        Cancelled,
        Unavailable,
        Damaged,
        Internal,
    ];
    let mut places: Vec<_> = classes.map(place_of_class).to_vec();
    assert!(
        classes
            .iter()
            .all(|class| OUTCOMES[place_of_class(*class)] == class.word())
    );
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), classes.len());
}
