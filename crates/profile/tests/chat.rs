//! Questions to models in the common form: what each provider is sent, and what its answers say.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroU32;

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use slowlane_profile::chat::{Chat, ChatError, Message, Prompt, Prompts, Role};
use slowlane_profile::{Answer, Call, Loss, Outcome, Profile, Recovery, shipped};

fn profile(name: &str) -> Profile {
    shipped::get(name).unwrap()
}

fn compatible() -> Profile {
    let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "openai").unwrap();
    let text = text.replacen("chat = \"openai\"", "chat = \"openai_compatible\"", 1);
    Profile::parse(&text).unwrap()
}

fn read(body: &Value) -> Result<Chat, ChatError> {
    Chat::read(Some(body), &Prompts::default())
}

fn whole() -> Value {
    json!({
        "model": "some-model",
        "system": "You judge reviews.",
        "messages": [
            { "role": "user", "content": "It broke." },
            { "role": "assistant", "content": "bad" },
            { "role": "user", "content": "It works." },
        ],
        "max_tokens": 200,
        "temperature": 0.5,
        "stop": ["\n\n"],
    })
}

fn least() -> Value {
    json!({
        "model": "some-model",
        "messages": [{ "role": "user", "content": "It broke." }],
        "max_tokens": 200,
    })
}

fn sent(profile: &Profile, body: &Value) -> (String, Value) {
    let call = profile.chat_call(&read(body).unwrap()).unwrap();
    assert!(call.is_chat());
    (call.resource, call.body.unwrap())
}

#[test]
fn each_provider_is_asked_in_its_own_form() {
    let turns = json!([
        { "role": "user", "content": "It broke." },
        { "role": "assistant", "content": "bad" },
        { "role": "user", "content": "It works." },
    ]);
    let mut with_system = vec![json!({ "role": "system", "content": "You judge reviews." })];
    with_system.extend(turns.as_array().unwrap().iter().cloned());
    let openai = json!({
        "model": "some-model",
        "messages": with_system,
        "max_completion_tokens": 200,
        "temperature": 0.5,
        "stop": ["\n\n"],
    });
    let path = "v1/chat/completions".to_owned();
    assert_eq!(sent(&profile("openai"), &whole()), (path.clone(), openai.clone()));
    let mut older = openai;
    let limit = older.as_object_mut().unwrap().remove("max_completion_tokens").unwrap();
    older["max_tokens"] = limit;
    assert_eq!(sent(&compatible(), &whole()), (path, older));
    let anthropic = json!({
        "model": "some-model",
        "system": "You judge reviews.",
        "messages": turns,
        "max_tokens": 200,
        "temperature": 0.5,
        "stop_sequences": ["\n\n"],
    });
    assert_eq!(sent(&profile("anthropic"), &whole()), ("v1/messages".to_owned(), anthropic));
    let bedrock = json!({
        "system": [{ "text": "You judge reviews." }],
        "messages": [
            { "role": "user", "content": [{ "text": "It broke." }] },
            { "role": "assistant", "content": [{ "text": "bad" }] },
            { "role": "user", "content": [{ "text": "It works." }] },
        ],
        "inferenceConfig": { "maxTokens": 200, "temperature": 0.5, "stopSequences": ["\n\n"] },
    });
    let converse = "model/some-model/converse".to_owned();
    assert_eq!(sent(&profile("bedrock"), &whole()), (converse, bedrock));
}

#[test]
fn what_a_question_does_not_say_is_left_out() {
    let message = json!([{ "role": "user", "content": "It broke." }]);
    let (_, openai) = sent(&profile("openai"), &least());
    let expected =
        json!({ "model": "some-model", "messages": message, "max_completion_tokens": 200 });
    assert_eq!(openai, expected);
    let (_, anthropic) = sent(&profile("anthropic"), &least());
    assert_eq!(anthropic, json!({ "model": "some-model", "messages": message, "max_tokens": 200 }));
    let (_, bedrock) = sent(&profile("bedrock"), &least());
    let message = json!([{ "role": "user", "content": [{ "text": "It broke." }] }]);
    assert_eq!(bedrock, json!({ "messages": message, "inferenceConfig": { "maxTokens": 200 } }));
}

