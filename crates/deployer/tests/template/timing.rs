//! Numbers that CloudFormation cannot calculate are those of `slowlane_policy::timing`.

use crate::{check_between, section, template};
use slowlane_policy::timing::{
    API_TIMEOUTS_SECS, CALL_RETENTION, DEAD_LETTER_RETENTION, ENQUEUER_TIMEOUT, LONGEST_DEADLINE,
    RECORD_EXPIRY, Timing, max_receive_count,
};
use slowlane_policy::wake::EVENT_AGE;
use std::fmt::Write as _;
use std::time::Duration;

const MAX_DEFERRALS: [u32; 5] = [3, 5, 10, 20, 50];
const MAX_ATTEMPTS: [u32; 5] = [1, 2, 3, 5, 8];
/// How long before its end an invocation is out of time. The last call is taken a whole
/// `call_visibility` before it.
const OUT_OF_TIME: Duration = Duration::from_secs(10);

/// The section `Mappings` between its two marks. The values are texts, because a Lambda's variables
/// are made of them, and the local server does not turn a number into one.
fn derived() -> String {
    let mut text = String::from("  ByApiTimeout:\n");
    for secs in API_TIMEOUTS_SECS {
        let timing = Timing::for_api_timeout(secs).unwrap();
        writeln!(text, "    \"{secs}\":").unwrap();
        for (name, duration) in [
            ("CallVisibility", timing.call_visibility),
            ("WorkWindow", timing.work_window),
            ("FunctionTimeout", timing.function_timeout),
            ("RingVisibility", timing.ring_visibility),
            ("DeferralVisibility", timing.deferral_visibility),
        ] {
            writeln!(text, "      {name}: \"{}\"", duration.as_secs()).unwrap();
        }
        let out_of_time = (timing.function_timeout - OUT_OF_TIME).as_millis();
        writeln!(text, "      OutOfTimeMs: \"{out_of_time}\"").unwrap();
    }
    text.push_str("  # The same in every deployment.\n  Always:\n    Seconds:\n");
    for (name, duration) in [
        ("CallRetention", CALL_RETENTION),
        ("DeadLetterRetention", DEAD_LETTER_RETENTION),
        ("RecordExpiry", RECORD_EXPIRY),
        ("EnqueuerTimeout", ENQUEUER_TIMEOUT),
    ] {
        writeln!(text, "      {name}: \"{}\"", duration.as_secs()).unwrap();
    }
    text.push_str("  # By MaxDeferrals, then by MaxAttempts.\n  MaxReceiveCount:\n");
    for deferrals in MAX_DEFERRALS {
        let counts: Vec<String> = MAX_ATTEMPTS
            .iter()
            .map(|attempts| {
                format!("\"{attempts}\": \"{}\"", max_receive_count(deferrals, *attempts))
            })
            .collect();
        writeln!(text, "    \"{deferrals}\": {{ {} }}", counts.join(", ")).unwrap();
    }
    text
}

#[test]
fn the_derived_numbers_are_those_of_the_policy() {
    check_between("infra/template.yaml", "  # BEGIN derived", "  # END derived", &derived());
}

#[test]
fn every_allowed_value_has_its_numbers() {
    let template = template();
    for (parameter, values) in [
        ("ApiTimeoutSeconds", API_TIMEOUTS_SECS.map(|value| value.to_string())),
        ("MaxDeferrals", MAX_DEFERRALS.map(|value| value.to_string())),
        ("MaxAttempts", MAX_ATTEMPTS.map(|value| value.to_string())),
    ] {
        let section = &template[template.find(&format!("\n  {parameter}:\n")).unwrap()..];
        let line = section.lines().find(|line| line.contains("AllowedValues:")).unwrap();
        assert_eq!(line.trim(), format!("AllowedValues: {values:?}"), "{parameter}");
    }
}

#[test]
fn the_longest_deadline_is_the_longest_default_too() {
    let template = template();
    let parameters = &template[..template.find("\nMappings:").unwrap()];
    let parameter = &parameters[parameters.find("\n  DefaultDeadlineSeconds:\n").unwrap()..];
    let most = parameter.lines().find(|line| line.contains("MaxValue:")).unwrap();
    assert_eq!(most.trim(), format!("MaxValue: {}", LONGEST_DEADLINE.as_secs()));
}

#[test]
fn the_queues_keep_calls_rings_and_letters_as_long_as_the_policy_says() {
    let template = template();
    for (queue, number) in [
        ("HighQueue", "CallRetention"),
        ("NormalQueue", "CallRetention"),
        ("BatchQueue", "CallRetention"),
        ("DoorbellQueue", "CallRetention"),
        ("DeadLetterQueue", "DeadLetterRetention"),
    ] {
        let expected =
            format!("      MessageRetentionPeriod: !FindInMap [Always, Seconds, {number}]\n");
        assert!(section(&template, queue).contains(&expected), "{queue}");
    }
    let timeout = "      Timeout: !FindInMap [Always, Seconds, EnqueuerTimeout]\n";
    assert!(section(&template, "EnqueuerFunction").contains(timeout));
    let expiry = "          RECORD_EXPIRY_SECS: !FindInMap [Always, Seconds, RecordExpiry]\n";
    assert!(section(&template, "WorkerFunction").contains(expiry));
}

/// A workflow with the call's state inline fills it in itself. It outlasts a killed worker's hold on
/// a call, which is longer with deferral.
#[test]
fn the_grace_of_a_call_is_an_output_and_what_the_machines_are_given() {
    let template = template();
    let outputs = &template[template.find("\nOutputs:").unwrap()..];
    let grace = |indent: usize| {
        let choice = |number| {
            format!("\n{:indent$}- !FindInMap [ByApiTimeout, !Ref ApiTimeoutSeconds, {number}]", "")
        };
        let doorbell = choice("FunctionTimeout");
        format!("!If\n{:indent$}- Doorbell{doorbell}{}\n", "", choice("DeferralVisibility"))
    };
    let output = &outputs[outputs.find("\n  GraceSeconds:\n").expect("an output")..];
    assert!(output.contains(&format!("    Value: {}", grace(6))));
    for machine in ["ThrottledCall", "SalesOrderSync"] {
        let given = format!("        GraceSeconds: {}", grace(10));
        assert!(format!("{}\n", section(&template, machine)).contains(&given), "{machine}");
    }
}

/// The worker rings for itself and invokes itself. Lambda must not take that for an endless loop,
/// and must give up an invocation as soon as the policy expects.
#[test]
fn the_worker_may_wake_itself() {
    let template = template();
    assert!(section(&template, "WorkerFunction").contains("\n      RecursiveLoop: Allow\n"));
    let limits = section(&template, "WakeLimits");
    let age = format!("\n      MaximumEventAgeInSeconds: {}\n", EVENT_AGE.as_secs());
    assert!(limits.contains(&age), "{limits}");
}
