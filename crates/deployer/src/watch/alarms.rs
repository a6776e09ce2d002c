use super::metrics::{
    Queue, Value, age, calls, deleted, hidden, of_calls, of_enqueuer, of_mapping,
    of_sales_order_sync, of_slots, of_table, of_throttled_call, of_worker, visible,
};
use super::{Alarm, Signal, Threshold};
use slowlane_message::Priority::{Batch, High, Normal};

const HIGH: Queue = Queue::Calls(High);
const NORMAL: Queue = Queue::Calls(Normal);
const BATCH: Queue = Queue::Calls(Batch);

const MINUTES_5: u32 = 300;
const MINUTES_15: u32 = 900;
const A_DAY: u32 = 86_400;

/// The alarms, the most urgent first.
pub const ALARMS: [Alarm; 18] = [
    Alarm {
        name: "BacklogWithoutProgress",
        tells: "Calls wait, and not one comes to its end",
        // AWS's own metrics only: also true when the worker does not even start. The smallest number
        // of a period is above zero only if something waited all the time.
        signal: Signal::Expression {
            of: &[
                ("h", visible(HIGH, "Minimum")),
                ("hh", hidden(HIGH, "Minimum")),
                ("hd", deleted(HIGH)),
                ("n", visible(NORMAL, "Minimum")),
                ("nh", hidden(NORMAL, "Minimum")),
                ("nd", deleted(NORMAL)),
                ("b", visible(BATCH, "Minimum")),
                ("bh", hidden(BATCH, "Minimum")),
                ("bd", deleted(BATCH)),
            ],
            expression: "IF((FILL(h,0)+FILL(hh,0)+FILL(n,0)+FILL(nh,0)+FILL(b,0)+FILL(bh,0)>0) \
                         AND (FILL(hd,0)+FILL(nd,0)+FILL(bd,0)<1),1,0)",
        },
        period_secs: MINUTES_15,
        periods: 2,
        at_least: Threshold::Number(1),
    },
    Alarm {
        name: "MappingFails",
        tells: "Rings wait, and Lambda's mapping starts no worker",
        signal: Signal::Expression {
            of: &[
                ("waiting", visible(Queue::Doorbell, "Minimum")),
                ("failed", of_mapping("FailedInvokeEventCount")),
                ("invoked", of_mapping("InvokedEventCount")),
            ],
            expression: "IF((FILL(waiting,0)+FILL(failed,0)>0) AND (FILL(invoked,0)<1),1,0)",
        },
        period_secs: MINUTES_15,
        periods: 1,
        at_least: Threshold::Number(1),
    },
    Alarm {
        name: "HighWaitsTooLong",
        tells: "A HIGH call waited, or waits, for its turn for longer than HighWaitAlarmSeconds",
        // The worker tells of a wait when it is over; one that goes on is SQS's to tell.
        signal: Signal::Expression {
            of: &[
                ("wait", of_calls("QueueWaitMs", High, "Maximum")),
                ("waiting", visible(HIGH, "Minimum")),
                ("age", age(HIGH)),
            ],
            expression: "MAX([FILL(wait,0)/1000,IF(FILL(waiting,0)>0,FILL(age,0),0)])",
        },
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Parameter("HighWaitAlarmSeconds"),
    },
    Alarm {
        name: "CallsWaitTooLong",
        tells: "The oldest call is older than WaitAlarmSeconds and may come to its deadline",
        signal: Signal::Expression {
            of: &[("h", age(HIGH)), ("n", age(NORMAL)), ("b", age(BATCH))],
            expression: "MAX([FILL(h,0),FILL(n,0),FILL(b,0)])",
        },
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Parameter("WaitAlarmSeconds"),
    },
    Alarm {
        name: "DeadLetters",
        tells: "A call could not be run, or a person must say what became of it",
        signal: Signal::Metric(visible(Queue::DeadLetters, "Maximum")),
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Number(1),
    },
    Alarm {
        name: "CredentialsRefused",
        tells: "The API refuses the credentials, and calls wait for that",
        signal: Signal::Expression {
            of: &[
                ("h", calls(&[("Priority", Value::Text("HIGH")), ("Outcome", REFUSED)])),
                ("n", calls(&[("Priority", Value::Text("NORMAL")), ("Outcome", REFUSED)])),
                ("b", calls(&[("Priority", Value::Text("BATCH")), ("Outcome", REFUSED)])),
            ],
            expression: "FILL(h,0)+FILL(n,0)+FILL(b,0)",
        },
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Number(3),
    },
    Alarm {
        name: "OutcomesUnknown",
        tells: "The API does not answer: of several calls nobody knows whether they were executed",
        signal: Signal::Expression {
            of: &[
                ("h", calls(&[("Priority", Value::Text("HIGH")), ("Outcome", UNKNOWN)])),
                ("n", calls(&[("Priority", Value::Text("NORMAL")), ("Outcome", UNKNOWN)])),
                ("b", calls(&[("Priority", Value::Text("BATCH")), ("Outcome", UNKNOWN)])),
            ],
            expression: "FILL(h,0)+FILL(n,0)+FILL(b,0)",
        },
        period_secs: MINUTES_15,
        periods: 1,
        at_least: Threshold::Number(5),
    },
    Alarm {
        name: "CallsPutOff",
        tells: "The worker cannot do its part: callbacks, the guard's table or its queues refuse it",
        signal: Signal::Expression {
            of: &[
                ("h", calls(&[("Priority", Value::Text("HIGH")), ("Outcome", LATER)])),
                ("n", calls(&[("Priority", Value::Text("NORMAL")), ("Outcome", LATER)])),
                ("b", calls(&[("Priority", Value::Text("BATCH")), ("Outcome", LATER)])),
                ("hf", calls(&[("Priority", Value::Text("HIGH")), ("Outcome", UNRUNG)])),
                ("nf", calls(&[("Priority", Value::Text("NORMAL")), ("Outcome", UNRUNG)])),
                ("bf", calls(&[("Priority", Value::Text("BATCH")), ("Outcome", UNRUNG)])),
            ],
            expression: "FILL(h,0)+FILL(n,0)+FILL(b,0)+FILL(hf,0)+FILL(nf,0)+FILL(bf,0)",
        },
        period_secs: MINUTES_5,
        periods: 2,
        at_least: Threshold::Number(5),
    },
    Alarm {
        name: "WorkerErrors",
        tells: "Invocations of the worker end in an error: killed, out of memory, or never started",
        signal: Signal::Metric(of_worker("Errors", "Sum")),
        period_secs: MINUTES_15,
        periods: 1,
        at_least: Threshold::Number(3),
    },
    Alarm {
        name: "WorkerOutOfTime",
        tells: "A slot worked until just before Lambda would kill it",
        signal: Signal::Metric(of_worker("Duration", "Maximum")),
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::ByApiTimeout("OutOfTimeMs"),
    },
    Alarm {
        name: "WorkerRunsInVain",
        tells: "Invocations follow one another and end no call: rings go round in circles",
        signal: Signal::Expression {
            of: &[
                ("runs", of_worker("Invocations", "Sum")),
                ("h", deleted(HIGH)),
                ("n", deleted(NORMAL)),
                ("b", deleted(BATCH)),
            ],
            expression: "FILL(runs,0)/(1+FILL(h,0)+FILL(n,0)+FILL(b,0))",
        },
        period_secs: MINUTES_15,
        periods: 2,
        // With deferral a call may give way up to fifty times.
        at_least: Threshold::Number(60),
    },
    Alarm {
        name: "RingsDiscarded",
        tells: "Lambda takes the worker for an endless loop and discards its rings",
        signal: Signal::Metric(of_worker("RecursiveInvocationsDropped", "Sum")),
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Number(1),
    },
    Alarm {
        name: "EnqueuerErrors",
        tells: "Workflows cannot put their calls on a queue",
        signal: Signal::Expression {
            of: &[("errors", of_enqueuer("Errors")), ("throttles", of_enqueuer("Throttles"))],
            expression: "FILL(errors,0)+FILL(throttles,0)",
        },
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Number(5),
    },
    Alarm {
        name: "ApiThrottles",
        tells: "The API answers that it is over its limit, which the worker keeps",
        signal: Signal::Metric(of_slots("Throttles")),
        period_secs: MINUTES_5,
        periods: 3,
        at_least: Threshold::Number(20),
    },
    Alarm {
        name: "GuardThrottled",
        tells: "DynamoDB throttles the guard's table",
        signal: Signal::Expression {
            of: &[
                ("writes", of_table("WriteThrottleEvents")),
                ("reads", of_table("ReadThrottleEvents")),
            ],
            expression: "FILL(writes,0)+FILL(reads,0)",
        },
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Number(10),
    },
    Alarm {
        name: "TablesUnreached",
        tells: "Tables of limits or of usage do not answer: calls go on, also beyond budgets",
        signal: Signal::Expression {
            of: &[("limits", of_slots("LimitsUnreached")), ("usage", of_slots("UsageUnreached"))],
            expression: "FILL(limits,0)+FILL(usage,0)",
        },
        period_secs: MINUTES_5,
        periods: 1,
        at_least: Threshold::Number(5),
    },
    Alarm {
        name: "WorkflowsThrottled",
        tells: "Step Functions throttles the workflows' state transitions",
        signal: Signal::Expression {
            of: &[
                ("calls", of_throttled_call("ExecutionThrottled")),
                ("orders", of_sales_order_sync("ExecutionThrottled")),
            ],
            expression: "FILL(calls,0)+FILL(orders,0)",
        },
        period_secs: MINUTES_5,
        periods: 2,
        at_least: Threshold::Number(10),
    },
    Alarm {
        name: "SecretEnds",
        tells: "The API's credentials end within two weeks, by what the vendor says of them",
        signal: Signal::Expression {
            of: &[("days", of_slots("SecretEndsInDays").by("Minimum"))],
            expression: SECRET_ENDS,
        },
        period_secs: A_DAY,
        periods: 1,
        at_least: Threshold::Number(1),
    },
];

/// So many days are enough to make new credentials in working hours, and to try them.
const SECRET_ENDS: &str = "IF(FILL(days,999)<14,1,0)";

const UNKNOWN: Value = Value::Text("unknown");
const LATER: Value = Value::Text("tried-again-later");
const UNRUNG: Value = Value::Text("unrung");
const REFUSED: Value = Value::Text("credentials-refused");
