//! What is measured of drivers.
//!
//! Invariant: the number of a build is told for the last three of a driver; what earlier ones did is told as `older`.

use super::text::{Kind, MICROSECONDS, Text};
use mica_engine::{Distribution, DriverFigures, OwnRow};

/// Writes all of it.
pub(super) fn write(text: &mut Text, drivers: &[DriverFigures]) {
    write_calls(text, drivers);
    write_amounts(text, drivers);
    write_counts(text, drivers);
    write_states(text, drivers);
}

fn write_calls(text: &mut Text, drivers: &[DriverFigures]) {
    let help = "Operations of drivers that ended, by build, front end, operation and outcome: ok, or the class of the error.";
    let mut family = text.family("mica_driver_calls_total", Kind::Counter, help);
    for driver in drivers {
        for row in &driver.calls {
            for (outcome, count) in &row.outcomes {
                let labels = [
                    ("driver", driver.name.as_str()),
                    ("generation", &row.generation),
                    ("front_end", row.front.word()),
                    ("operation", row.operation),
                    ("outcome", outcome),
                ];
                family.sample(&labels, count);
            }
        }
    }
}

fn write_amounts(text: &mut Text, drivers: &[DriverFigures]) {
    type Amount = (
        &'static str,
        &'static str,
        u32,
        fn(&OwnRow) -> &Distribution,
    );
    let amounts: [Amount; 3] = [
        (
            "mica_driver_call_duration_seconds",
            "Time of operations of drivers, without waits for clients.",
            MICROSECONDS,
            |row| &row.microseconds,
        ),
        (
            "mica_driver_host_calls",
            "Host calls of one operation.",
            1,
            |row| &row.host_calls,
        ),
        (
            "mica_driver_guest_memory_bytes",
            "The most guest memory that one operation had.",
            1,
            |row| &row.memory_bytes,
        ),
    ];
    for (name, help, per_unit, of) in amounts {
        let mut family = text.family(name, Kind::Histogram, help);
        for driver in drivers {
            for row in &driver.amounts {
                let labels = [
                    ("driver", driver.name.as_str()),
                    ("operation", row.operation),
                ];
                family.histogram(&labels, of(row), per_unit);
            }
        }
    }
}

fn write_counts(text: &mut Text, drivers: &[DriverFigures]) {
    type Count = (&'static str, &'static str, fn(&DriverFigures) -> u64);
    let counts: [Count; 4] = [
        (
            "mica_driver_faults_total",
            "Operations that the driver broke in.",
            |driver| driver.faults,
        ),
        (
            "mica_driver_swaps_total",
            "Builds that were put in the driver's place, by a swap or a rollback.",
            |driver| driver.swaps,
        ),
        (
            "mica_driver_went_back_total",
            "Builds that were taken back because they did worse than the one before.",
            |driver| driver.went_back,
        ),
        (
            "mica_driver_denials_total",
            "Operations in which the driver did what it is not granted, once for each right.",
            |driver| driver.denials,
        ),
    ];
    for (name, help, of) in counts {
        let mut family = text.family(name, Kind::Counter, help);
        for driver in drivers {
            family.sample(&[("driver", driver.name.as_str())], of(driver));
        }
    }
}

fn write_states(text: &mut Text, drivers: &[DriverFigures]) {
    type State = (
        &'static str,
        &'static str,
        fn(&DriverFigures) -> Option<u64>,
    );
    let states: [State; 5] = [
        (
            "mica_driver_generation",
            "The number of the build that runs, since the start; absent before someone needs the driver.",
            |driver| driver.generation,
        ),
        (
            "mica_driver_baking",
            "Whether the build that runs is still compared with the one before.",
            |driver| Some(u64::from(driver.is_baking)),
        ),
        (
            "mica_driver_operations_running",
            "Operations that run.",
            |driver| Some(driver.running),
        ),
        (
            "mica_driver_quarantines",
            "For how many layers, stores, or all, the driver is not called any more.",
            |driver| Some(driver.quarantines),
        ),
        (
            "mica_driver_guest_memory_peak_bytes",
            "The most guest memory that an operation had since the start.",
            |driver| Some(driver.memory_peak_bytes),
        ),
    ];
    for (name, help, of) in states {
        let mut family = text.family(name, Kind::Gauge, help);
        for driver in drivers {
            if let Some(value) = of(driver) {
                family.sample(&[("driver", driver.name.as_str())], value);
            }
        }
    }
}
