//! RESTlets, asynchronous jobs, batches, metadata, the server's time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use slowlane_netsuite::{
    Class, ExternalId, IdempotencyKey, Lines, MAX_BATCH, Method, Poll, RecordId, RecordType,
    Request,
};
use tokio::time::Instant;

use crate::support::{empty, json as json_answer, refusal, scripted};

const KEY: &str = "cac827ea-3543-4cda-add2-bae634326c27";

fn key() -> IdempotencyKey {
    IdempotencyKey::new(KEY).unwrap()
}

#[tokio::test]
async fn a_restlet_is_called_on_its_own_host_with_encoded_parameters() {
    let (builder, log) = scripted(|request| async move {
        Ok(match *request.method() {
            Method::GET => json_answer(200, json!({"n": 1})),
            Method::DELETE => empty(200),
            _ => http::Response::builder().status(200).body("done".into()).unwrap(),
        })
    });
    let restlet = builder.build().unwrap().restlet("customscript_x", "1").unwrap();
    assert_eq!(restlet.get::<Value>(&[("name", "a&b=c")]).await.unwrap(), json!({"n": 1}));
    assert_eq!(restlet.post::<String>(&json!({"a": 1})).await.unwrap(), "done");
    assert_eq!(restlet.put::<String>(&json!([])).await.unwrap(), "done");
    assert_eq!(restlet.delete::<Option<Value>>(&[]).await.unwrap(), None);
    let calls = log.calls();
    let base = "https://123-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=customscript_x&deploy=1";
    assert_eq!(calls[0].uri().to_string(), format!("{base}&name=a%26b%3Dc"));
    assert!(calls[1..].iter().all(|call| *call.uri() == base));
    assert!(calls.iter().all(|call| call.headers()["content-type"] == "application/json"));
}

#[tokio::test]
async fn a_restlets_failure_is_what_netsuite_or_its_script_says() {
    use Class::{Rejected, Throttled, Unauthorized, Unknown};
    let script_error = |code: &str| json!({"error": {"code": code, "message": "why"}});
    // Status, body, the class for a write, the class for a read.
    let cases = [
        (400, script_error("SSS_REQUEST_LIMIT_EXCEEDED"), Throttled, Throttled),
        (400, script_error("SSS_INVALID_SCRIPTLET_ID"), Rejected, Rejected),
        (404, script_error("SSS_INVALID_SCRIPTLET_ID"), Rejected, Rejected),
        (401, script_error("INVALID_LOGIN_ATTEMPT"), Unauthorized, Unauthorized),
        (403, script_error("INVALID_LOGIN_ATTEMPT"), Unauthorized, Unauthorized),
        (403, json!({}), Rejected, Rejected),
        (404, json!({}), Rejected, Rejected),
        (405, json!({}), Rejected, Rejected),
        (415, json!({}), Rejected, Rejected),
        // From here on a script may have run, and may have saved something before it failed.
        (400, script_error("MY_OWN_CODE"), Unknown, Rejected),
        (400, script_error("INVALID_CONTENT"), Unknown, Rejected),
        (400, script_error("INVALID_REQUEST"), Unknown, Rejected),
        (400, script_error("NONEXISTENT_ID"), Unknown, Rejected),
        (400, script_error("DUP_RCRD"), Unknown, Rejected),
        (400, script_error("RCRD_HAS_BEEN_CHANGED"), Unknown, Rejected),
        (400, script_error("INVALID_LOGIN"), Unknown, Rejected),
        (400, json!({}), Unknown, Rejected),
        (409, json!({}), Unknown, Rejected),
        (500, json!({}), Unknown, Unknown),
        (200, script_error("MY_OWN_CODE"), Unknown, Rejected),
        (200, script_error("RCRD_HAS_BEEN_CHANGED"), Unknown, Rejected),
        (200, script_error("SSS_REQUEST_LIMIT_EXCEEDED"), Unknown, Rejected),
        (200, script_error("INVALID_LOGIN"), Unknown, Rejected),
    ];
    for (status, body, of_a_write, of_a_read) in cases {
        let code = body["error"]["code"].as_str().map(str::to_owned);
        let (builder, _) = scripted(move |_| {
            let body = body.clone();
            async move { Ok(json_answer(status, body)) }
        });
        let restlet = builder.build().unwrap().restlet("1", "1").unwrap();
        let written = restlet.post::<Vec<Value>>(&json!({})).await.unwrap_err();
        let read = restlet.get::<Vec<Value>>(&[]).await.unwrap_err();
        for (error, class) in [(written, of_a_write), (read, of_a_read)] {
            assert_eq!(
                (error.class(), error.status().unwrap().as_u16()),
                (class, status),
                "{error}"
            );
            assert_eq!(error.details().first().and_then(|detail| detail.code.clone()), code);
        }
    }
    let (builder, _) = scripted(|_| async { Ok(empty(204)) });
    let client = builder.build().unwrap();
    assert!(client.restlet("1&deploy=2", "1").is_err() && client.restlet("", "1").is_err());
}

