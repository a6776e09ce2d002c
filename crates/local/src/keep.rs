//! What a client of a kept demo needs, ready to paste, and a first call to try.

use std::fmt::{self, Display, Formatter};

use slowlane_deployer::Outputs;
use slowlane_local::ministack::REGION;

/// The idempotency key, the record's external id and the execution's name of the first call.
const FIRST: &str = "first-call";

/// The program that the first call is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// The AWS command line.
    AwsCli,
    /// What every machine has. The local AWS checks no signature.
    Curl,
}

/// Where everything of a kept demo is.
pub(crate) struct Kept<'a> {
    pub(crate) stack_name: &'a str,
    pub(crate) local_aws: &'a str,
    pub(crate) sandbox: &'a str,
    pub(crate) logs: String,
    pub(crate) outputs: &'a Outputs,
    pub(crate) client: Client,
}

impl Client {
    /// The AWS command line, if this machine has it.
    pub(crate) fn of_this_machine() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|folder| folder.join("aws").is_file());
        if is_there { Self::AwsCli } else { Self::Curl }
    }
}

impl Display for Kept<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_places(f)?;
        self.write_environment(f)?;
        self.write_first_call(f)?;
        self.write_commands(f)?;
        write!(f, "\neverything runs until Ctrl-C")
    }
}

impl Kept<'_> {
    fn write_places(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outputs = self.outputs;
        for (name, value) in [
            ("stack", self.stack_name),
            ("local AWS", self.local_aws),
            ("NetSuite sandbox", self.sandbox),
            ("throttled-call", &outputs.throttled_call_arn),
            ("sales-order-sync", &outputs.sales_order_sync_arn),
            ("enqueuer", &outputs.enqueuer_function_name),
            ("worker", &outputs.worker_function_name),
            ("HIGH queue", &outputs.high_queue_url),
            ("NORMAL queue", &outputs.normal_queue_url),
            ("BATCH queue", &outputs.batch_queue_url),
            ("dead-letter queue", &outputs.dead_letter_queue_url),
            ("table", &outputs.idempotency_table_name),
            ("GraceSeconds", outputs.grace_seconds.as_deref().unwrap_or("-")),
            ("logs", &self.logs),
        ] {
            writeln!(f, "{name:<17} {value}")?;
        }
        Ok(())
    }

    /// Boto3 reads the region from `AWS_DEFAULT_REGION`, the other SDKs from `AWS_REGION`.
    fn write_environment(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let url = self.local_aws;
        write!(
            f,
            "\nfor clients, in another terminal:\n\n\
             export AWS_ENDPOINT_URL={url}\n\
             export AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}\n\
             export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n"
        )
    }

    fn write_first_call(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let machine = &self.outputs.throttled_call_arn;
        let execution = format!("{}:{FIRST}", machine.replace(":stateMachine:", ":execution:"));
        let input = first_input();
        writeln!(f, "\na first call, and after a second what became of it:\n")?;
        match self.client {
            Client::AwsCli => write!(
                f,
                "aws stepfunctions start-execution --name {FIRST} \\\n  \
                 --state-machine-arn {machine} \\\n  \
                 --input '{input}'\n\
                 aws stepfunctions describe-execution \\\n  \
                 --execution-arn {execution}\n"
            ),
            Client::Curl => {
                let start = serde_json::json!({
                    "stateMachineArn": machine, "name": FIRST, "input": input.to_string(),
                });
                let describe = serde_json::json!({ "executionArn": execution });
                for (operation, body) in
                    [("StartExecution", start), ("DescribeExecution", describe)]
                {
                    writeln!(
                        f,
                        "curl -sS $AWS_ENDPOINT_URL -H 'X-Amz-Target: AWSStepFunctions.{operation}' \
                         \\\n  -H 'Content-Type: application/x-amz-json-1.0' -d '{body}'"
                    )?;
                }
                Ok(())
            }
        }
    }

    /// In the forms that need nothing installed.
    fn write_commands(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let place = format!("--endpoint-url {} --stack {}", self.local_aws, self.stack_name);
        write!(
            f,
            "\nthe queues and slots, where a call is, and the calls of which nobody knows whether \
             they were made:\n\n\
             cargo xtask status {place}\n\
             cargo xtask call {FIRST} {place}\n\
             cargo xtask unresolved list {place}\n"
        )
    }
}

