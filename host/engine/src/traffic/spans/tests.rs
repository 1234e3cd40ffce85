use super::*;

fn spans(ratio: f64, queue: usize) -> Arc<Spans> {
    Spans::new(SpanSettings {
        ratio,
        queue,
        host_calls: 4,
    })
    .unwrap()
}

fn begin(spans: &Arc<Spans>, parent: Option<&str>) -> Option<Place> {
    let parent = parent.and_then(|text| RemoteParent::parse(text, std::iter::empty()));
    spans.begin(parent, (Moment::now(), Instant::now()))
}

#[test]
fn a_client_decides_for_its_calls_and_chance_for_the_others() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";
    for (ratio, flag, is_recorded) in [(0.0, 1, true), (1.0, 0, false)] {
        let spans = spans(ratio, 8);
        let place = begin(&spans, Some(&format!("{parent}{flag}")));
        assert_eq!(place.is_some(), is_recorded);
    }
    let count = |ratio: f64| {
        let spans = spans(ratio, 8);
        (0..10_000).filter_map(|_| begin(&spans, None)).count()
    };
    assert_eq!((count(0.0), count(1.0)), (0, 10_000));
    // Ten standard deviations to either side.
    assert!((2_000..3_000).contains(&count(0.25)));
}

#[test]
fn what_has_no_room_is_dropped_and_counted_and_what_waits_is_whole() {
    let spans = spans(1.0, 3);
    for _ in 0..5 {
        let place = begin(&spans, None).unwrap();
        place.end("a", Attributes::default(), None);
    }
    let figures = spans.figures();
    assert_eq!((figures.waiting, figures.no_room), (3, 2));
    assert_eq!((spans.take(2).len(), spans.take(2).len()), (2, 1));
    assert_eq!(spans.figures().waiting, 0);
    spans.note_lost(4, Undelivered::Away);
    spans.note_lost(5, Undelivered::Refused);
    spans.note_delivered(6);
    let figures = spans.figures();
    assert_eq!(
        (figures.away, figures.refused, figures.delivered),
        (4, 5, 6)
    );
}

#[test]
fn an_operation_belongs_to_its_call() {
    let spans = spans(1.0, 8);
    let place = begin(&spans, None).unwrap();
    let attributes = Attributes::default().text("mica.store", Some("a\nb"));
    place.end_operation("vfs.create".into(), Instant::now(), attributes, None, &[]);
    place.end("create_layer", Attributes::default(), None);
    let taken = spans.take(8);
    let [operation, request] = taken.as_slice() else {
        panic!("{taken:?}");
    };
    assert_eq!(operation.parent, Some(request.id));
    assert_eq!((operation.trace, request.parent), (request.trace, None));
    assert!(request.began <= operation.began && operation.ended <= request.ended);
    assert_ne!(operation.id, request.id);
    let Some(("mica.store", Attribute::Text(text))) = operation.attributes.first() else {
        panic!("{operation:?}");
    };
    assert!(!text.contains('\n'), "{text}");
}