#[test]
fn a_model_of_bedrocks_may_be_an_arn() {
    let id = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.x.y-v1:0";
    let call = profile("bedrock").chat_call(&read(&least()).unwrap().of_model(id)).unwrap();
    let model =
        "arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Ainference-profile%2Feu.x.y-v1%3A0";
    assert_eq!(call.resource, format!("model/{model}/converse"));
    let base = slowlane_profile::Base::parse("https://bedrock-runtime.example").unwrap();
    let url = base.resolve(&call.resource).unwrap();
    assert_eq!(url.path(), format!("/model/{model}/converse"));
}

/// A provider's profile, an answer as its documentation or its client's tests have it, and what it says.
const ANSWERS: [(&str, &str, &str); 13] = [
    (
        "openai",
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1741569952,"model":"gpt-4.1-2025-04-14",
            "choices":[{"index":0,"message":{"role":"assistant","content":"Hello!","refusal":null,"annotations":[]},
            "logprobs":null,"finish_reason":"stop"}],
            "usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,
            "prompt_tokens_details":{"cached_tokens":7,"audio_tokens":0}},"service_tier":"default"}"#,
        r#"{"text":"Hello!","stop":"end","model":"gpt-4.1-2025-04-14","usage":{"input":19,"cached":7,"output":10}}"#,
    ),
    (
        "openai",
        r#"{"model":"m","choices":[{"message":{"content":""},"finish_reason":"length"}]}"#,
        r#"{"text":"","stop":"length","model":"m"}"#,
    ),
    (
        "openai",
        r#"{"model":"m","choices":[{"message":{"content":null,"refusal":"I cannot."},"finish_reason":"stop"}]}"#,
        r#"{"text":"I cannot.","stop":"refused","model":"m"}"#,
    ),
    (
        "openai",
        r#"{"model":"m","choices":[{"message":{"content":"No"},"finish_reason":"content_filter"}]}"#,
        r#"{"text":"No","stop":"refused","model":"m"}"#,
    ),
    (
        "openai",
        r#"{"choices":[{"message":{"content":"x"},"finish_reason":"tool_calls"}]}"#,
        r#"{"text":"x","stop":"other","model":"some-model"}"#,
    ),
    (
        "anthropic",
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":
            [{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hi! "},{"type":"text","text":"I am."}],
            "stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":15,
            "cache_read_input_tokens":5,"cache_creation_input_tokens":3}}"#,
        r#"{"text":"Hi! I am.","stop":"end","model":"claude-sonnet-4-5",
            "usage":{"input":33,"cached":5,"cache_written":3,"output":15}}"#,
    ),
    (
        "anthropic",
        r#"{"model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"max_tokens"}"#,
        r#"{"text":"a","stop":"length","model":"m"}"#,
    ),
    (
        "anthropic",
        r#"{"model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"stop_sequence","stop_sequence":"b"}"#,
        r#"{"text":"a","stop":"stop","model":"m"}"#,
    ),
    (
        "anthropic",
        r#"{"model":"m","content":[],"stop_reason":"refusal"}"#,
        r#"{"text":"","stop":"refused","model":"m"}"#,
    ),
    (
        "bedrock",
        r#"{"metrics":{"latencyMs":551},"output":{"message":{"role":"assistant","content":[{"text":"Hello."}]}},
            "stopReason":"end_turn","usage":{"inputTokens":30,"outputTokens":12,"totalTokens":42}}"#,
        r#"{"text":"Hello.","stop":"end","model":"some-model","usage":{"input":30,"output":12}}"#,
    ),
    (
        "bedrock",
        r#"{"output":{"message":{"content":[{"reasoningContent":{"x":1}},{"text":"a"}]}},"stopReason":"max_tokens"}"#,
        r#"{"text":"a","stop":"length","model":"some-model"}"#,
    ),
    (
        "bedrock",
        r#"{"output":{"message":{"content":[{"text":"a"}]}},"stopReason":"guardrail_intervened"}"#,
        r#"{"text":"a","stop":"refused","model":"some-model"}"#,
    ),
    (
        "bedrock",
        r#"{"output":{"message":{"content":[{"text":"a"}]}},"stopReason":"stop_sequence"}"#,
        r#"{"text":"a","stop":"stop","model":"some-model"}"#,
    ),
];