/// The input of `throttled-call`: a sales order, written once under its external id. It holds no
/// quote that would end the shell's.
fn first_input() -> serde_json::Value {
    serde_json::json!({
        "priority": "HIGH",
        "idempotency_key": FIRST,
        "request": {
            "method": "PUT",
            "resource": format!("salesOrder/eid:{FIRST}?replace=item"),
            "body": {
                "entity": { "id": "118" },
                "item": { "items": [{ "item": { "id": "501" }, "quantity": 2, "rate": 19.9 }] },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(client: Client) -> String {
        let queue = |name: &str| format!("http://127.0.0.1:45871/000000000000/demo-{name}");
        let machine =
            |name: &str| format!("arn:aws:states:us-east-1:000000000000:stateMachine:demo-{name}");
        let outputs = Outputs {
            sales_order_sync_arn: machine("sales-order-sync"),
            throttled_call_arn: machine("throttled-call"),
            high_queue_url: queue("high"),
            normal_queue_url: queue("normal"),
            batch_queue_url: queue("batch"),
            doorbell_queue_url: Some(queue("doorbell")),
            dead_letter_queue_url: queue("dead-letters"),
            grace_seconds: Some("230".to_owned()),
            idempotency_table_name: "demo-idempotency".to_owned(),
            usage_table_name: None,
            worker_function_name: "demo-worker".to_owned(),
            enqueuer_function_name: "demo-enqueuer".to_owned(),
        };
        let kept = Kept {
            stack_name: "demo",
            local_aws: "http://127.0.0.1:45871",
            sandbox: "http://127.0.0.1:38111",
            logs: "/tmp/slowlane-demo-1".to_owned(),
            outputs: &outputs,
            client,
        };
        kept.to_string()
    }

    #[test]
    fn a_client_can_paste_all_that_it_needs() {
        insta::assert_snapshot!(text(Client::AwsCli));
    }

    #[test]
    fn without_the_aws_command_line_the_first_call_is_made_with_curl() {
        let (with, without) = (text(Client::AwsCli), text(Client::Curl));
        let first_call = |text: &str| {
            let (_, rest) = text.split_once("what became of it:\n\n").unwrap();
            rest.split_once("\n\n").unwrap().0.to_owned()
        };
        assert_eq!(without.replace(&first_call(&without), &first_call(&with)), with);
        insta::assert_snapshot!(first_call(&without));
    }

    /// Pasted, the words of each command are those that the program must get.
    #[test]
    fn a_shell_reads_the_commands_as_they_are_meant() {
        let script = |client| {
            let text = text(client);
            let (_, commands) = text.split_once("terminal:\n\n").unwrap();
            let (commands, _) = commands.split_once("\nthe queues and slots").unwrap();
            let commands =
                commands.replace("a first call, and after a second what became of it:", "");
            format!("aws() {{ printf '%s\\n' \"$@\"; }}; curl() {{ aws \"$@\"; }}\n{commands}")
        };
        for client in [Client::AwsCli, Client::Curl] {
            let mut shell = std::process::Command::new("/bin/sh");
            let output = shell.args(["-euc", &script(client)]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let words = String::from_utf8(output.stdout).unwrap();
            let json = |word: &str| serde_json::from_str::<serde_json::Value>(word).ok();
            let objects: Vec<_> = words.lines().filter_map(json).collect();
            let input = match client {
                Client::AwsCli => objects[0].clone(),
                Client::Curl => {
                    assert!(words.lines().any(|word| word == "http://127.0.0.1:45871"), "{words}");
                    json(objects[0]["input"].as_str().unwrap()).unwrap()
                }
            };
            assert_eq!(input, first_input(), "{words}");
        }
    }
}