/// The result of a job's task tells of the request that was handed in, not of the question.
#[tokio::test]
async fn a_tasks_result_is_judged_as_the_write_that_it_was() {
    for (code, class) in [
        ("INVALID_CONTENT", Class::Rejected),
        ("USER_ERROR", Class::Unknown),
        ("DUP_RCRD", Class::AlreadyExists),
    ] {
        let (builder, _) = scripted(move |_| async move { Ok(refusal(400, &[code])) });
        let error = builder.build().unwrap().job("9").result("1").await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
}

#[tokio::test]
async fn a_request_handed_in_twice_is_one_job() {
    let handed_in = Arc::new(AtomicUsize::new(0));
    let (builder, log) = scripted(move |_| {
        let mut answer = match handed_in.fetch_add(1, Ordering::Relaxed) {
            0 => empty(202),
            _ => refusal(400, &["IDEMPOTENCY_ERROR"]),
        };
        answer
            .headers_mut()
            .insert("location", "/services/rest/async/v1/job/123456".parse().unwrap());
        async { Ok(answer) }
    });
    let client = builder.build().unwrap();
    let request =
        Request::new(Method::POST, "account").unwrap().json(&json!({"name": "n"})).unwrap();
    let first = client.submit(request.clone(), &key()).await.unwrap();
    let again = client.submit(request, &key()).await.unwrap();
    assert_eq!((first.id(), first.replayed()), ("123456", false));
    assert_eq!((again.id(), again.replayed()), ("123456", true));
    let headers = log.calls()[0].headers().clone();
    assert_eq!(
        (&headers["prefer"], &headers["x-netsuite-idempotency-key"]),
        (&"respond-async".parse().unwrap(), &KEY.parse().unwrap())
    );
    for bad in ["", "1", "cac827ea35434cdaadd2bae634326c27", "cac827ea-3543-4cda-add2-bae634326c2g"]
    {
        assert!(IdempotencyKey::new(bad).is_err(), "{bad:?} was taken");
    }
}

#[tokio::test]
async fn handing_in_is_repeatable_and_an_answer_without_a_job_leaves_the_fate_unknown() {
    let request = || Request::new(Method::POST, "account").unwrap();
    let (builder, _) = scripted(|_| async { Ok(empty(503)) });
    let error = builder.build().unwrap().submit(request(), &key()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, true));
    for status in [202, 204] {
        let (builder, _) = scripted(move |_| async move { Ok(empty(status)) });
        let error = builder.build().unwrap().submit(request(), &key()).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_asked_after_at_growing_intervals_until_it_is_done() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (builder, log) = scripted(move |request| {
        let path =
            request.uri().path().strip_prefix("/services/rest/async/v1/").unwrap().to_owned();
        let answer = match path.as_str() {
            "job/9" => match asked.fetch_add(1, Ordering::Relaxed) {
                1 => refusal(429, &["CONCURRENCY_LIMIT_EXCEEDED"]),
                2 => empty(503),
                n => json_answer(
                    200,
                    json!({"id": "9", "completed": n == 5, "progress": if n == 5 { "succeeded" } else { "processing" }, "links": []}),
                ),
            },
            "job/9/task" => json_answer(
                200,
                json!({"items": [{"id": "1"}, {"links": [{"rel": "self", "href": "https://x/services/rest/async/v1/job/9/task/2"}]}]}),
            ),
            "job/9/task/2" => json_answer(
                200,
                json!({"id": "2", "completed": true, "progress": "failed", "endTime": "2020-12-09T12:04:40Z"}),
            ),
            "job/9/task/1/result" => refusal(400, &["INVALID_CONTENT"]),
            _ => empty(404),
        };
        async { Ok(answer) }
    });
    let job = builder.build().unwrap().job("9");
    let start = Instant::now();
    let poll = Poll {
        first: Duration::from_secs(1),
        factor: 2.0,
        longest: Duration::from_secs(4),
        deadline: None,
    };
    let done = job.wait(&poll).await.unwrap();
    assert_eq!(
        (done.progress.as_str(), log.calls().len(), start.elapsed()),
        ("succeeded", 6, Duration::from_secs(1 + 2 + 4 + 4 + 4))
    );
    assert_eq!(job.tasks().await.unwrap(), ["1", "2"]);
    let second = job.task("2").await.unwrap();
    assert_eq!(
        (second.progress.as_str(), second.end_time.unwrap().as_second()),
        ("failed", 1_607_515_480)
    );
    assert!(job.result("1").await.unwrap_err().has_code("INVALID_CONTENT"));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_job_ends_at_the_deadline_and_at_a_definite_no() {
    let (builder, _) = scripted(|_| async {
        Ok(json_answer(200, json!({"id": "9", "completed": false, "progress": "pending"})))
    });
    let start = Instant::now();
    let poll = Poll { deadline: Some(start + Duration::from_secs(10)), ..Poll::default() };
    let error = builder.build().unwrap().job("9").wait(&poll).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown);
    assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    let (builder, _) = scripted(|_| async { Ok(empty(503)) });
    let start = Instant::now();
    let client = builder.build().unwrap().with_deadline(start + Duration::from_secs(10));
    let error = client.job("9").wait(&Poll::default()).await.unwrap_err();
    assert_eq!((error.class(), start.elapsed() <= Duration::from_secs(10)), (Class::Unknown, true));
    let (builder, log) = scripted(|_| async { Ok(refusal(404, &["NONEXISTENT_ID"])) });
    builder.build().unwrap().job("9").wait(&Poll::default()).await.unwrap_err();
    assert_eq!(log.calls().len(), 1);
}

#[tokio::test]
async fn a_batch_is_one_request_with_the_ids_in_its_items() {
    let (builder, log) = scripted(|_| async {
        Ok(http::Response::builder()
            .status(202)
            .header("location", "/services/rest/async/v1/job/5")
            .body("".into())
            .unwrap())
    });
    let orders = builder.build().unwrap().records("salesOrder").unwrap();
    let body = |n: u32| json!({"memo": n, "item": {"items": [n]}});
    let eid = ExternalId::new("o-1").unwrap();
    orders.batch_create(&[body(1), body(2)], &key()).await.unwrap();
    orders.batch_upsert(&[(eid, body(3))], Lines::replace(["item"]), &key()).await.unwrap();
    orders.batch_update(&[(7_u64, body(4))], Lines::add(["item"]), &key()).await.unwrap();
    let job = orders.batch_delete(&[1.into(), 2.into()], &key()).await.unwrap();
    assert_eq!(job.id(), "5");
    let calls = log.calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.method().as_str(),
                call.uri().query(),
                serde_json::from_slice(call.body()).unwrap_or(Value::Null),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (
                "POST",
                None,
                json!({"items": [{"memo": 1, "item": {"items": [1]}}, {"memo": 2, "item": {"items": [2]}}]})
            ),
            (
                "PUT",
                Some("replace=item"),
                json!({"items": [{"memo": 3, "item": {"items": [3]}, "externalId": "o-1"}]})
            ),
            ("PATCH", None, json!({"items": [{"memo": 4, "item": {"items": [4]}, "id": "7"}]})),
            ("DELETE", Some("ids=1%2C2"), Value::Null),
        ]
    );
    assert!(calls[..3].iter().all(|call| call.headers()["content-type"]
        == "application/vnd.oracle.resource+json; type=collection"));
    assert!(calls.iter().all(|call| call.headers()["prefer"] == "respond-async"));

    let too_many = vec![json!({}); MAX_BATCH + 1];
    for bodies in [&[][..], &too_many, &[json!("text")]] {
        assert_eq!(orders.batch_create(bodies, &key()).await.unwrap_err().class(), Class::Rejected);
    }
    let ids: Vec<RecordId> = (0..101).map(RecordId::from).collect();
    orders.batch_delete(&ids, &key()).await.unwrap_err();
    orders.batch_update(&[(7_u64, body(4))], Lines::none(), &key()).await.unwrap_err();
    assert_eq!(log.calls().len(), 4, "nothing more was sent");
}

