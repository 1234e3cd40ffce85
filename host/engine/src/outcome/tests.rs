use super::*;

fn diff(outcomes: &Arc<Outcomes>) -> OperationTicket {
    outcomes.begin(OperationKind::Diff, "default", "box")
}

fn state(outcomes: &Outcomes, id: &str) -> Option<OperationState> {
    outcomes.find(id).map(|view| view.state)
}

#[test]
fn an_operation_ends_in_one_way() {
    let outcomes = Arc::<Outcomes>::default();
    let (good, bad, lost) = (diff(&outcomes), diff(&outcomes), diff(&outcomes));
    let [first, second, third] = [&good, &bad, &lost].map(|ticket| ticket.id().to_owned());
    assert_eq!(state(&outcomes, &first), Some(OperationState::Running));
    assert!(good.end(Ok(()), |()| None).is_ok());
    assert_eq!(state(&outcomes, &first), Some(OperationState::Done(None)));
    assert!(bad.end(Err::<(), _>(Error::Cancelled), |()| None).is_err());
    drop(lost);
    let expected = [
        ("cancelled", Class::Cancelled),
        ("cancelled", Class::Cancelled),
    ];
    for (id, expected) in [second, third].into_iter().zip(expected) {
        let Some(OperationState::Failed { code, class, .. }) = state(&outcomes, &id) else {
            panic!("`{id}` has not failed");
        };
        assert_eq!((code, class), expected);
    }
    assert_eq!(state(&outcomes, "1"), None);
}

#[test]
fn what_runs_can_be_asked_to_end_by_either_id() {
    let outcomes = Arc::<Outcomes>::default();
    let calls = crate::ClientCalls::new(None, None);
    let call = calls.begin(crate::Front::Rest, &"user 1".into(), Some("mine"), None);
    let (first, second) = call.within(|| (diff(&outcomes), diff(&outcomes)));
    call.moved(7);
    assert_eq!(outcomes.find("mine").unwrap().id, second.id());
    let asked = outcomes.cancel("mine").unwrap();
    assert_eq!((asked.bytes, asked.is_cancelled), (7, true));
    assert!(!outcomes.find(first.id()).unwrap().is_cancelled);
    assert!(second.token().is_cancelled() && !first.token().is_cancelled());
    second
        .end(Err::<(), _>(Error::Cancelled), |()| None)
        .unwrap_err();
    // What its client did not take while it ran, and its client's going after it was done.
    call.moved(3);
    drop(call);
    let ended = outcomes.cancel("mine").unwrap();
    assert_eq!((ended.bytes, ended.ended.is_some()), (10, true));
    let (id, gone) = (first.id().to_owned(), first.token());
    first.end(Ok(()), |()| None).unwrap();
    gone.cancel();
    assert!(!outcomes.cancel(&id).unwrap().is_cancelled, "it is done");
    assert!(outcomes.cancel("other").is_none());
}

#[test]
fn a_long_report_is_not_kept() {
    let kept = |length: usize| Report::document(&"x".repeat(length)).unwrap();
    assert!(matches!(kept(10), Report::Document(text) if &*text == "\"xxxxxxxxxx\""));
    assert_eq!(kept(REPORT_BYTES), Report::TooLong);
}

#[test]
fn the_last_ones_are_kept_and_those_that_run() {
    let outcomes = Arc::<Outcomes>::default();
    let running = diff(&outcomes);
    let ids: Vec<String> = (0..MAX_OUTCOMES + 10)
        .map(|_| {
            let ticket = diff(&outcomes);
            let id = ticket.id().to_owned();
            ticket.end(Ok(()), |()| None).map(|()| id).unwrap()
        })
        .collect();
    let kept = ids.iter().filter(|id| outcomes.find(id).is_some()).count();
    assert_eq!(kept, MAX_OUTCOMES);
    assert!(outcomes.find(&ids[ids.len() - 1]).is_some());
    assert_eq!(
        state(&outcomes, running.id()),
        Some(OperationState::Running)
    );
}
