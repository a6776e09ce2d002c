//! The cloud as a program sees it: through the AWS SDK, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use serde_json::{Value, json};
use slowlane_aws_simulator::chance::{Dice, Latency};
use slowlane_aws_simulator::cloud::dynamodb::TableSettings;
use slowlane_aws_simulator::cloud::lambda::{Failure, FunctionId, FunctionSettings};
use slowlane_aws_simulator::cloud::mapping::MappingSettings;
use slowlane_aws_simulator::cloud::sqs::{QueueId, QueueSettings, Redrive};
use slowlane_aws_simulator::cloud::{
    Cloud, CloudSettings, Context, Environment, Functions, Input, Waited,
};
use slowlane_aws_simulator::faults::{Fault, Faults, Rates};
use slowlane_aws_simulator::time::{Skew, in_virtual_time};
use slowlane_aws_simulator::transcript::Caller;

fn queue(cloud: &Cloud, name: &str, visibility_secs: u64, redrive: Option<Redrive>) -> QueueId {
    cloud.create_queue(QueueSettings {
        name: name.to_owned(),
        visibility: Duration::from_secs(visibility_secs),
        redrive,
        retention: Duration::from_secs(4 * 86_400),
    })
}

fn sqs(cloud: &Cloud) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&cloud.sdk(Caller::Person, Skew::NONE))
}

/// Runs `work` on a cloud whose requests take 6 ms.
fn on_a_cloud<T, F: Future<Output = T>>(work: impl FnOnce(Cloud) -> F) -> T {
    in_virtual_time(async {
        let mut settings = CloudSettings::new(1);
        settings.latency = Latency::fixed_ms(6);
        work(Cloud::new(settings)).await
    })
    .unwrap()
}

#[test]
fn a_message_is_hidden_while_in_flight_and_comes_back() {
    on_a_cloud(|cloud| async move {
        queue(&cloud, "work", 30, None);
        let sqs = sqs(&cloud);
        sqs.send_message()
            .queue_url("https://sqs/1/work")
            .message_body("one")
            .send()
            .await
            .unwrap();
        let receive = async |wait| {
            let ask = sqs.receive_message().queue_url("https://sqs/1/work").wait_time_seconds(wait);
            let ask = ask.message_system_attribute_names(MessageSystemAttributeName::All);
            ask.send().await.unwrap().messages.unwrap_or_default()
        };
        let first = receive(1).await;
        assert_eq!(first[0].body(), Some("one"));
        let count = |message: &aws_sdk_sqs::types::Message| {
            message.attributes.as_ref().unwrap()
                [&MessageSystemAttributeName::ApproximateReceiveCount]
                .clone()
        };
        assert_eq!(count(&first[0]), "1");
        assert!(receive(20).await.is_empty());
        // It becomes visible during the second long poll, 30 s after the receive at 9 ms.
        let before = cloud.now();
        let second = receive(20).await;
        assert_eq!(count(&second[0]), "2");
        assert_eq!(before.millis(), 12 + 20_006);
        assert_eq!(cloud.now().millis(), 9 + 30_000 + 3);

        let old = first[0].receipt_handle().unwrap();
        let delete = async |receipt: &str| {
            sqs.delete_message()
                .queue_url("https://sqs/1/work")
                .receipt_handle(receipt)
                .send()
                .await
                .unwrap()
        };
        delete(old).await;
        assert_eq!(receive(20).await.len() + receive(20).await.len(), 1, "a stale receipt deleted");
    });
}

#[test]
fn giving_back_makes_visible_and_a_delay_hides() {
    on_a_cloud(|cloud| async move {
        queue(&cloud, "work", 600, None);
        let sqs = sqs(&cloud);
        sqs.send_message()
            .queue_url("x/work")
            .message_body("m")
            .delay_seconds(5)
            .send()
            .await
            .unwrap();
        let receive = async || {
            let ask = sqs.receive_message().queue_url("x/work").wait_time_seconds(20);
            ask.send().await.unwrap().messages.unwrap_or_default()
        };
        let receipt = receive().await[0].receipt_handle.clone().unwrap();
        assert_eq!(cloud.now().millis(), 3 + 5_000 + 3);
        let give_back = async |seconds| {
            let change =
                sqs.change_message_visibility().queue_url("x/work").receipt_handle(&receipt);
            change.visibility_timeout(seconds).send().await
        };
        give_back(2).await.unwrap();
        receive().await;
        assert_eq!(cloud.now().millis(), 5_006 + 3 + 2_000 + 3);
        let stale = give_back(0).await.unwrap_err().into_service_error();
        assert!(stale.to_string().contains("InvalidParameterValue"), "{stale:?}");
    });
}

