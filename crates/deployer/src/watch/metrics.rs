//! Metrics of a stack, by what they are about.

use slowlane_message::Priority;

/// A metric of this stack, with how its values of a period become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Whose metric it is.
    pub namespace: Namespace,
    /// As CloudWatch names it.
    pub name: &'static str,
    /// What it is about: name and value of each dimension.
    pub dimensions: &'static [(&'static str, Value)],
    /// CloudWatch's statistic: `Sum`, `Minimum`, `Maximum`, `p50`, `p99`.
    pub statistic: &'static str,
}

/// Whose a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// The worker's own, in `Slowlane/STACK`.
    Slowlane,
    /// A namespace of AWS, such as `AWS/SQS`.
    Aws(&'static str),
}

/// The value of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(&'static str),
    /// The template's `Ref` of a resource.
    Ref(&'static str),
    /// An attribute of a resource.
    Attribute(&'static str, &'static str),
    /// With the doorbell the first, which is of a resource that only that wiring has; with
    /// deferral the second.
    ByDispatch(&'static Value, &'static Value),
}

impl Metric {
    const fn new(
        namespace: Namespace,
        name: &'static str,
        dimensions: &'static [(&'static str, Value)],
        statistic: &'static str,
    ) -> Self {
        Self { namespace, name, dimensions, statistic }
    }

    /// The same metric by another statistic.
    #[must_use]
    pub const fn by(self, statistic: &'static str) -> Self {
        Self { statistic, ..self }
    }

    /// Whether the two are the same metric, by whichever statistic.
    pub fn is_same(&self, other: &Self) -> bool {
        *self == other.by(self.statistic)
    }
}

// ---- The worker's own ------------------------------------------------------------------------------

const HIGH: &[(&str, Value)] = &[("Priority", Value::Text("HIGH"))];
const NORMAL: &[(&str, Value)] = &[("Priority", Value::Text("NORMAL"))];
const BATCH: &[(&str, Value)] = &[("Priority", Value::Text("BATCH"))];

/// A metric of the worker about the calls of a priority.
pub const fn of_calls(name: &'static str, priority: Priority, statistic: &'static str) -> Metric {
    let dimensions = match priority {
        Priority::High => HIGH,
        Priority::Normal => NORMAL,
        Priority::Batch => BATCH,
    };
    Metric::new(Namespace::Slowlane, name, dimensions, statistic)
}

/// How many calls of a priority had an outcome. The dimensions are written out because a constant
/// cannot put them together.
pub const fn calls(dimensions: &'static [(&'static str, Value); 2]) -> Metric {
    Metric::new(Namespace::Slowlane, "Calls", dimensions, "Sum")
}

/// A metric of the worker about an invocation.
pub const fn of_slots(name: &'static str) -> Metric {
    Metric::new(Namespace::Slowlane, name, &[], "Sum")
}

// ---- AWS's -----------------------------------------------------------------------------------------

/// A queue of the template.
#[derive(Debug, Clone, Copy)]
pub enum Queue {
    /// The calls of a priority.
    Calls(Priority),
    /// The rings; with deferral, which has none, the HIGH calls.
    Doorbell,
    /// The calls that could not be run.
    DeadLetters,
}

const HIGH_QUEUE: Value = Value::Attribute("HighQueue", "QueueName");
const DOORBELL_QUEUE: Value = Value::Attribute("DoorbellQueue", "QueueName");

/// A metric of SQS.
pub const fn of_queue(name: &'static str, queue: Queue, statistic: &'static str) -> Metric {
    let dimensions: &'static [_] = match queue {
        Queue::Calls(Priority::High) => &[("QueueName", HIGH_QUEUE)],
        Queue::Calls(Priority::Normal) => {
            &[("QueueName", Value::Attribute("NormalQueue", "QueueName"))]
        }
        Queue::Calls(Priority::Batch) => {
            &[("QueueName", Value::Attribute("BatchQueue", "QueueName"))]
        }
        Queue::Doorbell => &[("QueueName", Value::ByDispatch(&DOORBELL_QUEUE, &HIGH_QUEUE))],
        Queue::DeadLetters => &[("QueueName", Value::Attribute("DeadLetterQueue", "QueueName"))],
    };
    Metric::new(Namespace::Aws("AWS/SQS"), name, dimensions, statistic)
}

/// Messages that can be received.
pub const fn visible(queue: Queue, statistic: &'static str) -> Metric {
    of_queue("ApproximateNumberOfMessagesVisible", queue, statistic)
}

/// Messages that are received and not yet deleted, or put back for later.
pub const fn hidden(queue: Queue, statistic: &'static str) -> Metric {
    of_queue("ApproximateNumberOfMessagesNotVisible", queue, statistic)
}

/// Messages that were deleted: calls that came to their end.
pub const fn deleted(queue: Queue) -> Metric {
    of_queue("NumberOfMessagesDeleted", queue, "Sum")
}

/// The age of the oldest message in seconds. SQS leaves those out that were received three times
/// or more.
pub const fn age(queue: Queue) -> Metric {
    of_queue("ApproximateAgeOfOldestMessage", queue, "Maximum")
}

/// A metric of Lambda about the worker.
pub const fn of_worker(name: &'static str, statistic: &'static str) -> Metric {
    let worker = &[("FunctionName", Value::Ref("WorkerFunction"))];
    Metric::new(Namespace::Aws("AWS/Lambda"), name, worker, statistic)
}

/// A metric of Lambda about the enqueuer.
pub const fn of_enqueuer(name: &'static str) -> Metric {
    let enqueuer = &[("FunctionName", Value::Ref("EnqueuerFunction"))];
    Metric::new(Namespace::Aws("AWS/Lambda"), name, enqueuer, "Sum")
}

/// A metric of Lambda about the mapping that reads the doorbell; with deferral, HIGH's stands for the
/// three.
pub const fn of_mapping(name: &'static str) -> Metric {
    let mapping = &[(
        "EventSourceMappingUUID",
        Value::ByDispatch(&Value::Ref("DoorbellMapping"), &Value::Ref("HighMapping")),
    )];
    Metric::new(Namespace::Aws("AWS/Lambda"), name, mapping, "Sum")
}

/// A metric of DynamoDB about the guard's table.
pub const fn of_table(name: &'static str) -> Metric {
    let table = &[("TableName", Value::Ref("IdempotencyTable"))];
    Metric::new(Namespace::Aws("AWS/DynamoDB"), name, table, "Sum")
}

/// A metric of Step Functions about `throttled-call`.
pub const fn of_throttled_call(name: &'static str) -> Metric {
    let machine = &[("StateMachineArn", Value::Ref("ThrottledCall"))];
    Metric::new(Namespace::Aws("AWS/States"), name, machine, "Sum")
}

/// A metric of Step Functions about `sales-order-sync`.
pub const fn of_sales_order_sync(name: &'static str) -> Metric {
    let machine = &[("StateMachineArn", Value::Ref("SalesOrderSync"))];
    Metric::new(Namespace::Aws("AWS/States"), name, machine, "Sum")
}