#[tokio::test]
async fn the_servers_time_and_its_metadata() {
    let (builder, log) = scripted(|request| async move {
        Ok(match request.uri().path() {
            "/services/rest/system/v1/serverTime" => {
                json_answer(200, json!({"serverTime": "2025-03-26T16:21:00.000Z"}))
            }
            "/services/rest/record/v1/metadata-catalog"
                if request.headers()["accept"] == "application/json" =>
            {
                json_answer(
                    200,
                    json!({"items": [{"name": "account", "links": []}, {"name": "customrecord_x", "links": []}]}),
                )
            }
            _ => json_answer(200, json!({"accept": request.headers()["accept"].to_str().unwrap()})),
        })
    });
    let client = builder.build().unwrap();
    assert_eq!(client.server_time().await.unwrap().to_string(), "2025-03-26T16:21:00Z");
    let types = client.record_types().await.unwrap();
    assert_eq!(
        types.iter().map(RecordType::as_str).collect::<Vec<_>>(),
        ["account", "customrecord_x"]
    );
    assert_eq!(
        client.record_schema(&types[0]).await.unwrap(),
        json!({"accept": "application/schema+json"})
    );
    assert_eq!(
        client.openapi(&types).await.unwrap(),
        json!({"accept": "application/swagger+json"})
    );
    let last = log.calls().pop().unwrap();
    assert_eq!(last.uri().query(), Some("select=account%2Ccustomrecord_x"));
}