#[test]
fn a_message_is_buried_when_its_receives_are_used_up() {
    on_a_cloud(|cloud| async move {
        let dead = queue(&cloud, "dead", 30, None);
        queue(&cloud, "work", 1, Some(Redrive { to: dead, max_receive_count: 2 }));
        let sqs = sqs(&cloud);
        sqs.send_message().queue_url("x/work").message_body("m").send().await.unwrap();
        let receive = async |name| {
            let ask = sqs.receive_message().queue_url(format!("x/{name}")).wait_time_seconds(3);
            ask.send().await.unwrap().messages.unwrap_or_default().len()
        };
        assert_eq!(receive("work").await, 1);
        assert_eq!(receive("work").await, 1);
        assert_eq!(receive("work").await, 0);
        assert_eq!(receive("dead").await, 1);
        assert_eq!(cloud.state().sqs.bodies(dead).collect::<Vec<_>>(), ["m"]);
    });
}

#[test]
fn short_polls_miss_and_long_polls_do_not() {
    on_a_cloud(|cloud| async move {
        queue(&cloud, "work", 0, None);
        let sqs = sqs(&cloud);
        sqs.send_message().queue_url("x/work").message_body("m").send().await.unwrap();
        let mut found = [0, 0];
        for round in 0..400 {
            let wait = round % 2;
            let ask = sqs.receive_message().queue_url("x/work").wait_time_seconds(wait);
            let got = ask.visibility_timeout(0).send().await.unwrap().messages.unwrap_or_default();
            found[wait as usize] += got.len();
        }
        assert_eq!(found[1], 200);
        assert!((170..200).contains(&found[0]), "{} of 200 short polls found it", found[0]);
    });
}

#[test]
fn a_batch_request_reports_each_entry() {
    on_a_cloud(|cloud| async move {
        queue(&cloud, "work", 30, None);
        let sqs = sqs(&cloud);
        sqs.send_message().queue_url("x/work").message_body("m").send().await.unwrap();
        let got =
            sqs.receive_message().queue_url("x/work").wait_time_seconds(1).send().await.unwrap();
        let receipt = got.messages.unwrap()[0].receipt_handle.clone().unwrap();
        let entry = |id: &str, receipt: &str| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(receipt)
                .build()
                .unwrap()
        };
        let deleted = sqs
            .delete_message_batch()
            .queue_url("x/work")
            .entries(entry("good", &receipt))
            .entries(entry("bad", "no receipt"))
            .send()
            .await
            .unwrap();
        assert_eq!(deleted.successful()[0].id(), "good");
        assert_eq!(deleted.failed()[0].code(), "ReceiptHandleIsInvalid");
    });
}

#[test]
fn a_failed_condition_shows_the_item_that_stood_in_the_way() {
    on_a_cloud(|cloud| async move {
        cloud.state().dynamo.create(TableSettings {
            name: "guard".to_owned(),
            key: "id".to_owned(),
            ttl: Some("expires_at".to_owned()),
        });
        let dynamo = aws_sdk_dynamodb::Client::new(&cloud.sdk(Caller::Person, Skew::NONE));
        let claim = async |owner: &str| {
            dynamo
                .update_item()
                .table_name("guard")
                .key("id", AttributeValue::S("k".to_owned()))
                .update_expression("SET #o = :o ADD attempt :one")
                .condition_expression("attribute_not_exists(id) OR #o = :o")
                .expression_attribute_names("#o", "owner")
                .expression_attribute_values(":o", AttributeValue::S(owner.to_owned()))
                .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .send()
                .await
        };
        claim("a").await.unwrap();
        claim("a").await.unwrap();
        let refused = claim("b").await.unwrap_err().into_service_error();
        let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) =
            refused
        else {
            panic!("{refused:?}");
        };
        let item = refused.item().unwrap();
        assert_eq!(item["owner"], AttributeValue::S("a".to_owned()));
        assert_eq!(item["attempt"], AttributeValue::N("2".to_owned()));
    });
}

#[test]
fn a_callback_wakes_its_execution_and_a_late_one_is_told() {
    on_a_cloud(|cloud| async move {
        let sfn = aws_sdk_sfn::Client::new(&cloud.sdk(Caller::Person, Skew::NONE));
        let task = cloud.begin_task();
        let token = task.token().to_string();
        let waits = tokio::spawn({
            let cloud = cloud.clone();
            async move { cloud.wait_for(task, Duration::from_secs(60)).await }
        });
        sfn.send_task_heartbeat().task_token(&token).send().await.unwrap();
        sfn.send_task_success().task_token(&token).output("{\"id\":1}").send().await.unwrap();
        let Waited::Ended(ended) = waits.await.unwrap() else {
            panic!("the execution was not woken");
        };
        assert_eq!(format!("{ended:?}"), "Succeeded(\"{\\\"id\\\":1}\")");
        let again = sfn.send_task_success().task_token(&token).output("{}").send().await;
        assert!(again.unwrap_err().into_service_error().is_task_timed_out());

        let late = cloud.begin_task();
        let token = late.token().to_string();
        assert_eq!(cloud.wait_for(late, Duration::from_secs(5)).await, Waited::TimedOut);
        let beat = sfn.send_task_heartbeat().task_token(&token).send().await;
        assert!(beat.unwrap_err().into_service_error().is_task_timed_out());

        let stopped = cloud.begin_task();
        let token = stopped.token();
        assert!(cloud.state().stop(token, cloud.now()));
        assert_eq!(cloud.wait_for(stopped, Duration::from_secs(5)).await, Waited::Stopped);
    });
}

