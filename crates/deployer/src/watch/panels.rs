use super::metrics::{
    Metric, Queue, age, deleted, hidden, of_calls, of_enqueuer, of_mapping, of_sales_order_sync,
    of_slots, of_table, of_throttled_call, of_worker, visible,
};
use super::{Line, Panel};
use slowlane_message::Priority::{Batch, High, Normal};

const HIGH: Queue = Queue::Calls(High);
const NORMAL: Queue = Queue::Calls(Normal);
const BATCH: Queue = Queue::Calls(Batch);

const fn line(label: &'static str, metric: Metric) -> (&'static str, Line) {
    (label, Line::Metric(metric))
}

/// The dashboard, from what a caller feels to what it costs.
pub const PANELS: [Panel; 15] = [
    Panel {
        title: "Waiting for their turn (ms, p99)",
        lines: &[
            line("HIGH", of_calls("QueueWaitMs", High, "p99")),
            line("NORMAL", of_calls("QueueWaitMs", Normal, "p99")),
            line("BATCH", of_calls("QueueWaitMs", Batch, "p99")),
        ],
        level: None,
    },
    Panel {
        title: "Age of the oldest call (s)",
        lines: &[line("HIGH", age(HIGH)), line("NORMAL", age(NORMAL)), line("BATCH", age(BATCH))],
        level: Some(("alarm", "WaitAlarmSeconds")),
    },
    Panel {
        title: "Calls that wait, and that are received or put back",
        lines: &[
            line("HIGH wait", visible(HIGH, "Maximum")),
            line("NORMAL wait", visible(NORMAL, "Maximum")),
            line("BATCH wait", visible(BATCH, "Maximum")),
            line("HIGH received", hidden(HIGH, "Maximum")),
            line("NORMAL received", hidden(NORMAL, "Maximum")),
            line("BATCH received", hidden(BATCH, "Maximum")),
        ],
        level: None,
    },
    Panel {
        title: "Calls that ended, by priority",
        lines: &[
            line("HIGH", deleted(HIGH)),
            line("NORMAL", deleted(NORMAL)),
            line("BATCH", deleted(BATCH)),
        ],
        level: None,
    },
    Panel {
        title: "What became of calls, by priority and outcome",
        lines: &[("", Line::CallsByOutcome)],
        level: None,
    },
    Panel {
        title: "Slots in use",
        lines: &[line("slots", of_worker("ConcurrentExecutions", "Maximum"))],
        level: Some(("limit", "ApiConcurrency")),
    },
    Panel {
        title: "The API's latency (ms)",
        lines: &[
            line("HIGH p50", of_calls("ApiLatencyMs", High, "p50")),
            line("NORMAL p50", of_calls("ApiLatencyMs", Normal, "p50")),
            line("BATCH p50", of_calls("ApiLatencyMs", Batch, "p50")),
            line("HIGH p99", of_calls("ApiLatencyMs", High, "p99")),
            line("NORMAL p99", of_calls("ApiLatencyMs", Normal, "p99")),
            line("BATCH p99", of_calls("ApiLatencyMs", Batch, "p99")),
        ],
        level: None,
    },
    Panel {
        title: "Over the API's limit; given back; given way",
        lines: &[
            line("answers 429", of_slots("Throttles")),
            line("give-backs", of_slots("GiveBacks")),
            line("deferrals", of_slots("Deferrals")),
        ],
        level: None,
    },
    Panel {
        title: "Until the API's credentials end (days), where that is known",
        lines: &[line("days", of_slots("SecretEndsInDays").by("Minimum"))],
        level: None,
    },
    Panel {
        title: "Dead letters",
        lines: &[line("dead letters", visible(Queue::DeadLetters, "Maximum"))],
        level: None,
    },
    Panel {
        title: "Invocations and rings",
        lines: &[
            line("invocations", of_worker("Invocations", "Sum")),
            line("empty rings", of_slots("EmptyRings")),
            line("slots woken", of_slots("SlotsWoken")),
            line("rings waiting", visible(Queue::Doorbell, "Maximum")),
            line("rings discarded", of_worker("RecursiveInvocationsDropped", "Sum")),
        ],
        level: None,
    },
    Panel {
        title: "The mapping that wakes slots (events)",
        lines: &[
            line("polled", of_mapping("PolledEventCount")),
            line("invoked", of_mapping("InvokedEventCount")),
            line("failed", of_mapping("FailedInvokeEventCount")),
        ],
        level: None,
    },
    Panel {
        title: "Errors and throttles of the Lambdas; the longest invocation (ms)",
        lines: &[
            line("worker errors", of_worker("Errors", "Sum")),
            line("worker throttles", of_worker("Throttles", "Sum")),
            line("enqueuer errors", of_enqueuer("Errors")),
            line("enqueuer throttles", of_enqueuer("Throttles")),
            line("longest", of_worker("Duration", "Maximum")),
        ],
        level: None,
    },
    Panel {
        title: "Workflows",
        lines: &[
            line("orders failed", of_sales_order_sync("ExecutionsFailed")),
            line("calls failed", of_throttled_call("ExecutionsFailed")),
            line("orders throttled", of_sales_order_sync("ExecutionThrottled")),
            line("calls throttled", of_throttled_call("ExecutionThrottled")),
        ],
        level: None,
    },
    Panel {
        title: "The guard's table; requests that tables of limits and of usage did not answer",
        lines: &[
            line("write units", of_table("ConsumedWriteCapacityUnits")),
            line("writes throttled", of_table("WriteThrottleEvents")),
            line("reads throttled", of_table("ReadThrottleEvents")),
            line("limits unreached", of_slots("LimitsUnreached")),
            line("usage unreached", of_slots("UsageUnreached")),
        ],
        level: None,
    },
];
