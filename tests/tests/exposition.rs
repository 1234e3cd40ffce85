//! Does the reader of Prometheus' text format find what is wrong with a text?

use mica_tests::exposition::Exposition;

const GOOD: &str = r#"# HELP a_total Things.
# TYPE a_total counter
a_total{x="q\"\\\n{}, ",y=""} 3
a_total{x="",y=""} 4
# HELP b More.
# TYPE b gauge
b -0.5
# HELP c_seconds Times.
# TYPE c_seconds histogram
c_seconds_bucket{x="z",le="0.1"} 1
c_seconds_bucket{x="z",le="+Inf"} 3
c_seconds_sum{x="z"} 7.5
c_seconds_count{x="z"} 3
"#;

#[test]
fn a_good_text_is_read() {
    let read = Exposition::read(GOOD).expect("it is good");
    assert_eq!(read.sum("a_total", &[("y", "")]), 7.0);
    assert_eq!(read.sum("a_total", &[("x", "q\"\\\n{}, ")]), 3.0);
    assert_eq!(read.sum("b", &[]), -0.5);
    for name in ["a_total", "b", "c_seconds_sum", "c_seconds_bucket"] {
        assert!(read.has(name), "{name}");
    }
    for name in ["c_seconds", "b_sum", "d"] {
        assert!(!read.has(name), "{name}");
    }
}

#[test]
fn a_text_that_breaks_a_rule_is_refused() {
    for (good, bad) in [
        ("# HELP b More.\n", ""),
        ("# TYPE b gauge\n", ""),
        ("# HELP b More.\n", "# HELP b More.\n# HELP b More.\n"),
        ("# TYPE b gauge\n", "# TYPE b gauge\n# TYPE b gauge\n"),
        ("# TYPE b gauge", "# TYPE b thing"),
        ("# HELP b More.", "# HELP b "),
        (
            "# HELP b More.\n# TYPE b gauge",
            "# HELP a_total More.\n# TYPE a_total counter",
        ),
        ("b -0.5", "b -0.5\nb 1"),
        ("b -0.5", "b x"),
        ("b -0.5", "b"),
        ("b -0.5", "b-c 1"),
        ("b -0.5", "b{} 1"),
        ("b -0.5", "b{le=\"1\"} 1"),
        ("b -0.5", "other 1"),
        ("b -0.5", "b{__x=\"1\"} 1"),
        ("b -0.5", "b{x=\"1\",x=\"1\"} 1"),
        ("b -0.5", "b{x=\"1\" 1"),
        ("b -0.5", "b{x=\"\\t\"} 1"),
        ("b -0.5", "b{x=\"1} 1"),
        ("b -0.5", "b -0.5\n"),
        ("b -0.5", "b -0.5\n# words"),
        ("a_total{x=\"\",y=\"\"} 4", "a_total{x=\"\",y=\"\"} -4"),
        (
            "# HELP a_total Things.\n# TYPE a_total counter",
            "# HELP a_total Things.\n# TYPE a_total gauge",
        ),
        ("le=\"0.1\"} 1", "le=\"0.1\"} 4"),
        ("le=\"+Inf\"} 3", "le=\"+Inf\"} 2"),
        ("c_seconds_bucket{x=\"z\",le=\"+Inf\"} 3\n", ""),
        ("le=\"0.1\"", "le=\"x\""),
        ("c_seconds_sum{x=\"z\"} 7.5\n", ""),
        ("c_seconds_count{x=\"z\"} 3\n", ""),
        ("c_seconds_count{x=\"z\"} 3", "c_seconds_count{x=\"z\"} 4"),
        (
            "c_seconds_sum{x=\"z\"} 7.5",
            "c_seconds_sum{x=\"z\",le=\"1\"} 7.5",
        ),
        ("c_seconds_count{x=\"z\"} 3\n", "c_seconds_count{x=\"z\"} 3"),
    ] {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD, "`{good}` is not there");
        Exposition::read(&text).expect_err(&text);
    }
}