/// A function that sleeps, and remembers how many of its invocations ran at once.
struct Sleeper {
    work: Duration,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    running: u32,
    most: u32,
    finished: u32,
    started: u32,
}

impl Environment for Sleeper {
    fn handle(
        self: Rc<Self>,
        _: Input,
        _: Context,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Value, String>>>> {
        Box::pin(async move {
            {
                let mut log = self.log.lock().unwrap();
                log.started += 1;
                log.running += 1;
                log.most = log.most.max(log.running);
            }
            struct Leave(Arc<Mutex<Log>>);
            impl Drop for Leave {
                fn drop(&mut self) {
                    self.0.lock().unwrap().running -= 1;
                }
            }
            let _leave = Leave(self.log.clone());
            for _ in 0..10 {
                tokio::time::sleep(self.work / 10).await;
            }
            self.log.lock().unwrap().finished += 1;
            Ok(json!({}))
        })
    }
}

fn sleeper(
    functions: &Functions,
    concurrency: u32,
    timeout_secs: u64,
    work_ms: u64,
) -> (FunctionId, Arc<Mutex<Log>>) {
    let log = Arc::new(Mutex::new(Log::default()));
    let settings = FunctionSettings {
        name: "sleeper".to_owned(),
        concurrency,
        timeout: Duration::from_secs(timeout_secs),
        event_age: Duration::from_secs(60),
        memory_mb: 128,
        cold_start: Latency::fixed_ms(80),
    };
    let boot_log = log.clone();
    let function = functions.create(
        settings,
        Rc::new(move |_, _| {
            let work = Duration::from_millis(work_ms);
            Rc::new(Sleeper { work, log: boot_log.clone() })
        }),
    );
    (function, log)
}

#[test]
fn a_mapping_keeps_the_reserved_concurrency_and_loses_nothing() {
    on_a_cloud(|cloud| async move {
        let dead = queue(&cloud, "dead", 30, None);
        let ring = queue(&cloud, "ring", 600, Some(Redrive { to: dead, max_receive_count: 5 }));
        let functions = Functions::new(cloud.clone());
        let (function, log) = sleeper(&functions, 1, 60, 1_000);
        functions.create_mapping(MappingSettings {
            queue: ring,
            function,
            batch_size: 1,
            maximum_concurrency: Some(2),
            reports_failures: true,
        });
        let sqs = sqs(&cloud);
        for _ in 0..20 {
            sqs.send_message().queue_url("x/ring").message_body("m").send().await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        let log = log.lock().unwrap();
        assert_eq!((log.most, log.finished), (1, 20));
        let bill = functions.bill(function);
        assert_eq!(bill.cold_starts, 1);
        assert!(bill.throttled > 5, "{bill:?}");
    });
}

#[test]
fn a_timeout_kills_and_the_message_comes_back_after_its_visibility_timeout() {
    on_a_cloud(|cloud| async move {
        let ring = queue(&cloud, "ring", 100, None);
        let functions = Functions::new(cloud.clone());
        let (function, log) = sleeper(&functions, 1, 5, 60_000);
        functions.create_mapping(MappingSettings {
            queue: ring,
            function,
            batch_size: 1,
            maximum_concurrency: Some(2),
            reports_failures: true,
        });
        sqs(&cloud).send_message().queue_url("x/ring").message_body("m").send().await.unwrap();
        tokio::time::sleep(Duration::from_secs(99)).await;
        let seen = || {
            let log = log.lock().unwrap();
            (log.started, log.running)
        };
        assert_eq!(seen(), (1, 0));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(seen().0, 2);
        // A killed environment is not used again.
        assert_eq!(functions.bill(function).cold_starts, 2);
    });
}

/// An asynchronous invocation waits for a slot, with pauses of 1, 2, 4, 8 ... s, and is dropped when
/// it is a minute old.
#[test]
fn an_asynchronous_invocation_is_tried_again_until_it_is_too_old() {
    for (first_ms, runs) in [(2_500, 2), (59_000, 1)] {
        on_a_cloud(|cloud| async move {
            let functions = Functions::new(cloud.clone());
            let (function, log) = sleeper(&functions, 1, 600, first_ms);
            let first = functions.invoke(function, Input::Payload(json!({})));
            let lambda = aws_sdk_lambda::Client::new(&cloud.sdk(Caller::Person, Skew::NONE));
            let second = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let event = lambda.invoke().function_name("sleeper");
                let event = event.invocation_type(InvocationType::Event);
                let taken = event.payload(Blob::new("{}")).send().await.unwrap();
                assert_eq!(taken.status_code(), 202);
            };
            let (first, ()) = tokio::join!(first, second);
            first.unwrap();
            tokio::time::sleep(Duration::from_secs(200)).await;
            let log = log.lock().unwrap();
            assert_eq!((log.finished, log.most), (runs, 1));
        });
    }
}

#[test]
fn a_crash_strikes_at_every_await_point() {
    let mut finished_tenths = std::collections::BTreeSet::new();
    for seed in 0..60 {
        in_virtual_time(async {
            let mut rates = Rates::default();
            rates.set(Fault::Crash, 1.0);
            let mut settings = CloudSettings::new(seed);
            settings.faults = Faults::new(rates, Default::default(), Dice::new(seed, 9));
            settings.latency = Latency::fixed_ms(0);
            let cloud = Cloud::new(settings);
            let functions = Functions::new(cloud.clone());
            let (function, _) = sleeper(&functions, 1, 60, 100);
            let before = cloud.now();
            match functions.invoke(function, Input::Payload(json!({}))).await {
                Err(Failure::Crashed) => {
                    let ran = cloud.now().since(before).as_millis() - 80;
                    finished_tenths.insert(ran / 10);
                }
                Ok(_) => {}
                other => panic!("{other:?}"),
            }
        })
        .unwrap();
    }
    assert!(finished_tenths.len() >= 4, "crashes came at {finished_tenths:?} of ten await points");
}

/// A worker of five lines: takes messages and deletes them, and does not mind faults.
fn history(seed: u64, faults: bool) -> (u64, u64) {
    in_virtual_time(async {
        let mut settings = CloudSettings::new(seed);
        if faults {
            let mut rates = Rates::default();
            for fault in Fault::ALL {
                rates.set(fault, 0.05);
            }
            settings.faults = Faults::new(rates, Default::default(), Dice::new(seed, 9));
        }
        let cloud = Cloud::new(settings);
        let ring = queue(&cloud, "ring", 60, None);
        let functions = Functions::new(cloud.clone());
        let (function, _) = sleeper(&functions, 2, 10, 200);
        functions.create_mapping(MappingSettings {
            queue: ring,
            function,
            batch_size: 1,
            maximum_concurrency: Some(5),
            reports_failures: true,
        });
        let sqs = sqs(&cloud);
        for _ in 0..100 {
            // With faults a send may fail.
            let _ = sqs.send_message().queue_url("x/ring").message_body("m").send().await;
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        let state = cloud.state();
        (state.transcript.hash(), state.transcript.events())
    })
    .unwrap()
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for faults in [false, true] {
        let (hash, events) = history(3, faults);
        assert!(events > 300, "{events} events");
        assert_eq!((hash, events), history(3, faults));
        assert_ne!(hash, history(4, faults).0);
    }
}

/// Three messages of a noisy group were sent before one of a quiet group. Nobody has confirmed which
/// comes second.
#[test]
fn a_queue_may_serve_a_quiet_group_first_or_take_no_notice_of_groups() {
    for (fair, expected) in
        [(0.0, ["noisy", "noisy", "noisy", "quiet"]), (1.0, ["noisy", "quiet", "noisy", "noisy"])]
    {
        let served = in_virtual_time(async move {
            let mut settings = CloudSettings::new(1);
            settings.parameters.set("short_poll_miss", 0.0).unwrap();
            settings.parameters.set("fair_queues", fair).unwrap();
            let cloud = Cloud::new(settings);
            queue(&cloud, "work", 30, None);
            let sqs = sqs(&cloud);
            for group in ["noisy", "noisy", "noisy", "quiet"] {
                let send = sqs.send_message().queue_url("https://sqs/1/work").message_body(group);
                send.message_group_id(group).send().await.unwrap();
            }
            let mut served = Vec::new();
            for _ in 0..4 {
                let ask =
                    sqs.receive_message().queue_url("https://sqs/1/work").wait_time_seconds(1);
                let message = ask.send().await.unwrap().messages.unwrap().remove(0);
                served.push(message.body.unwrap());
            }
            served
        });
        assert_eq!(served.unwrap(), expected, "fair: {fair}");
    }
}