#[test]
fn each_providers_answer_is_read() {
    for (name, answer, expected) in ANSWERS {
        let profile = profile(name);
        let call = profile.chat_call(&read(&least()).unwrap()).unwrap();
        let answer = Answer::new(200, HeaderMap::new(), answer);
        let verdict = profile.verdict(&call, &answer, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(verdict.outcome, Outcome::Succeeded);
        let said = profile.chat_answer(&call, &answer).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(serde_json::to_value(&said).unwrap(), expected, "{name}");
        assert!(!format!("{said:?}").contains("text"), "{said:?}");
    }
}

#[test]
fn an_answer_of_another_form_is_none() {
    for (name, answer) in [
        ("openai", r#"{"choices":[]}"#),
        ("openai", r#"{"choices":[{"message":"x"}]}"#),
        ("openai", r#"{"choices":[{"message":{"content":[{"type":"image"}]}}]}"#),
        ("anthropic", r#"{"content":"x"}"#),
        ("anthropic", r#"{"content":[{"type":"text"}]}"#),
        ("bedrock", r#"{"output":{"message":{"content":"x"}}}"#),
        ("bedrock", "<html></html>"),
        ("openai", ""),
    ] {
        let call = Call::new(slowlane_profile::Method::Post, "x");
        let answer = Answer::new(200, HeaderMap::new(), answer);
        assert_eq!(profile(name).chat_answer(&call, &answer), None, "{name}");
    }
}

/// A field, what is written there, and what is told.
const REFUSED: [(&str, &str, &str); 26] = [
    ("/stream", "true", "streaming is not for queues"),
    ("/tools", "[]", "the common form has no `tools`"),
    (
        "/response_format",
        "{}",
        "has no `response_format`: it has model, system, messages or prompt,",
    ),
    ("/messages/0/name", "\"x\"", "has no `messages[0].name`"),
    ("/model", "null", "`model` must be the name of a model"),
    ("/model", "\"\"", "`model` must be a text that is not empty"),
    ("/model", "7", "`model` must be a text that is not empty"),
    ("/system", "[{\"type\": \"text\"}]", "`system` must be a text: the common form has no images"),
    ("/system", "\"\"", "`system` must be a text that is not empty"),
    ("/messages", "null", "`messages` must be a list of messages"),
    ("/messages", "[]", "the user and the assistant take turns"),
    ("/messages", "[\"secret\"]", "`messages[0]` must be an object"),
    ("/messages/1/role", "\"user\"", "the user and the assistant take turns"),
    ("/messages/2/role", "\"system\"", "`messages[2].role` must be `user` or `assistant`"),
    ("/messages/0/role", "\"tool\"", "`messages[0].role` must be `user` or `assistant`"),
    ("/messages/0/content", "[{\"type\": \"image_url\"}]", "the common form has no images"),
    ("/messages/0/content", "\"\"", "`messages[0].content` must be a text that is not empty"),
    ("/messages/0/content", "null", "`messages[0].content` must be a text that is not empty"),
    ("/max_tokens", "null", "`max_tokens` must be a whole number of 1 or more"),
    ("/max_tokens", "0", "`max_tokens` must be a whole number"),
    ("/max_tokens", "2.5", "`max_tokens` must be a whole number"),
    ("/max_tokens", "-1", "`max_tokens` must be a whole number"),
    ("/temperature", "-1", "`temperature` must be a number of 0 or more"),
    ("/temperature", "\"hot\"", "`temperature` must be a number"),
    ("/stop", "\"secret\"", "`stop` must be a list of texts"),
    ("/stop", "[\"\"]", "`stop` must be a list of texts that are not empty"),
];

#[test]
fn what_the_form_cannot_say_is_refused_by_name() {
    for (path, value, told) in REFUSED {
        let mut body = whole();
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = serde_json::from_str(value).unwrap();
        let error = read(&body).unwrap_err().to_string();
        assert!(error.contains(told), "{path} {value}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for body in [None, Some(&json!([])), Some(&Value::Null)] {
        assert_eq!(Chat::read(body, &Prompts::default()), Err(ChatError::NoObject));
    }
    // What is null is not there, and a whole number may be written as a fraction.
    let mut body = least();
    body["system"] = Value::Null;
    body["max_tokens"] = json!(200.0);
    assert_eq!(read(&body), read(&least()));
    let error = profile("stripe").chat_call(&read(&least()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("the profile `stripe` does not say how"), "{error}");
}

#[test]
fn its_units_are_what_it_reads_and_the_most_that_it_writes() {
    let chat = read(&whole()).unwrap();
    // 18, 9, 3 and 9 bytes at four a token, and four tokens around each text.
    assert_eq!(chat.units(), 200 + (5 + 3 + 1 + 3) + 4 * 4);
    let long = Chat { max_tokens: NonZeroU32::MAX, ..chat };
    assert_eq!(long.units(), u64::from(u32::MAX) + 28);
}

/// A lost answer to a question leaves nothing behind but its bill, whoever was asked.
#[test]
fn a_question_may_be_asked_again() {
    for name in ["openai", "anthropic", "bedrock"] {
        let profile = profile(name);
        let call = profile.chat_call(&read(&whole()).unwrap()).unwrap();
        let expected = Recovery::Repeat { within: None, charged: true };
        assert_eq!(profile.recovery(&call, Loss::NoAnswer), expected, "{name}");
    }
}

fn prompts() -> Prompts {
    let mut prompts = Prompts::default();
    for (file, text) in [
        (
            "review.v3.toml",
            r#"
            inputs = ["product", "review"]
            system = "You judge reviews of {product}. Answer {{\"good\": true}} or not."
            [[messages]]
            role = "user"
            content = "{review}"
            "#,
        ),
        ("review.v1.toml", "messages = [{ role = \"user\", content = \"Is it good?\" }]"),
        ("other.v1.toml", "messages = [{ role = \"user\", content = \"Hello\" }]"),
    ] {
        prompts.insert(file.parse().unwrap(), Prompt::parse(text).unwrap());
    }
    prompts
}

fn prompted(prompt: &Value) -> Result<Chat, ChatError> {
    let body = json!({ "model": "m", "max_tokens": 5, "prompt": prompt });
    Chat::read(Some(&body), &prompts())
}

#[test]
fn a_prompt_is_filled_and_an_input_is_never_read_as_one() {
    let input = json!({ "product": "{review}", "review": "Ignore {product} {{ and } {" });
    let chat = prompted(&json!({ "name": "review", "version": 3, "input": input })).unwrap();
    let system = "You judge reviews of {review}. Answer {\"good\": true} or not.";
    assert_eq!(chat.system.as_deref(), Some(system));
    let message = Message { role: Role::User, content: "Ignore {product} {{ and } {".to_owned() };
    assert_eq!(chat.messages, [message]);
    // What is no text is written as JSON.
    let input = json!({ "product": 7, "review": { "stars": [1, 2] } });
    let chat = prompted(&json!({ "name": "review", "version": 3, "input": input })).unwrap();
    assert!(chat.system.unwrap().starts_with("You judge reviews of 7."));
    assert_eq!(chat.messages[0].content, r#"{"stars":[1,2]}"#);
    assert!(prompted(&json!({ "name": "review", "version": 1 })).is_ok());
}

#[test]
fn a_prompt_that_cannot_be_filled_is_refused_by_name() {
    let input = json!({ "product": "x", "review": "secret" });
    for (prompt, told) in [
        (
            json!({ "name": "reviews", "version": 3 }),
            "no prompt `reviews`: there are other, review",
        ),
        (
            json!({ "name": "review", "input": input }),
            "which `version` of the prompt `review` it means: there are 1, 3",
        ),
        (json!({ "name": "review", "version": 2, "input": input }), "there are 1, 3"),
        (json!({ "name": "review", "version": "3", "input": input }), "there are 1, 3"),
        (json!({ "name": "review", "version": 3 }), "`review.v3` needs the input `product`"),
        (
            json!({ "name": "review", "version": 3, "input": { "product": "x", "review": null } }),
            "needs the input `review`",
        ),
        (
            json!({ "name": "review", "version": 3, "input": { "produkt": "secret" } }),
            "has no input `produkt`: it has product, review",
        ),
        (
            json!({ "name": "review", "version": 1, "input": { "a": "secret" } }),
            "has no input `a`: it has none",
        ),
        (
            json!({ "name": "review", "version": 3, "input": "secret" }),
            "`prompt.input` must be an object",
        ),
        (json!({ "name": "review", "version": 3, "inputs": input }), "has no `prompt.inputs`"),
        (json!({ "version": 3 }), "`prompt.name` must be the name of a prompt"),
        (json!("review.v3"), "`prompt` must be an object"),
    ] {
        let error = prompted(&prompt).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for name in ["system", "messages"] {
        let mut body = whole();
        body.as_object_mut()
            .unwrap()
            .retain(|field, _| ["model", "max_tokens", name].contains(&field.as_str()));
        body["prompt"] = json!({ "name": "other", "version": 1 });
        let error = Chat::read(Some(&body), &prompts()).unwrap_err();
        assert_eq!(error, ChatError::Both(if name == "system" { "system" } else { "messages" }));
    }
    let error = Chat::read(Some(&json!({ "prompt": { "name": "x" } })), &Prompts::default());
    assert!(error.unwrap_err().to_string().contains("there are none"));
}

#[test]
fn mistakes_in_a_prompt_are_told_with_their_place() {
    const GOOD: &str =
        "inputs = [\"a\"]\nsystem = \"S\"\n\n[[messages]]\nrole = \"user\"\ncontent = \"{a}\"\n";
    assert!(Prompt::parse(GOOD).is_ok());
    for (right, wrong, told) in [
        ("[\"a\"]", "[\"a\", \"b\"]", "1:16: inputs[2]: no text has the input `b`; write its name"),
        ("[\"a\"]", "[\"a\", \"a\"]", "1:16: inputs[2]: `a` is there already"),
        ("[\"a\"]", "[\"A b\"]", "1:11: inputs[1]: `A b` cannot be the name of an input"),
        (
            "{a}",
            "{a} {b}",
            "6:11: messages[1].content: `inputs` has no `b`; add it there, or write a brace",
        ),
        ("{a}", "{a", "6:11: messages[1].content: `{a` has a brace without its other"),
        ("\"S\"", "\"\"", "2:10: system: this text is empty"),
        ("\"user\"", "\"system\"", "5:8: messages[1].role: unknown `system`"),
        ("\"user\"", "\"assistant\"", "the user begins and ends"),
        ("system", "sytem", "did you mean `system`?"),
    ] {
        let told_of = Prompt::parse(&GOOD.replacen(right, wrong, 1)).unwrap_err().to_string();
        assert!(told_of.contains(told), "{told}: {told_of}");
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 {}\"\\\\äß漢\n]{1,12}"
}

prop_compose! {
    fn any_chat()(
        model in "[a-z0-9:./-]{1,12}",
        system in proptest::option::of(text()),
        texts in proptest::collection::vec(text(), 1..4),
        max_tokens in any::<NonZeroU32>(),
        temperature in proptest::option::of(0.0..2.0_f64),
        stop in proptest::collection::vec(text(), 0..3),
    ) -> Chat {
        let odd = texts.len() - (texts.len() + 1) % 2;
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let messages = texts.into_iter().take(odd).zip(roles);
        let messages = messages.map(|(content, role)| Message { role, content });
        Chat { model, system, messages: messages.collect(), max_tokens, temperature, stop }
    }
}

/// A question as it stands in a provider's request, read by its documentation.
fn found_in(name: &str, call: &Call) -> Value {
    let body = call.body.as_ref().unwrap();
    let at = |path: &str| body.pointer(path).cloned().unwrap_or(Value::Null);
    let texts = |list: &Value| -> Vec<Value> {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|one| match &one["content"] {
                Value::Array(parts) => json!([one["role"], parts[0]["text"]]),
                content => json!([one["role"], content]),
            })
            .collect()
    };
    let mut messages = texts(&body["messages"]);
    let (model, system, most, temperature, stop) = match name {
        "openai" => {
            let system = messages.first().filter(|first| first[0] == "system").cloned();
            let system = system.map_or(Value::Null, |_| messages.remove(0)[1].clone());
            (at("/model"), system, at("/max_completion_tokens"), at("/temperature"), at("/stop"))
        }
        "anthropic" => (
            at("/model"),
            at("/system"),
            at("/max_tokens"),
            at("/temperature"),
            at("/stop_sequences"),
        ),
        _ => {
            let model = call.resource.split('/').nth(1).unwrap();
            let model = percent_encoding::percent_decode_str(model).decode_utf8().unwrap();
            let of = |name: &str| at(&format!("/inferenceConfig/{name}"));
            let system = at("/system/0/text");
            (json!(model), system, of("maxTokens"), of("temperature"), of("stopSequences"))
        }
    };
    json!([model, system, messages, most, temperature, stop])
}

proptest! {
    /// Whatever is asked, the provider is asked all of it.
    #[test]
    fn a_provider_is_asked_all_that_the_question_says(chat in any_chat()) {
        let messages: Vec<Value> = chat
            .messages
            .iter()
            .map(|message| json!([message.role.as_str(), message.content]))
            .collect();
        let stop = (!chat.stop.is_empty()).then_some(&chat.stop);
        let said =
            json!([chat.model, chat.system, messages, chat.max_tokens, chat.temperature, stop]);
        for name in ["openai", "anthropic", "bedrock"] {
            let call = profile(name).chat_call(&chat).unwrap();
            prop_assert_eq!(found_in(name, &call), said.clone());
        }
    }

    /// Whatever comes back, reading it ends.
    #[test]
    fn reading_any_answer_ends(
        picked in any::<prop::sample::Index>(),
        path in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(Value::Null), Just(json!([])), Just(json!({})), Just(json!(7)), Just(json!("x")),
            Just(json!([null, 3, "x", {"text": 7}, {"type": "text"}])),
        ],
    ) {
        let (name, answer, _) = picked.get(&ANSWERS);
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        let paths = paths(&answer, String::new());
        let changed = answer.pointer_mut(path.get(&paths).as_str()).unwrap();
        *changed = value;
        let answer = Answer::new(200, HeaderMap::new(), answer.to_string());
        for profile in [profile(name), profile("openai"), profile("anthropic"), profile("bedrock")] {
            let call = profile.chat_call(&read(&least()).unwrap()).unwrap();
            let _ = profile.chat_answer(&call, &answer);
        }
    }

    /// No input gets out of its gap.
    #[test]
    fn an_input_stands_where_its_gap_is(product in text(), review in text()) {
        let input = json!({ "product": product, "review": review });
        let chat = prompted(&json!({ "name": "review", "version": 3, "input": input })).unwrap();
        let system = format!("You judge reviews of {product}. Answer {{\"good\": true}} or not.");
        prop_assert_eq!(chat.system, Some(system));
        prop_assert_eq!(&chat.messages[0].content, &review);
    }
}

/// The pointers to all values of a document.
fn paths(value: &Value, at: String) -> Vec<String> {
    let below = |(name, value): (String, &Value)| paths(value, format!("{at}/{name}"));
    let inner: Vec<String> = match value {
        Value::Object(members) => {
            let members: &Map<String, Value> = members;
            members.iter().map(|(name, value)| (name.clone(), value)).flat_map(below).collect()
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, value)| (n.to_string(), value))
            .flat_map(below)
            .collect(),
        _ => Vec::new(),
    };
    [vec![at.clone()], inner].concat()
}
